package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// Bounds of pools and blocks, in bits of prefix length. A block has at most 4,096 addresses, a pool at most 2^18 blocks.
const (
	MinPoolBits  = 8
	MaxPoolBits  = 29
	MinBlockBits = 20
	MaxBlockBits = 31
	maxIndexBits = 18

	// MaxPools is how many pools a registry may have.
	MaxPools = 64
)

// DefaultPool is the prefix of the pool of a network for which nobody chose one.
var DefaultPool = netip.MustParsePrefix("10.77.0.0/16")

// Pool is one IPv4 prefix that addresses are leased from, and how it is cut into blocks.
type Pool struct {
	Prefix    netip.Prefix
	BlockBits int            // prefix length of the blocks; 0: DefaultBlockBits
	Gateway   netip.Addr     // zero: the first address after the network address
	Exclude   []netip.Prefix // never leased
}

// DefaultBlockBits returns the prefix length of blocks for a pool of poolBits:
//
//	pool    /8 … /23   /24   /25   /26   /27   /28   /29
//	block   /26        /28   /28   /29   /30   /31   /31
//	blocks  8 …        16    8     8     8     8     4
//
// Blocks of 64 addresses serve a host for long without asking. In small pools several hosts and their reserve should
// find room, so blocks are smaller there.
func DefaultBlockBits(poolBits int) int {
	switch {
	case poolBits <= 23:
		return 26
	case poolBits == 24:
		return 28
	default:
		return min(poolBits+3, MaxBlockBits)
	}
}

// Normal returns p with its defaults filled in, or an error that says in one sentence what is wrong with p.
func (p Pool) Normal() (Pool, error) {
	if !p.Prefix.IsValid() || !p.Prefix.Addr().Is4() {
		return Pool{}, fmt.Errorf("pool %v: not an IPv4 prefix", p.Prefix)
	}
	if p.Prefix != p.Prefix.Masked() {
		return Pool{}, fmt.Errorf("pool %v: has bits set behind the prefix: did you mean %v?", p.Prefix, p.Prefix.Masked())
	}
	if bits := p.Prefix.Bits(); bits < MinPoolBits || bits > MaxPoolBits {
		return Pool{}, fmt.Errorf("pool %v: the size must be from /%d to /%d", p.Prefix, MinPoolBits, MaxPoolBits)
	}
	if p.BlockBits == 0 {
		p.BlockBits = DefaultBlockBits(p.Prefix.Bits())
	}
	low := max(MinBlockBits, p.Prefix.Bits())
	high := min(MaxBlockBits, p.Prefix.Bits()+maxIndexBits)
	if p.BlockBits < low || p.BlockBits > high {
		return Pool{}, fmt.Errorf("pool %v: blocks of /%d, must be from /%d to /%d", p.Prefix, p.BlockBits, low, high)
	}
	if p.Gateway == (netip.Addr{}) {
		p.Gateway = p.Prefix.Addr().Next()
	}
	switch p.Why(p.Gateway) {
	case Outside, NetworkAddress, BroadcastAddress:
		return Pool{}, fmt.Errorf("pool %v: gateway %v is not a usable address of the pool", p.Prefix, p.Gateway)
	}
	for _, x := range p.Exclude {
		if !x.IsValid() || x != x.Masked() || !p.Prefix.Overlaps(x) || x.Bits() <= p.Prefix.Bits() {
			return Pool{}, fmt.Errorf("pool %v: excluded %v is not a part of the pool", p.Prefix, x)
		}
	}
	return p, nil
}

func (p Pool) equal(q Pool) bool {
	return p.Prefix == q.Prefix && p.BlockBits == q.BlockBits && p.Gateway == q.Gateway && slices.Equal(p.Exclude, q.Exclude)
}

// CheckPools returns the pools with their defaults filled in, or an error if one is wrong or two overlap.
func CheckPools(pools []Pool) ([]Pool, error) {
	switch {
	case len(pools) == 0:
		return nil, errors.New("no pool given")
	case len(pools) > MaxPools:
		return nil, fmt.Errorf("%d pools, the most is %d", len(pools), MaxPools)
	}
	out := make([]Pool, 0, len(pools))
	for _, p := range pools {
		p, err := p.Normal()
		if err != nil {
			return nil, err
		}
		for _, q := range out {
			if p.Prefix.Overlaps(q.Prefix) {
				return nil, fmt.Errorf("pool %v overlaps pool %v: %w", p.Prefix, q.Prefix, ErrOverlap)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// Why returns OK if addr may be leased as far as the pool is concerned, else the Code that says why it never is: Outside,
// NetworkAddress, BroadcastAddress, GatewayAddress or Excluded.
func (p Pool) Why(addr netip.Addr) Code {
	switch {
	case !p.Prefix.Contains(addr):
		return Outside
	case addr == p.Prefix.Addr():
		return NetworkAddress
	case addr == lastAddr(p.Prefix):
		return BroadcastAddress
	case addr == p.Gateway:
		return GatewayAddress
	}
	for _, x := range p.Exclude {
		if x.Contains(addr) {
			return Excluded
		}
	}
	return OK
}

// Blocks returns the number of blocks.
func (p Pool) Blocks() int { return 1 << (p.BlockBits - p.Prefix.Bits()) }

// Block returns the i-th block, 0 <= i < Blocks().
func (p Pool) Block(i int) netip.Prefix {
	base := toUint32(p.Prefix.Addr())
	return netip.PrefixFrom(fromUint32(base+uint32(i)<<(32-p.BlockBits)), p.BlockBits)
}

// BlockOf returns the block that addr of the pool is in.
func (p Pool) BlockOf(addr netip.Addr) netip.Prefix {
	return netip.PrefixFrom(addr, p.BlockBits).Masked()
}

// IsBlock says whether b is one of the pool's blocks.
func (p Pool) IsBlock(b netip.Prefix) bool {
	return b.Bits() == p.BlockBits && b == b.Masked() && p.Prefix.Contains(b.Addr())
}

// PoolOf returns the pool that addr is in.
func PoolOf(pools []Pool, addr netip.Addr) (Pool, bool) {
	for _, p := range pools {
		if p.Prefix.Contains(addr) {
			return p, true
		}
	}
	return Pool{}, false
}

// Addrs returns the addresses of b in order.
func Addrs(b netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := b.Masked().Addr(); b.Contains(a); a = a.Next() {
			if !yield(a) {
				return
			}
		}
	}
}

func lastAddr(p netip.Prefix) netip.Addr {
	return fromUint32(toUint32(p.Addr()) | uint32(1<<(32-p.Bits())-1))
}

func toUint32(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func fromUint32(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
