package raftstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

// BenchmarkClaim claims a block through the leader's raft, with the log of each voter in memory or on the disk (fsynced), and
// streams in memory without latency; asked by the leader's node, or by a client of it.
func BenchmarkClaim(b *testing.B) {
	for _, voters := range []int{1, 3, 5} {
		for _, where := range []string{"memory", "disk"} {
			for _, from := range []string{"leader", "client"} {
				b.Run(fmt.Sprintf("voters=%d/log=%s/from=%s", voters, where, from), func(b *testing.B) {
					benchmarkClaim(b, voters, where == "disk", from == "client")
				})
			}
		}
	}
}

func benchmarkClaim(b *testing.B, voters int, onDisk, fromClient bool) {
	c := newCluster(b, 1)
	c.net.min, c.net.max = 0, 0
	c.time = fast()
	defer c.close()
	start := func(n int) {
		if !onDisk {
			c.up(n)
			return
		}
		c.mu.Lock()
		c.members[n] = Member{ID: nodeID(n), Alive: true, Since: time.Now(), Instance: 1}
		c.mu.Unlock()
		config := c.config(n)
		config.Dir = filepath.Join(b.TempDir(), fmt.Sprint(n))
		s, err := Open(config)
		if err != nil {
			b.Fatal(err)
		}
		c.mu.Lock()
		c.stores[n] = s
		c.mu.Unlock()
	}
	for n := 1; n <= voters; n++ {
		start(n)
	}
	c.await(time.Minute, "the voters", func() bool { _, v, _, _ := c.roles(); return v == voters })
	node := 1
	if fromClient { // under a wrong age, so that it never serves
		node = 9
		start(node)
		c.mu.Lock()
		m := c.members[node]
		m.Since = time.Now().Add(time.Hour)
		c.members[node] = m
		c.mu.Unlock()
	}
	c.admit(node)
	command := registry.Command{Op: registry.OpClaim, Node: nodeID(node), Instance: 1, Epoch: 1, Generation: c.accept[node]}
	var have []netip.Prefix
	for b.Loop() {
		command.Have = have
		r, err := c.stores[node].Do(context.Background(), command)
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			b.Fatal(err)
		}
		if have = append(have, r.Blocks[0].Block); len(have) == 64 { // a node that has 64 blocks gives them back
			b.StopTimer()
			for _, block := range have {
				give := registry.Command{Op: registry.OpReleaseBlock, Node: nodeID(node), Instance: 1, Epoch: 1, Block: block,
					Generation: c.accept[node]}
				if r, err := c.stores[node].Do(context.Background(), give); err != nil || r.Err() != nil {
					b.Fatal(err, r.Err())
				}
			}
			have = nil
			b.StartTimer()
		}
	}
}

// BenchmarkStart starts a server that has a log of 1,000 commands on disk: reading and checking it, and leading.
func BenchmarkStart(b *testing.B) {
	c := newCluster(b, 1)
	c.net.min, c.net.max = 0, 0
	c.members[1] = Member{ID: nodeID(1), Alive: true, Instance: 1}
	config := c.config(1)
	config.Dir = b.TempDir()
	config.Log = slog.New(slog.DiscardHandler)
	s, err := Open(config)
	if err != nil {
		b.Fatal(err)
	}
	c.stores[1] = s
	for range 1000 {
		c.admit(1)
	}
	for b.Loop() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if s, err = Open(config); err != nil {
			b.Fatal(err)
		}
		c.stores[1] = s
		c.admit(1)
	}
	c.close()
}
