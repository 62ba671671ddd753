package raftstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// resigned has node n resign, leave and end, and returns how long the resignation took.
func (c *cluster) resigned(n int) time.Duration {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	if err := c.stores[n].Resign(ctx); err != nil {
		c.t.Fatalf("node %d resigns: %v", n, err)
	}
	took := time.Since(began)
	if got := c.stores[n].standing(); got.role != roleClient {
		c.t.Errorf("role of %d after its resignation = %v, want client", n, got.role)
	}
	r, err := c.stores[n].Do(ctx, registry.Command{Op: registry.OpRemoveNode, To: nodeID(n)}) // as node.Leave does
	if err != nil || r.Err() != nil {
		c.t.Errorf("removing node %d, which resigned: %v, %v", n, err, r.Err())
	}
	c.down(n)
	c.mu.Lock()
	m := c.members[n]
	m.Left = true
	c.members[n] = m
	c.mu.Unlock()
	return took
}

// "The first of two leaves => the second keeps working"; and so with more, whoever leaves, down to the last.
func TestResign(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		nodes, voters, copies   int
		voters2, copies2, rest2 int // after the first one has left
	}{
		{"two", 2, 1, 1, 1, 0, 0},
		{"three", 3, 3, 0, 1, 1, 0},
		{"four", 4, 3, 1, 3, 0, 0},
		{"six", 6, 5, 1, 5, 0, 0},
		{"nine", 9, 5, 2, 5, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
				for n := 1; n <= tt.nodes; n++ {
					c.up(n)
				}
				c.awaitRoles(2*time.Minute, tt.voters, tt.copies, tt.nodes-tt.voters-tt.copies)
				owner := make(map[int]string)
				for n := 1; n <= tt.nodes; n++ {
					c.admit(n)
					owner[n] = c.mustClaim(n).String()
				}
				if took := c.resigned(c.leader()); took > 10*time.Second {
					t.Errorf("the leader resigned in %v", took)
				}
				for n := range c.stores { // at once
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if _, err := c.claim(ctx, n); err != nil {
						t.Errorf("claiming a block for node %d right after the first has left: %v", n, err)
					}
					cancel()
				}
				_, voters, _, _ := c.roles()
				if voters%2 == 0 {
					t.Errorf("%d voters are left", voters)
				}
				c.awaitRoles(2*time.Minute, tt.voters2, tt.copies2, tt.rest2)
				for len(c.stores) > 1 {
					for n := range c.stores { // any
						c.resigned(n)
						break
					}
				}
				c.awaitRoles(time.Minute, 1, 0, 0)
				for n, s := range c.stores {
					if got := c.mustClaim(n).String(); got != owner[n] {
						t.Errorf("the last one has %s, want %s, which it had before", got, owner[n])
					}
					if err := s.Resign(t.Context()); err != nil { // nobody is left
						t.Errorf("the last one resigns: %v", err)
					}
				}
			})
		})
	}
}

// Who resigned is not asked to serve again, and who gave it up is.
func TestResignedStaysClient(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		other := c.leader()%3 + 1
		if err := c.stores[other].Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		c.awaitRoles(time.Second, 1, 1, 1)
		c.stores[other].setResigning(false)
		c.awaitRoles(3*time.Minute, 3, 0, 0)
	})
}

// When the others are not there, Resign says so within the time it has, and the node serves on.
func TestResignInVain(t *testing.T) {
	for _, tt := range []struct {
		name          string
		nodes, voters int
		noticed       bool  // by membership
		dead          []int // after which 1 resigns
	}{
		{"the copy is down", 2, 1, true, []int{2}},
		{"the copy is cut off", 2, 1, false, []int{2}},
		{"two of three are down", 3, 3, true, []int{2, 3}},
		{"two of three are cut off", 3, 3, false, []int{2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
				for n := 1; n <= tt.nodes; n++ {
					c.up(n)
				}
				c.awaitRoles(time.Minute, tt.voters, tt.nodes-tt.voters, 0)
				for _, n := range tt.dead {
					if tt.noticed {
						c.down(n)
					} else {
						c.isolate(1, n)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				if err := c.stores[1].Resign(ctx); !errors.Is(err, ipam.ErrNoStore) || time.Since(began) > 21*time.Second {
					t.Errorf("Resign error = %v after %v, want ErrNoStore within 20s", err, time.Since(began))
				} else {
					t.Logf("after %v: %v", time.Since(began), err)
				}
				for _, n := range tt.dead {
					if tt.noticed {
						c.up(n)
					}
				}
				c.isolate(0, tt.dead...)
				c.await(2*time.Minute, "a leader", func() bool { return c.leader() != 0 })
				c.admit(tt.nodes)
			})
		})
	}
}

// One of three is dead: the other two are a majority, and one of them can leave.
func TestResignBesideDead(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, 5 * time.Minute} { // before and after it is known to be dead
		inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
			for n := 1; n <= 3; n++ {
				c.up(n)
			}
			c.awaitRoles(time.Minute, 3, 0, 0)
			for n := 1; n <= 3; n++ {
				c.admit(n)
			}
			old := c.leader()
			c.down(old)
			c.await(time.Minute, "a leader", func() bool { return c.leader() != 0 })
			time.Sleep(wait)
			c.resigned(c.leader())
			c.awaitRoles(time.Minute, 1, 0, 0)
			c.up(old)
			c.awaitRoles(3*time.Minute, 1, 1, 0)
		})
	}
}

// A copy that has nothing yet is none, for people, and cannot be recovered: that would never end.
func TestBlankCopy(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.admit(1)
		c.up(2)
		leader := c.stores[1].standing()
		if st, answer, err := c.stores[2].answerEnlist(nodeID(1), leader.append(nil)); st != statusOK || err != nil {
			t.Fatalf("enlist = %d, %q, %v", st, answer, err)
		}
		c.down(1)
		if got := c.stores[2].Status().Role; got != ipam.RoleClient {
			t.Errorf("role of who has nothing = %s, want client", got)
		}
		if err := c.stores[2].Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("Recover of an empty copy error = %v", err)
		}
		c.up(1)
		c.awaitRoles(3*time.Minute, 1, 1, 0)
	})
}

// "Two hosts, one voter: the second host is at least a copy so that ipam recover works there", from its first seconds on.
func TestRecoverSecondOfTwo(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.admit(1)
		c.up(2)
		c.awaitRoles(5*time.Second, 1, 1, 0)
		c.admit(2)
		block := c.mustClaim(2)
		time.Sleep(2 * time.Second)
		c.down(1)
		c.await(time.Minute, "node 2 misses the leader", func() bool { return c.stores[2].Status().Err != nil })
		if err := c.stores[2].Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.awaitRoles(20*time.Second, 1, 0, 0)
		if state, err := c.stores[2].View(t.Context()); err != nil || state.Blocks[block].Owner != nodeID(2) {
			t.Errorf("View after Recover has %d blocks, %v", len(state.Blocks), err)
		}
	})
}
