package registry

import (
	"fmt"
	"net/netip"
	"slices"
)

// reserve keeps a range of addresses from being leased and claimed from now on. Those that are in use stay in use:
// Usage lists who owns blocks that the range touches, and the owners learn of it by their next Refresh.
func (l *ledger) reserve(c Command) Result {
	v := c.Range
	if !v.First.IsValid() || !v.Last.IsValid() || v.Last.Less(v.First) {
		return Result{Code: Invalid, Comment: fmt.Sprintf("%v to %v is no range", v.First, v.Last)}
	}
	p, ok := PoolOf(l.reg.pools, v.First)
	switch {
	case !ok:
		return Result{Code: Outside, Addr: v.First}
	case !p.Prefix.Contains(v.Last):
		return Result{Code: Outside, Addr: v.Last}
	}
	i, ok := l.findReservation(v)
	switch {
	case ok:
		l.reg.reserved[i] = v
	case len(l.reg.reserved) == maxReserved:
		return Result{Code: Invalid, Comment: fmt.Sprintf("there are %d reservations already, the most there can be", maxReserved)}
	default:
		l.reg.reserved = slices.Insert(l.reg.reserved, i, v)
	}
	l.save(registryKey, l.reg)
	return Result{Reserved: l.reg.reserved, Usage: l.touched(p, v)}
}

// unreserve takes back the reservation of exactly this range.
func (l *ledger) unreserve(c Command) Result {
	i, ok := l.findReservation(c.Range)
	if !ok {
		return Result{Code: NotReserved, Addr: c.Range.First}
	}
	l.reg.reserved = slices.Delete(l.reg.reserved, i, i+1)
	l.save(registryKey, l.reg)
	return Result{Reserved: l.reg.reserved}
}

func (l *ledger) findReservation(v Reservation) (int, bool) {
	return slices.BinarySearchFunc(l.reg.reserved, v, func(a, b Reservation) int {
		if d := a.First.Compare(b.First); d != 0 {
			return d
		}
		return a.Last.Compare(b.Last)
	})
}

// touched lists who owns blocks of p that v has addresses of.
func (l *ledger) touched(p Pool, v Reservation) []NodeUse {
	first, last := toUint32(p.BlockOf(v.First).Addr()), toUint32(p.BlockOf(v.Last).Addr())
	return l.usage(func(n *nodeRecord) (NodeUse, bool) {
		var u NodeUse
		for _, b := range n.blocks {
			if a := toUint32(b.Block.Addr()); a >= first && a <= last {
				u.Blocks++
				u.Leased += b.Leased
			}
		}
		return u, u.Blocks > 0
	})
}

// addPool adds pools to those there are.
func (l *ledger) addPool(c Command) Result {
	fresh, err := CheckPools(c.Pools)
	if err != nil {
		return Result{Code: Invalid, Comment: clip(err.Error())}
	}
	pools := l.reg.pools
	for _, p := range fresh {
		if slices.ContainsFunc(pools, func(q Pool) bool { return p.equal(q) }) {
			continue
		}
		if other, ok := overlapping(l.reg.pools, p.Prefix); ok {
			return Result{Code: Overlap, Pool: p.Prefix, Block: other}
		}
		pools = append(pools, p)
	}
	if len(pools) > MaxPools {
		return Result{Code: Invalid, Comment: fmt.Sprintf("%d pools, the most is %d", len(pools), MaxPools)}
	}
	if len(pools) > len(l.reg.pools) {
		l.reg.pools = pools
		l.save(registryKey, l.reg)
	}
	return Result{Pools: pools}
}

func overlapping(pools []Pool, prefix netip.Prefix) (netip.Prefix, bool) {
	for _, p := range pools {
		if p.Prefix.Overlaps(prefix) {
			return p.Prefix, true
		}
	}
	return netip.Prefix{}, false
}
