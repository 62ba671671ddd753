package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
)

// claim gives the node one more block. Blocks that it owns and does not know of come first, so a lost answer costs nothing.
func (l *ledger) claim(c Command, n *nodeRecord) Result {
	r := Result{Reserved: l.reg.reserved}
	pools := l.reg.pools
	if c.Pool.IsValid() {
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Prefix == c.Pool })
		if i < 0 {
			return Result{Code: Outside, Pool: c.Pool}
		}
		pools = pools[i : i+1]
	}
	r.Lost = notOwned(n, c.Have)
	for _, u := range n.blocks {
		if !slices.Contains(c.Have, u.Block) && (!c.Pool.IsValid() || c.Pool.Contains(u.Block.Addr())) {
			r.Blocks = append(r.Blocks, l.grant(u.Block))
		}
	}
	if len(r.Blocks) > 0 {
		return r
	}
	if refusal := l.settled(); refusal.Code != OK {
		return refusal
	}
	b := l.find(pools, c)
	if b == nil {
		return Result{Code: Exhausted, Pool: c.Pool, Usage: l.owners(c.Pool)}
	}
	l.give(n, b)
	r.Blocks = []Grant{l.grant(b.block)}
	return r
}

func notOwned(n *nodeRecord, have []netip.Prefix) []netip.Prefix {
	var lost []netip.Prefix
	for _, b := range have {
		if i, ok := n.findBlock(b); !ok || n.blocks[i].Block != b {
			lost = append(lost, b)
		}
	}
	return lost
}

// find returns a block that c's node may have: the one it would welcome, or the first in the order of the node.
func (l *ledger) find(pools []Pool, c Command) *blockRecord {
	for _, p := range pools {
		if p.IsBlock(c.Block) && l.open(p, c.Block) {
			return l.block(c.Block)
		}
	}
	for _, p := range pools {
		next := probe(p, c.Node)
		for range p.Blocks() {
			if b := p.Block(next()); l.open(p, b) {
				return l.block(b)
			}
		}
	}
	return nil
}

// probe returns a function that gives the index of each block of p once, in an order of the node's own: nodes that look for a
// block at the same time look in different places, so that they seldom meet, and each soon finds one while some are free.
func probe(p Pool, id NodeID) func() int {
	b := toUint32(p.Prefix.Addr())
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, b), id[:]...))
	mask := uint32(p.Blocks() - 1)
	i := binary.BigEndian.Uint32(sum[:])
	step := binary.BigEndian.Uint32(sum[4:]) | 1 // odd, so that it meets every index of a power of two
	return func() int {
		i += step
		return int(i & mask)
	}
}

// open says whether block b of pool p can be given to a node: it is nobody's, does not cool, and has an address to lease. Only
// of a block that looks free is the outcome made to depend; the others are passed over.
func (l *ledger) open(p Pool, b netip.Prefix) bool {
	if !l.free(l.lookHolding(b), l.lookNode) {
		return false
	}
	record := l.block(b)
	return l.free(record.holding, l.node) && l.leasable(p, record)
}

// leasable says whether the owner of b could lease any address of it.
func (l *ledger) leasable(p Pool, b *blockRecord) bool {
	for a := range Addrs(b.block) {
		if p.Why(a) != OK {
			continue
		}
		if _, ok := l.isReserved(a); ok {
			continue
		}
		if i, ok := b.findClaim(a); ok && !l.free(b.claims[i].holding, l.lookNode) {
			continue
		}
		return true
	}
	return false
}

// owners lists who owns the blocks of a pool, or of all.
func (l *ledger) owners(pool netip.Prefix) []NodeUse {
	return l.usage(func(n *nodeRecord) (NodeUse, bool) {
		var u NodeUse
		for _, b := range n.blocks {
			if !pool.IsValid() || pool.Contains(b.Block.Addr()) {
				u.Blocks++
				u.Leased += b.Leased
			}
		}
		return u, u.Blocks > 0
	})
}

// give makes n the owner of b.
func (l *ledger) give(n *nodeRecord, b *blockRecord) {
	b.holding = holding{owner: n.id, epoch: n.epoch}
	b.since = l.clock.now
	n.addBlock(b.block)
	l.saveBlock(b)
	l.saveNode(n)
}

// cool takes b from n and keeps it from everybody for d.
func (l *ledger) cool(n *nodeRecord, b *blockRecord, d age) {
	b.cool = l.clock.age + d
	n.dropBlock(b.block)
	l.saveBlock(b)
	l.saveNode(n)
}
