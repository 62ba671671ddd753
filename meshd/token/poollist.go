package token

import (
	"fmt"
	"net/netip"
)

// ParsePools returns the pools with these prefixes, or DefaultPool alone without any; nil if nothing is said at all. Each is
// cut into blocks of blockBits (0: the default), and leaves out those of the ranges in exclude (see ParseRange) that are in
// it: each has to be in one.
func ParsePools(prefixes []string, blockBits int, exclude []string) ([]Pool, error) {
	if len(prefixes) == 0 && blockBits == 0 && len(exclude) == 0 {
		return nil, nil
	}
	var pools []Pool
	for _, s := range prefixes {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a prefix such as %v", clip(s), DefaultPool())
		}
		pools = append(pools, Pool{Prefix: p, BlockBits: blockBits})
	}
	if len(pools) == 0 {
		pools = []Pool{{Prefix: DefaultPool(), BlockBits: blockBits}}
	}
	if err := CheckPools(pools); err != nil { // before exclude goes on about what is no pool
		return nil, err
	}
	for _, s := range exclude {
		r, err := ParseRange(s)
		if err != nil {
			return nil, err
		}
		if err := leaveOut(pools, r); err != nil {
			return nil, err
		}
	}
	return pools, CheckPools(pools)
}

// leaveOut adds r to what the pool that it is in excludes.
func leaveOut(pools []Pool, r Range) error {
	for i := range pools {
		p := &pools[i]
		if p.Prefix.Contains(r.First) && p.Prefix.Contains(r.Last) {
			p.Exclude = append(p.Exclude, r.Prefixes()...)
			return nil
		}
	}
	return fmt.Errorf("%v, which is excluded, is not in a pool", r)
}
