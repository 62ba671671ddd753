package registry

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Violation is one broken promise.
type Violation struct {
	Rule string // a short name that stays the same
	Text string // one sentence for people
}

// String returns the sentence.
func (v Violation) String() string { return v.Text }

// The names of the rules.
const (
	RulePool    = "pool"    // pools are well formed and do not overlap
	RuleBlock   = "block"   // each block is one of its pool's
	RuleOverlap = "overlap" // no two blocks share an address
	RuleEpoch   = "epoch"   // who owns, owns under its present epoch and is not removed
	RuleClaim   = "claim"   // each claim is of an address that may be leased
	RuleRecords = "records" // the records agree with each other
	RuleTime    = "time"    // what cools has a time at which it is free, and only that
)

// Check returns the promises that s breaks, in a fixed order; none for a sound registry. That a claim in somebody's block was carved out by the
// owner cannot be seen afterwards: OpCarveOut sees to it.
func Check(s State) []Violation {
	var out []Violation
	report := func(rule, format string, args ...any) {
		out = append(out, Violation{rule, fmt.Sprintf(format, args...)})
	}
	if _, err := CheckPools(s.Pools); err != nil {
		report(RulePool, "%v", err)
	}
	checkBlocks(s, report)
	checkClaims(s, report)
	for _, fault := range s.Faults {
		report(RuleRecords, "%s", fault)
	}
	return out
}

type reportFunc func(rule, format string, args ...any)

func checkBlocks(s State, report reportFunc) {
	var last netip.Prefix
	for _, p := range slices.SortedFunc(maps.Keys(s.Blocks), comparePrefix) {
		b := s.Blocks[p]
		if pool, ok := PoolOf(s.Pools, p.Addr()); !ok || !pool.IsBlock(p) {
			report(RuleBlock, "block %v is not a block of any pool", p)
		}
		if last.IsValid() && last.Overlaps(p) {
			report(RuleOverlap, "blocks %v and %v share addresses", last, p)
		}
		last = p
		checkOwner(s, fmt.Sprintf("block %v", p), b.Owner, b.Epoch, !b.Until.IsZero(), report)
	}
}

func checkClaims(s State, report reportFunc) {
	for _, a := range slices.SortedFunc(maps.Keys(s.Claims), netip.Addr.Compare) {
		k := s.Claims[a]
		pool, ok := PoolOf(s.Pools, a)
		if !ok {
			report(RuleClaim, "address %v is claimed and in no pool", a)
			continue
		}
		if why := pool.Why(a); why != OK {
			report(RuleClaim, "address %v is claimed, but it is %s pool %v", a, roles[why], pool.Prefix)
		}
		checkOwner(s, fmt.Sprintf("address %v", a), k.Owner, k.Epoch, !k.Until.IsZero(), report)
	}
}

// checkOwner checks who owns what: a node under its present epoch, or nobody while it cools.
func checkOwner(s State, what string, owner NodeID, epoch uint64, cools bool, report reportFunc) {
	if cools != (owner == NodeID{}) {
		report(RuleTime, "%s cools and has an owner, or neither", what)
	}
	if owner == (NodeID{}) {
		return
	}
	n, ok := s.Nodes[owner]
	switch {
	case !ok:
		report(RuleEpoch, "%s is owned by node %s, which nobody knows", what, owner.Short())
	case n.Removed:
		report(RuleEpoch, "%s is owned by node %s, which was removed", what, orElse(n.Name, owner.Short()))
	case n.Epoch != epoch:
		report(RuleEpoch, "%s is owned by node %s under epoch %d, which has ended: it is %d", what, orElse(n.Name, owner.Short()), epoch, n.Epoch)
	}
}

// comparePrefix orders prefixes by address, the wider first.
func comparePrefix(a, b netip.Prefix) int {
	if d := a.Addr().Compare(b.Addr()); d != 0 {
		return d
	}
	return a.Bits() - b.Bits()
}
