package node

import (
	"sync"
	"testing"

	"meshnet/ipam"
	"meshnet/meshd/session"
)

// "This node's own attachments come first, so that no member can take their traffic away."
func TestClaim(t *testing.T) {
	self, low, high := session.NodeID{5}, session.NodeID{1}, session.NodeID{9}
	for _, tt := range []struct {
		name   string
		claims []session.NodeID
		want   session.NodeID
	}{
		{"one", []session.NodeID{high}, high},
		{"the lower of two", []session.NodeID{high, low}, low},
		{"the lower of two, in the other order", []session.NodeID{low, high}, low},
		{"ours against a lower one", []session.NodeID{self, low}, self},
		{"ours after a lower one", []session.NodeID{low, self}, self},
	} {
		table := make(map[string]session.NodeID)
		for _, c := range tt.claims {
			claim(self, table, "02:00:00:00:00:01", c)
		}
		if got := table["02:00:00:00:00:01"]; got != tt.want {
			t.Errorf("%s: the claim goes to %v, want %v", tt.name, got.Short(), tt.want.Short())
		}
	}
}

// One goroutine at a time changes an attachment, and nothing is kept of it afterwards.
func TestKeyed(t *testing.T) {
	var k keyed
	var wg sync.WaitGroup
	a, inside := ipam.Attachment{Container: "web", IfName: "eth0"}, 0
	for range 50 {
		wg.Go(func() {
			defer k.lock(a)()
			if inside++; inside != 1 {
				t.Errorf("%d goroutines change one attachment", inside)
			}
			inside--
		})
	}
	other := k.lock(ipam.Attachment{Container: "db", IfName: "eth0"}) // does not wait for the first
	other()
	wg.Wait()
	if len(k.busy) != 0 {
		t.Errorf("%d locks are kept, want none", len(k.busy))
	}
}

// Two attachments are locked in an order of their own, so nobody waits for who waits for him; one that is not there is none.
func TestKeyedTwo(t *testing.T) {
	var k keyed
	var wg sync.WaitGroup
	a, b := ipam.Attachment{Container: "web", IfName: "eth0"}, ipam.Attachment{Container: "www", IfName: "eth0"}
	inside := 0
	for i := range 50 {
		first, second := a, b
		if i%2 == 0 {
			first, second = b, a
		}
		wg.Go(func() {
			defer k.lock(first, second, ipam.Attachment{})()
			if inside++; inside != 1 {
				t.Errorf("%d goroutines change one attachment", inside)
			}
			inside--
		})
	}
	wg.Wait()
	k.lock(a, a)()
	if len(k.busy) != 0 {
		t.Errorf("%d locks are kept, want none", len(k.busy))
	}
}
