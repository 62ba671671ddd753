package etcdstore

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"meshnet/ipam/registry"
)

// Fifty nodes that start at once get blocks of their own.
func TestFiftyClaimers(t *testing.T) {
	const nodes, each = 50, 2
	members := startEtcd(t, 3, "http")
	at := address(t, members, "")
	first := open(t, Config{Address: at, Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	admit(t, first)
	var mu sync.Mutex
	owners := map[netip.Prefix]int{}
	var running sync.WaitGroup
	for n := range nodes {
		s := open(t, Config{Address: at, Self: nodeID(100 + n), Timeout: patience})
		running.Go(func() {
			blocks, err := claimSeveral(t, s, each)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("node %d: %v", n, err)
			}
			for _, b := range blocks {
				if other, taken := owners[b]; taken {
					t.Errorf("nodes %d and %d both got %v", other, n, b)
				}
				owners[b] = n
			}
		})
	}
	running.Wait()
	state := owned(t, first, nodes*each)
	for block, n := range owners {
		if got := state.Blocks[block].Owner; got != nodeID(100+n) {
			t.Errorf("owner of %v = %v, want node %d", block, got.Short(), n)
		}
	}
	if len(owners) != nodes*each {
		t.Errorf("blocks given = %d, want %d", len(owners), nodes*each)
	}
}

// claimSeveral is for goroutines, where a test must not end.
func claimSeveral(t *testing.T, s *Store, count int) (blocks []netip.Prefix, err error) {
	do := func(c registry.Command) (registry.Result, error) {
		r, err := s.Do(t.Context(), c)
		if err == nil {
			err = r.Err()
		}
		return r, err
	}
	c := registry.Command{Op: registry.OpRefresh, Node: s.config.Self, Instance: 1, Name: "h" + s.config.Self.Short()}
	r, err := do(c)
	c = registry.Command{Op: registry.OpClaim, Node: c.Node, Instance: 1, Epoch: r.Epoch, Generation: r.Generation}
	for range count {
		if err != nil {
			return blocks, err
		}
		if r, err = do(c); err == nil && len(r.Blocks) != 1 {
			err = fmt.Errorf("%d blocks for one claim", len(r.Blocks))
		}
		if err == nil {
			blocks = append(blocks, r.Blocks[0].Block)
			c.Have = blocks
		}
	}
	return blocks, err
}

// A command that reads or writes more records than etcd takes operations in one transaction is still one transaction.
func TestManyRecordsAtOnce(t *testing.T) {
	const blocks = 150
	members := startEtcd(t, 1, "http")
	s := open(t, Config{Address: address(t, members, ""), Self: nodeID(1), Init: initCommand("10.0.0.0/8"), Timeout: patience})
	as := admit(t, s)
	var have []netip.Prefix
	for range blocks {
		have = append(have, claim(t, s, as, have...))
	}
	as.Op, as.Name = registry.OpRefresh, "a"
	for _, b := range have {
		as.Uses = append(as.Uses, registry.BlockUse{Block: b, Leased: 1})
	}
	r := must(t, s, as)
	if len(r.Blocks) != blocks || len(r.Lost) != 0 {
		t.Errorf("Refresh with %d blocks = %d blocks, %d lost, want all and none", blocks, len(r.Blocks), len(r.Lost))
	}
	must(t, s, registry.Command{Op: registry.OpRecover, Generation: 2})
	as.Uses = nil // what a node does not bring after a recovery is taken from it
	if r := must(t, s, as); len(r.Blocks) != 0 {
		t.Errorf("Refresh without blocks after a recovery = %d blocks, want none", len(r.Blocks))
	}
	owned(t, s, 0)
}

// BenchmarkClaim has one node claim block after block through three members on loopback.
func BenchmarkClaim(b *testing.B) {
	members := startEtcd(b, 3, "http")
	s := open(b, Config{Address: address(b, members, ""), Self: nodeID(1), Init: initCommand("10.0.0.0/8"), Timeout: patience})
	as := admit(b, s)
	var have []netip.Prefix
	for n := 0; b.Loop(); n++ {
		if n%16 == 0 { // a host has a few blocks, not thousands
			b.StopTimer()
			as.Node, have = nodeID(1000+n/16), nil
			r := must(b, s, registry.Command{Op: registry.OpRefresh, Node: as.Node, Instance: 1, Name: fmt.Sprintf("h%d", n)})
			as.Epoch = r.Epoch
			b.StartTimer()
		}
		have = append(have, claim(b, s, as, have...))
	}
}

// BenchmarkRefusal has one node ask for what it cannot have, which has to be confirmed by a read.
func BenchmarkRefusal(b *testing.B) {
	members := startEtcd(b, 3, "http")
	s := open(b, Config{Address: address(b, members, ""), Self: nodeID(1), Init: initCommand("10.0.0.0/8"), Timeout: patience})
	as := admit(b, s)
	as.Op, as.Epoch = registry.OpClaim, as.Epoch+1
	for b.Loop() {
		if r, err := s.Do(b.Context(), as); err != nil || r.Code != registry.Fenced {
			b.Fatalf("Do = %v, %v, want Fenced", r.Code, err)
		}
	}
}
