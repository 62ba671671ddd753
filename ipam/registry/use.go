package registry

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// PoolUse is how much of one pool is in use. Owned, Cooling and Free blocks and those with nothing to lease, Unusable, add up to Blocks.
type PoolUse struct {
	Pool     Pool
	Blocks   int
	Owned    int
	Cooling  int
	Free     int
	Unusable int // nobody's, and no address in it may be leased

	Addresses int // that may be leased at all
	InBlocks  int // of those, in owned blocks
	Leased    int // held by attachments in owned blocks, as the owners last said
	Claimed   int // single claims
	Reserved  int // kept from everybody by reservations

	Nodes []NodeUse // that own blocks of the pool, those with most first
}

// Use returns the utilisation of each pool, in their order.
func Use(s State) []PoolUse {
	out := make([]PoolUse, len(s.Pools))
	for i, p := range s.Pools {
		out[i] = poolUse(s, p)
	}
	return out
}

func poolUse(s State, p Pool) PoolUse {
	u := PoolUse{Pool: p, Blocks: p.Blocks()}
	nodes := make(map[NodeID]NodeUse)
	for i := range p.Blocks() {
		prefix := p.Block(i)
		leasable, reserved := countBlock(s, p, prefix)
		u.Addresses += leasable
		u.Reserved += reserved
		b, taken := s.Blocks[prefix]
		switch {
		case taken && b.Owner != NodeID{}:
			u.Owned++
			u.InBlocks += leasable
			u.Leased += b.Leased
			n := nodes[b.Owner]
			nodes[b.Owner] = NodeUse{Node: b.Owner, Name: s.Nodes[b.Owner].Name, Blocks: n.Blocks + 1, Leased: n.Leased + b.Leased}
		case taken:
			u.Cooling++
		case leasable == 0:
			u.Unusable++
		default:
			u.Free++
		}
	}
	for a, k := range s.Claims {
		if p.Prefix.Contains(a) && k.Owner != (NodeID{}) {
			u.Claimed++
		}
	}
	u.Nodes = slices.SortedFunc(maps.Values(nodes), func(a, b NodeUse) int {
		return cmp.Or(cmp.Compare(b.Blocks, a.Blocks), strings.Compare(a.Node.String(), b.Node.String()))
	})
	return u
}

// countBlock counts the addresses of a block that may be leased and those of them that are reserved. Most blocks hold nothing
// special and are not walked.
func countBlock(s State, p Pool, b netip.Prefix) (leasable, reserved int) {
	special := b.Contains(p.Prefix.Addr()) || b.Contains(lastAddr(p.Prefix)) || b.Contains(p.Gateway) ||
		slices.ContainsFunc(p.Exclude, b.Overlaps)
	first, last := b.Addr(), lastAddr(b)
	apart := slices.ContainsFunc(s.Reserved, func(r Reservation) bool { return !r.Last.Less(first) && !last.Less(r.First) })
	if !special && !apart {
		return 1 << (32 - b.Bits()), 0
	}
	for a := range Addrs(b) {
		if p.Why(a) != OK {
			continue
		}
		if slices.ContainsFunc(s.Reserved, func(r Reservation) bool { return r.Contains(a) }) {
			reserved++
			continue
		}
		leasable++
	}
	return leasable, reserved
}
