package registry

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func soundState(t *testing.T) State {
	w := newWorld(t, pool("10.77.0.0/24"))
	w.admit("a", "b")
	w.ok(as("a", Command{Op: OpClaim, Block: block("10.77.0.16/28")}))
	w.ok(as("b", Command{Op: OpClaimAddress, Addr: addr("10.77.0.99"), Attachment: "web/eth0"}))
	s, err := Load(w.records)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// "`check` proves the invariants and names every violation."
func TestCheck(t *testing.T) {
	mine := block("10.77.0.16/28")
	for _, tt := range []struct {
		name   string
		breaks func(*State)
		want   string // rule: text
	}{
		{"sound", func(*State) {}, ""},
		{"no pool", func(s *State) { s.Pools, s.Blocks, s.Claims = nil, nil, nil }, "pool: no pool given"},
		{"pools overlap", func(s *State) { s.Pools = append(s.Pools, pool("10.77.0.128/25")) }, "pool: pool 10.77.0.128/25 overlaps pool 10.77.0.0/24: pools overlap"},
		{"foreign block", func(s *State) { s.Blocks[block("10.9.0.0/28")] = s.Blocks[mine] }, "block: block 10.9.0.0/28 is not a block of any pool"},
		{"other size", func(s *State) { s.Blocks[block("10.77.0.32/29")] = s.Blocks[mine] }, "block: block 10.77.0.32/29 is not a block of any pool"},
		{"two owners", func(s *State) { s.Blocks[block("10.77.0.16/29")] = Block{Owner: node("b"), Epoch: 1} },
			"block: block 10.77.0.16/29 is not a block of any pool; overlap: blocks 10.77.0.16/28 and 10.77.0.16/29 share addresses"},
		{"removed owner", func(s *State) { s.Nodes[node("a")] = Node{Name: "a", Epoch: 1, Removed: true} },
			"epoch: block 10.77.0.16/28 is owned by node a, which was removed"},
		{"ended epoch", func(s *State) { s.Nodes[node("a")] = Node{Name: "a", Epoch: 2} },
			"epoch: block 10.77.0.16/28 is owned by node a under epoch 1, which has ended: it is 2"},
		{"unknown owner", func(s *State) { delete(s.Nodes, node("b")) }, "epoch: address 10.77.0.99 is owned by node 6200000000, which nobody knows"},
		{"owned and cooling", func(s *State) { s.Blocks[mine] = Block{Owner: node("a"), Epoch: 1, Until: start} },
			"time: block 10.77.0.16/28 cools and has an owner, or neither"},
		{"claim outside", func(s *State) { s.Claims[addr("10.9.0.1")] = Claim{Owner: node("a"), Epoch: 1} }, "claim: address 10.9.0.1 is claimed and in no pool"},
		{"claim of the gateway", func(s *State) { s.Claims[addr("10.77.0.1")] = Claim{Owner: node("a"), Epoch: 1} },
			"claim: address 10.77.0.1 is claimed, but it is the gateway of pool 10.77.0.0/24"},
	} {
		s := soundState(t)
		tt.breaks(&s)
		var got []string
		for _, v := range Check(s) {
			got = append(got, v.Rule+": "+v.String())
		}
		if joined := strings.Join(got, "; "); joined != tt.want {
			t.Errorf("%s: Check = %q, want %q", tt.name, joined, tt.want)
		}
	}
}

// Records that contradict each other are found when they are loaded.
func TestLoadFindsContradictions(t *testing.T) {
	w := newWorld(t, pool("10.77.0.0/24"))
	w.admit("a", "b")
	b := w.own("a")
	n := nodeRecord{id: node("a")}
	value, _ := w.records.Get(nodeKey(n.id))
	if err := decodeRecord(value, &n); err != nil {
		t.Fatal(err)
	}
	n.blocks = []BlockUse{{Block: block("10.77.0.240/28")}}
	changed, err := encodeRecord(&n)
	if err != nil {
		t.Fatal(err)
	}
	w.records.Put(nodeKey(n.id), changed)
	s, err := Load(w.records)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"block " + b.String() + " is registered to node 6100000000, whose record does not list it",
		"node 6100000000 lists block 10.77.0.240/28, which is not registered to it",
	}
	if !reflect.DeepEqual(s.Faults, want) {
		t.Errorf("Faults = %q, want %q", s.Faults, want)
	}
	if v := Check(s); len(v) != 2 || v[0].Rule != RuleRecords {
		t.Errorf("Check = %v, want both faults", v)
	}
}

// Utilisation per pool and node.
func TestUse(t *testing.T) {
	w := newWorld(t, pool("10.77.0.0/24"), pool("10.78.0.0/29"))
	w.admit("a", "b")
	mine := w.ok(as("a", Command{Op: OpClaim, Block: block("10.77.0.16/28")})).Blocks[0].Block
	w.ok(as("a", Command{Op: OpRefresh, Epoch: 1, Uses: []BlockUse{{mine, 7}}}))
	w.ok(as("b", Command{Op: OpClaim, Block: block("10.77.0.32/28")}))
	w.ok(as("b", Command{Op: OpReleaseBlock, Block: block("10.77.0.32/28")}))
	w.ok(as("b", Command{Op: OpClaimAddress, Addr: addr("10.77.0.99")}))
	w.ok(Command{Op: OpReserve, Range: Reservation{First: addr("10.77.0.250"), Last: addr("10.77.0.255")}})
	s, err := Load(w.records)
	if err != nil {
		t.Fatal(err)
	}
	use := Use(s)
	want := PoolUse{
		Pool: s.Pools[0], Blocks: 16, Owned: 1, Cooling: 1, Free: 14,
		Addresses: 248, InBlocks: 16, Leased: 7, Claimed: 1, Reserved: 5,
		Nodes: []NodeUse{{Node: node("a"), Name: "a", Blocks: 1, Leased: 7}},
	}
	if len(use) != 2 || !reflect.DeepEqual(use[0], want) {
		t.Errorf("Use = %+v, want first %+v", use, want)
	}
	if u := use[1]; u.Blocks != 4 || u.Unusable != 1 || u.Free != 3 || u.Addresses != 5 {
		t.Errorf("use of an idle /29 = %+v, want 4 blocks, one of them unusable, 5 addresses", u)
	}
}

// "Never one that is fully reserved."
func TestClaimPassesOverReserved(t *testing.T) {
	w := newWorld(t, pool("10.77.0.0/29"))
	w.admit("a")
	w.ok(Command{Op: OpReserve, Range: Reservation{First: addr("10.77.0.2"), Last: addr("10.77.0.5")}})
	last := block("10.77.0.6/31")
	if got := w.own("a"); got != last {
		t.Errorf("claim gave %v, want %v", got, last)
	}
	if r := w.do(as("a", Command{Op: OpClaim, Have: []netip.Prefix{last}})); r.Code != Exhausted {
		t.Errorf("second claim = %v, want exhausted", r.Code)
	}
}
