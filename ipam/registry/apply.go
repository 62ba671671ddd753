package registry

import (
	"fmt"
	"net/netip"
	"time"
)

// Apply decides c on the records of tx and writes what changes; a refused command writes nothing. It is deterministic:
// equal records and an equal command give an equal result and equal writes. It does not keep or change what c refers
// to.
func Apply(tx Tx, c Command) Result {
	if _, err := c.Append(nil); err != nil {
		return Result{Code: Invalid, Comment: clip(err.Error())}
	}
	if c.Time.IsZero() {
		return Result{Code: Invalid, Comment: fmt.Sprintf("%v without a time", c.Op)}
	}
	l := newLedger(tx, c.Time)
	r := l.decide(c)
	if l.fault == nil && r.Code == OK {
		l.commit()
	}
	if l.fault != nil {
		return Result{Code: Corrupt, Comment: clip(l.fault.Error())}
	}
	return l.sign(r)
}

func (l *ledger) decide(c Command) Result {
	switch {
	case l.fault != nil:
		return Result{Code: Corrupt}
	case c.Op == OpInit:
		return l.init(c)
	case l.reg == nil:
		return Result{Code: Empty}
	case c.Registry != ID{} && c.Registry != l.reg.id:
		return l.other()
	}
	switch c.Op {
	case OpRefresh:
		return l.refresh(c)
	case OpClaim:
		return l.called(c, l.claim)
	case OpClaimAddress:
		return l.called(c, l.claimAddress)
	case OpCarveOut:
		return l.called(c, l.carveOut)
	case OpReleaseBlock:
		return l.called(c, l.releaseBlock)
	case OpReleaseAddress:
		return l.called(c, l.releaseAddress)
	case OpRemoveNode:
		return l.removeNode(c)
	case OpExpireNodes:
		return l.expireNodes()
	case OpReserve:
		return l.reserve(c)
	case OpUnreserve:
		return l.unreserve(c)
	case OpAddPool:
		return l.addPool(c)
	case OpRecover:
		return l.recover(c)
	}
	return Result{Code: Invalid, Comment: "unknown operation"}
}

// sign adds to r which registry speaks.
func (l *ledger) sign(r Result) Result {
	if l.reg == nil {
		return r
	}
	r.Registry, r.Creator, r.CreatedAt = l.reg.id, l.reg.creator, l.reg.createdAt
	r.Generation, r.Timing, r.Time = l.reg.generation, l.reg.timing, l.clock.now
	return r
}

// other refuses a command that means another registry. The caller is told who made this one.
func (l *ledger) other() Result {
	r := Result{Code: OtherRegistry, Holder: l.reg.creator}
	if n := l.lookNode(l.reg.creator); n != nil {
		r.HolderName = n.name
	}
	return r
}

// init makes the registry.
func (l *ledger) init(c Command) Result {
	if l.reg != nil {
		if l.reg.id != c.Registry {
			return l.other()
		}
		return Result{Pools: l.reg.pools}
	}
	if c.Registry == (ID{}) {
		return Result{Code: Invalid, Comment: "a registry needs an ID"}
	}
	pools, err := CheckPools(c.Pools)
	if err != nil {
		return Result{Code: Invalid, Comment: clip(err.Error())}
	}
	l.clock = clockRecord{now: c.Time.UTC().Truncate(time.Second)}
	l.reg = &registryRecord{
		id:         c.Registry,
		creator:    c.Node,
		createdAt:  l.clock.now,
		generation: 1,
		timing:     c.Timing.withDefaults(),
		pools:      pools,
	}
	l.save(registryKey, l.reg)
	return Result{Pools: pools}
}

// isReserved returns the reservation that addr falls under.
func (l *ledger) isReserved(addr netip.Addr) (Reservation, bool) {
	for _, r := range l.reg.reserved {
		if r.Contains(addr) {
			return r, true
		}
	}
	return Reservation{}, false
}

// holder fills in who has what r is about.
func (l *ledger) holder(r Result, id NodeID) Result {
	r.Holder = id
	if n := l.lookNode(id); n != nil {
		r.HolderName = n.name
	}
	return r
}

// clip shortens a text to what a Comment may have.
func clip(s string) string { return s[:min(len(s), MaxText)] }
