package raftstore

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

// Leaders die, nodes are cut off and return, again and again, while every node claims blocks. What was granted stays granted
// and is nobody else's, and after it is over all is as it should be.
func TestChaos(t *testing.T) {
	for seed := range uint64(2) {
		inBubble(t, []int{1}, func(t *testing.T, c *cluster) { chaos(t, c, rand.New(rand.NewPCG(seed, 2))) })
	}
}

func chaos(t *testing.T, c *cluster, r *rand.Rand) {
	const nodes = 7
	for n := 1; n <= nodes; n++ {
		c.up(n)
	}
	c.awaitRoles(3*time.Minute, 5, 2, 0)
	for n := 1; n <= nodes; n++ {
		c.admit(n)
	}
	granted := make(map[netip.Prefix]int)
	have := make(map[int][]netip.Prefix)
	for range 12 {
		victim := 1 + r.IntN(nodes)
		if r.IntN(2) == 0 {
			victim = max(c.leader(), 1)
		}
		kill := r.IntN(2) == 0
		if kill {
			c.down(victim)
		} else {
			c.isolate(1, victim, 1+r.IntN(nodes))
		}
		claimAll(c, granted, have)
		time.Sleep(time.Duration(r.IntN(120)) * time.Second)
		claimAll(c, granted, have)
		for n := 1; n <= nodes; n++ {
			c.isolate(0, n)
		}
		if kill {
			c.up(victim)
		}
	}
	c.awaitRoles(10*time.Minute, 5, 2, 0)
	claimAll(c, granted, have)
	time.Sleep(2 * time.Second)
	state, err := c.stores[c.leader()].View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v := registry.Check(state); len(v) != 0 {
		t.Errorf("Check = %v", v)
	}
	for block, n := range granted {
		if got := state.Blocks[block].Owner; got != nodeID(n) {
			t.Errorf("%v was granted to node %d and is %s's", block, n, got.Short())
		}
	}
	if len(granted) < nodes {
		t.Errorf("%d blocks were granted, want at least %d", len(granted), nodes)
	}
	first, _ := c.stores[1].View(t.Context())
	for n := 2; n <= nodes; n++ {
		if other, err := c.stores[n].View(t.Context()); err != nil || len(other.Blocks) != len(first.Blocks) {
			t.Errorf("node %d sees %d blocks, node 1 %d: %v", n, len(other.Blocks), len(first.Blocks), err)
		}
	}
}

// claimAll has all nodes that are up claim one more block at once, until each has four.
func claimAll(c *cluster, granted map[netip.Prefix]int, have map[int][]netip.Prefix) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for n := range c.stores {
		mu.Lock()
		mine := slices.Clone(have[n])
		mu.Unlock()
		if len(mine) >= 4 {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			block, err := c.claim(ctx, n, mine...)
			if err != nil || !block.IsValid() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, ok := granted[block]; ok && other != n {
				c.t.Errorf("%v was granted to node %d and to node %d", block, other, n)
			}
			granted[block] = n
			have[n] = append(have[n], block)
		})
	}
	wg.Wait()
}
