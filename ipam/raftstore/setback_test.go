package raftstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// backup returns a copy of the disk of a node that is down.
func (c *cluster) backup(n int) *memDisk {
	c.t.Helper()
	d := c.disks[n]
	from, to := d.data.log.(*fullStore), raft.NewInmemStore()
	last, _ := from.LastIndex()
	for i := uint64(1); i <= last; i++ {
		var e raft.Log
		if err := from.GetLog(i, &e); err != nil {
			c.t.Fatal(err)
		}
		if err := to.StoreLog(&e); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm"} { // of raft's stable store
		if v, err := from.GetUint64([]byte(key)); err == nil {
			_ = to.SetUint64([]byte(key), v)
		}
	}
	if v, err := from.Get([]byte("LastVoteCand")); err == nil {
		_ = to.Set([]byte("LastVoteCand"), v)
	}
	backup := &memDisk{memo: d.memo}
	store := &fullStore{to, backup}
	backup.data = &stores{log: store, stable: store, snapshots: raft.NewInmemSnapshotStore(), path: "memory",
		close: func() error { return nil }}
	return backup
}

// The only voter is set back to a backup: the copy proves it, keeps what it has, and is recovered. Of what the other owns nothing is
// given out twice; if the two do not meet at once, what the voter decides until then is lost with it.
func TestOnlyVoterSetBack(t *testing.T) {
	for _, apart := range []bool{false, true} {
		inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
			c.up(1)
			c.up(2)
			c.awaitRoles(time.Minute, 1, 1, 0)
			c.admit(1)
			c.admit(2)
			c.down(1)
			backup := c.backup(1)
			c.up(1)
			c.awaitRoles(time.Minute, 1, 1, 0)
			theirs := c.mustClaim(2)
			time.Sleep(5 * time.Second) // the copy has it
			c.down(1)

			c.disks[1] = backup
			c.up(1)
			if apart {
				c.isolate(1, 1)
				for range 3 {
					c.mustClaim(1) // nobody is there to tell it
				}
				c.isolate(0, 1)
			}
			c.await(30*time.Second, "the voter gives up", func() bool { return c.stores[1].standing().role == roleClient })
			if _, err := c.claim(t.Context(), 1); !errors.Is(err, ipam.ErrNoStore) || !strings.Contains(err.Error(), "meshctl ipam recover") ||
				!strings.Contains(err.Error(), "n2") {
				t.Errorf("claim on who was set back error = %v, want one that names the newer copy and the way out", err)
			}
			c.await(30*time.Second, "the copy can be recovered", func() bool { return c.stores[2].Recover(t.Context()) == nil })
			c.awaitRoles(time.Minute, 1, 1, 0)
			state, err := c.stores[1].View(t.Context())
			if err != nil || state.Generation != 2 || state.Blocks[theirs].Owner != nodeID(2) {
				t.Errorf("owner of %v in generation %d = %s, %v; want node 2 in generation 2", theirs, state.Generation,
					state.Blocks[theirs].Owner.Short(), err)
			}
			if err := c.stores[1].Status().Err; err != nil {
				t.Errorf("Status of who was set back, after the recovery: %v", err)
			}
		})
	}
}

// "A server refuses to replace an entry that it has applied."
func TestNothingDecidedIsReplaced(t *testing.T) {
	log := raft.NewInmemStore()
	g := &guard{stores: stores{log: log}, cut: func(error) {}, decided: func() uint64 { return 4 }}
	for i := range uint64(6) {
		if err := g.StoreLog(&raft.Log{Index: i + 1, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.DeleteRange(4, 6); !errors.Is(err, errSetBack) {
		t.Errorf("taking back entry 4, which is applied: %v, want errSetBack", err)
	}
	if err := errors.Join(g.DeleteRange(5, 6), g.DeleteRange(1, 2), g.failure()); err != nil { // nobody's yet; compaction
		t.Errorf("taking back what is not applied, and what is in a snapshot: %v", err)
	}
}

// An only voter that is started while its copy is down decides: after it has looked for the copy.
func TestOnlyVoterAlone(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.up(2)
		c.awaitRoles(time.Minute, 1, 1, 0)
		c.admit(1)
		c.down(2)
		c.down(1)
		c.up(1)
		began := time.Now()
		if c.mustClaim(1); time.Since(began) > 4*time.Second {
			t.Errorf("claimed after %v", time.Since(began))
		}
		c.up(2)
		c.awaitRoles(time.Minute, 1, 1, 0)
		c.admit(2)
		if state, err := c.stores[2].View(t.Context()); err != nil || len(registry.Check(state)) > 0 {
			t.Errorf("Check = %v, %v", registry.Check(state), err)
		}
	})
}
