package registry

import (
	"net/netip"
	"slices"
)

// claimAddress gives the node one address of a block that is nobody's. The block can still be claimed; its owner is then told to leave out the address.
func (l *ledger) claimAddress(c Command, n *nodeRecord) Result {
	p, r := l.usable(c.Addr)
	if r.Code != OK {
		return r
	}
	b := l.block(p.BlockOf(c.Addr))
	if r, done := l.heldClaim(b, c.Addr, n.id, n.epoch, c.Attachment); done {
		return r
	}
	held, from := l.held(b.holding, l.node)
	switch {
	case held:
		return l.holder(Result{Code: HeldByBlock, Addr: c.Addr, Block: b.block}, b.owner)
	case from > l.clock.age:
		return l.holder(Result{Code: Cooling, Addr: c.Addr, Block: b.block, Until: l.until(from)}, b.owner)
	}
	if r, ok := l.isReserved(c.Addr); ok {
		return Result{Code: Reserved, Addr: c.Addr, Comment: r.Comment}
	}
	if r := l.settled(); r.Code != OK {
		return r
	}
	return l.giveClaim(n, b, AddressUse{c.Addr, c.Attachment})
}

// carveOut gives an address of the caller's block to another node. The caller has stopped leasing the address.
func (l *ledger) carveOut(c Command, n *nodeRecord) Result {
	p, r := l.usable(c.Addr)
	if r.Code != OK {
		return r
	}
	b := l.block(p.BlockOf(c.Addr))
	if held, _ := l.held(b.holding, l.node); !held || b.owner != n.id {
		return l.holder(Result{Code: NotOwner, Addr: c.Addr, Block: b.block}, b.owner)
	}
	to := l.node(c.To)
	switch {
	case c.To == c.Node:
		return Result{Code: Invalid, Comment: "a node needs no claim in its own block"}
	case to == nil || !to.owns(c.ToEpoch):
		return l.holder(Result{Code: UnknownNode}, c.To)
	}
	if r, done := l.heldClaim(b, c.Addr, to.id, to.epoch, c.Attachment); done {
		return r
	}
	if r, ok := l.isReserved(c.Addr); ok {
		return Result{Code: Reserved, Addr: c.Addr, Comment: r.Comment}
	}
	return l.giveClaim(to, b, AddressUse{c.Addr, c.Attachment})
}

// usable returns the pool of an address that may be leased as far as its pool is concerned.
func (l *ledger) usable(a netip.Addr) (Pool, Result) {
	p, ok := PoolOf(l.reg.pools, a)
	if !ok {
		return p, Result{Code: Outside, Addr: a}
	}
	return p, Result{Code: p.Why(a), Addr: a, Pool: p.Prefix}
}

// heldClaim answers if addr of b is claimed or cools. To claim once more what one holds for the same attachment is a repeat.
func (l *ledger) heldClaim(b *blockRecord, addr netip.Addr, id NodeID, epoch uint64, attachment string) (Result, bool) {
	i, ok := b.findClaim(addr)
	if !ok {
		return Result{}, false
	}
	k := b.claims[i]
	held, from := l.held(k.holding, l.node)
	switch {
	case held && k.owner == id && k.epoch == epoch && k.attachment == attachment:
		return Result{Claims: []AddressUse{{addr, attachment}}}, true
	case held:
		return l.holder(Result{Code: HeldByClaim, Addr: addr, Attachment: k.attachment}, k.owner), true
	case from > l.clock.age:
		return l.holder(Result{Code: Cooling, Addr: addr, Until: l.until(from)}, k.owner), true
	}
	return Result{}, false
}

// giveClaim makes n the holder of an address of b.
func (l *ledger) giveClaim(n *nodeRecord, b *blockRecord, u AddressUse) Result {
	k := claimRecord{addr: u.Addr, attachment: u.Attachment, holding: holding{owner: n.id, epoch: n.epoch}}
	if i, ok := b.findClaim(u.Addr); ok {
		b.claims[i] = k
	} else {
		b.claims = slices.Insert(b.claims, i, k)
	}
	n.addClaim(u.Addr)
	l.saveBlock(b)
	l.saveNode(n)
	return Result{Claims: []AddressUse{u}}
}

// coolClaim takes an address from n and keeps it from everybody for d. Then it is the owner's of its block, if there is one.
func (l *ledger) coolClaim(n *nodeRecord, a netip.Addr, d age) {
	n.dropClaim(a)
	l.saveNode(n)
	p, ok := PoolOf(l.reg.pools, a)
	if !ok {
		return
	}
	b := l.block(p.BlockOf(a))
	if i, ok := b.findClaim(a); ok && b.claims[i].owner == n.id && b.claims[i].cool == 0 {
		b.claims[i].cool = l.clock.age + d
		l.saveBlock(b)
	}
}
