package registry

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// "blocks (default /26, chosen smaller for small pools)", for "any size from /29 up".
func TestDefaultBlockBits(t *testing.T) {
	for _, tt := range []struct{ pool, block, blocks int }{
		{8, 26, 1 << 18}, {12, 26, 1 << 14}, {16, 26, 1024}, {20, 26, 64}, {22, 26, 16}, {23, 26, 8},
		{24, 28, 16}, {25, 28, 8}, {26, 29, 8}, {27, 30, 8}, {28, 31, 8}, {29, 31, 4},
	} {
		p, err := Pool{Prefix: netip.PrefixFrom(addr("10.0.0.0"), tt.pool)}.Normal()
		if err != nil {
			t.Errorf("pool /%d: %v", tt.pool, err)
			continue
		}
		if p.BlockBits != tt.block || p.Blocks() != tt.blocks {
			t.Errorf("pool /%d has %d blocks of /%d, want %d of /%d", tt.pool, p.Blocks(), p.BlockBits, tt.blocks, tt.block)
		}
		if p.Gateway != addr("10.0.0.1") {
			t.Errorf("pool /%d has gateway %v, want the first address", tt.pool, p.Gateway)
		}
		if last := p.Block(p.Blocks() - 1); !p.IsBlock(last) || lastAddr(last) != lastAddr(p.Prefix) {
			t.Errorf("pool /%d ends with block %v", tt.pool, last)
		}
	}
}

func TestPoolNormal(t *testing.T) {
	for _, tt := range []struct {
		name string
		pool Pool
		want string // in the error
	}{
		{"nothing", Pool{}, "not an IPv4 prefix"},
		{"IPv6", pool("fd00::/64"), "not an IPv4 prefix"},
		{"host bits", Pool{Prefix: netip.MustParsePrefix("10.0.0.1/24")}, "did you mean 10.0.0.0/24?"},
		{"too small", pool("10.0.0.0/30"), "the size must be from /8 to /29"},
		{"too large", pool("8.0.0.0/7"), "the size must be from /8 to /29"},
		{"blocks larger than the pool", Pool{Prefix: block("10.0.0.0/24"), BlockBits: 23}, "must be from /24 to /31"},
		{"huge blocks", Pool{Prefix: block("10.0.0.0/8"), BlockBits: 19}, "must be from /20 to /26"},
		{"too many blocks", Pool{Prefix: block("10.0.0.0/8"), BlockBits: 27}, "must be from /20 to /26"},
		{"single addresses", Pool{Prefix: block("10.0.0.0/24"), BlockBits: 32}, "must be from /24 to /31"},
		{"gateway elsewhere", Pool{Prefix: block("10.0.0.0/24"), Gateway: addr("10.0.1.1")}, "not a usable address"},
		{"gateway is the network", Pool{Prefix: block("10.0.0.0/24"), Gateway: addr("10.0.0.0")}, "not a usable address"},
		{"gateway is the broadcast", Pool{Prefix: block("10.0.0.0/24"), Gateway: addr("10.0.0.255")}, "not a usable address"},
		{"excluded elsewhere", Pool{Prefix: block("10.0.0.0/24"), Exclude: []netip.Prefix{block("10.0.1.0/28")}}, "not a part of the pool"},
		{"all excluded", Pool{Prefix: block("10.0.0.0/24"), Exclude: []netip.Prefix{block("10.0.0.0/24")}}, "not a part of the pool"},
	} {
		_, err := tt.pool.Normal()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCheckPoolsOverlap(t *testing.T) {
	for _, tt := range []struct {
		pools []Pool
		want  string
	}{
		{[]Pool{pool("10.0.0.0/24"), pool("10.0.1.0/24")}, ""},
		{[]Pool{pool("10.0.0.0/16"), pool("10.0.1.0/24")}, "pool 10.0.1.0/24 overlaps pool 10.0.0.0/16: pools overlap"},
		{[]Pool{pool("10.0.1.0/24"), pool("10.0.1.0/24")}, "pool 10.0.1.0/24 overlaps pool 10.0.1.0/24: pools overlap"},
		{nil, "no pool given"},
		{make([]Pool, MaxPools+1), "65 pools, the most is 64"},
	} {
		_, err := CheckPools(tt.pools)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && got != tt.want {
			t.Errorf("CheckPools(%v) error = %v, want %q", tt.pools, err, tt.want)
		}
	}
}

// "Network, broadcast, gateway and excluded ranges are never leased", of the pool, not of its blocks.
func TestPoolWhy(t *testing.T) {
	p, err := Pool{
		Prefix:  block("10.77.0.0/24"),
		Gateway: addr("10.77.0.254"),
		Exclude: []netip.Prefix{block("10.77.0.16/30")},
	}.Normal()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr string
		want Code
	}{
		{"10.77.0.0", NetworkAddress},
		{"10.77.0.1", OK},
		{"10.77.0.15", OK}, // the last of a block
		{"10.77.0.16", Excluded},
		{"10.77.0.19", Excluded},
		{"10.77.0.20", OK},
		{"10.77.0.32", OK}, // the first of a block
		{"10.77.0.254", GatewayAddress},
		{"10.77.0.255", BroadcastAddress},
		{"10.77.1.0", Outside},
		{"fd00::1", Outside},
	} {
		if got := p.Why(addr(tt.addr)); got != tt.want {
			t.Errorf("Why(%s) = %v, want %v", tt.addr, got, tt.want)
		}
	}
}

// Pools of every size can be used to the last address: no block is given twice, none that has nothing to lease, and when
// nothing is left, that is said.
func TestPoolsOfEverySize(t *testing.T) {
	for bits := 18; bits <= MaxPoolBits; bits++ {
		prefix := netip.PrefixFrom(addr("10.0.0.0"), bits)
		w := newWorld(t, Pool{Prefix: prefix})
		w.admit("a")
		p, _ := Pool{Prefix: prefix}.Normal()
		var have []netip.Prefix
		leasable := 0
		for {
			c := as("a", Command{Op: OpClaim, Have: have, Time: w.now})
			r := Apply(w.records, c)
			if r.Code == Exhausted {
				break
			}
			have = append(have, r.Blocks[0].Block)
			for a := range Addrs(r.Blocks[0].Block) {
				if p.Why(a) == OK {
					leasable++
				}
			}
		}
		if want := 1<<(32-bits) - 3; leasable != want {
			t.Errorf("pool /%d: the blocks have %d addresses to lease, want %d: all but network, gateway, broadcast", bits, leasable, want)
		}
		w.sound(Command{Op: OpClaim})
		s, err := Load(w.records)
		if err != nil {
			t.Fatal(err)
		}
		u := Use(s)[0]
		if u.Addresses != leasable || u.Owned != len(have) || u.Owned+u.Unusable != u.Blocks || u.InBlocks != leasable {
			t.Errorf("pool /%d: use %+v, want all %d addresses in %d blocks", bits, u, leasable, len(have))
		}
	}
}

// "order seeded by the node, so that nodes do not look in the same place": each order meets every block once.
func TestProbeMeetsEveryBlock(t *testing.T) {
	for _, bits := range []int{29, 24, 16, 12} {
		p, err := Pool{Prefix: netip.PrefixFrom(addr("10.0.0.0"), bits)}.Normal()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			next, seen := probe(p, node(name)), make(map[int]bool)
			for range p.Blocks() {
				seen[next()] = true
			}
			if len(seen) != p.Blocks() {
				t.Errorf("pool /%d: node %s meets %d of %d blocks", bits, name, len(seen), p.Blocks())
			}
		}
	}
}
