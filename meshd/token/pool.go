package token

import (
	"errors"
	"fmt"
	"net/netip"
)

// Pool is IPv4 addresses of which a network's containers get theirs. Its JSON is part of the API's.
type Pool struct {
	Prefix netip.Prefix `json:"prefix"`
	// BlockBits is the prefix length of the blocks that hosts own: 26 is 64 addresses. 0: 26, or longer where the pool is
	// small.
	BlockBits int `json:"block_bits,omitzero"`
	// Gateway is the address that every host has on its bridge; none: the first of the pool.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Exclude is never given to a container.
	Exclude []netip.Prefix `json:"exclude,omitempty"`
}

// Limits of pools.
const (
	MinPoolBits = 8  // of a pool's prefix: the largest pool
	MaxPoolBits = 29 // the smallest: 8 addresses, of which network, broadcast and gateway are not for containers
	minBlock    = 20 // of a block's: 4,096 addresses
	maxBlock    = 31 // 2 addresses
	maxBlocks   = 18 // bits: 2^18 blocks of one pool
	MaxPools    = 8  // of one network
	MaxExclude  = 64 // prefixes of one pool
)

// DefaultPool returns the prefix of the only pool of a network that says nothing about IPv4.
func DefaultPool() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77}), 16) }

// CheckPools says whether a network can have these pools: at most MaxPools, each good, no two with an address in common.
func CheckPools(pools []Pool) error {
	if len(pools) > MaxPools {
		return fmt.Errorf("%d pools are more than %d", len(pools), MaxPools)
	}
	for i, p := range pools {
		if err := p.check(); err != nil {
			return err
		}
		for _, q := range pools[:i] {
			if p.Prefix.Overlaps(q.Prefix) {
				return fmt.Errorf("pools %v and %v overlap", q.Prefix, p.Prefix)
			}
		}
	}
	return nil
}

// CheckPool says whether p has the form of a pool's prefix: IPv4, /8 to /29, no host bits, addresses that hosts can have.
func CheckPool(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("there is no pool")
	case !a.Is4():
		return fmt.Errorf("pool %v is not IPv4", p)
	case p.Bits() < MinPoolBits:
		return fmt.Errorf("pool %v is larger than a /%d", p, MinPoolBits)
	case p.Bits() > MaxPoolBits:
		return fmt.Errorf("pool %v is smaller than a /%d", p, MaxPoolBits)
	case p != p.Masked():
		return fmt.Errorf("pool %v has host bits; did you mean %v?", p, p.Masked())
	}
	for _, r := range unusable() {
		if p.Overlaps(r.prefix) {
			return fmt.Errorf("pool %v has addresses of %v (%s), which no host can have", p, r.prefix, r.what)
		}
	}
	return nil
}

// special is addresses with a meaning of their own.
type special struct {
	prefix netip.Prefix
	what   string
}

// unusable returns what is no host's address (RFC 6890 §2.2.2, and RFC 5771 for multicast).
func unusable() []special {
	return []special{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link local"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	}
}

// check says whether every field of p makes sense.
func (p Pool) check() error {
	if err := CheckPool(p.Prefix); err != nil {
		return err
	}
	low, high := max(minBlock, p.Prefix.Bits()), min(maxBlock, p.Prefix.Bits()+maxBlocks)
	if p.BlockBits != 0 && (p.BlockBits < low || p.BlockBits > high) {
		return fmt.Errorf("pool %v cannot be cut into blocks of /%d; /%d to /%d are possible", p.Prefix, p.BlockBits, low, high)
	}
	if p.Gateway.IsValid() {
		if err := p.checkGateway(); err != nil {
			return err
		}
	}
	if len(p.Exclude) > MaxExclude {
		return fmt.Errorf("pool %v excludes %d prefixes; at most %d are allowed", p.Prefix, len(p.Exclude), MaxExclude)
	}
	for _, e := range p.Exclude {
		switch {
		case !e.IsValid() || !e.Addr().Is4() || e != e.Masked():
			return fmt.Errorf("pool %v excludes %v, which is not an IPv4 prefix", p.Prefix, e)
		case !p.Prefix.Contains(e.Addr()) || e.Bits() <= p.Prefix.Bits():
			return fmt.Errorf("pool %v excludes %v, which is not a part of it", p.Prefix, e)
		}
	}
	return nil
}

// checkGateway says whether the gateway is an address that a host can have in the pool.
func (p Pool) checkGateway() error {
	first := p.Prefix.Addr()
	switch {
	case !p.Prefix.Contains(p.Gateway):
		return fmt.Errorf("gateway %v is not in pool %v", p.Gateway, p.Prefix)
	case p.Gateway == first, p.Gateway == lastAddr(p.Prefix):
		return fmt.Errorf("gateway %v is the network or broadcast address of pool %v", p.Gateway, p.Prefix)
	}
	return nil
}

// lastAddr returns the last address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}
