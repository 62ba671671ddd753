package raftstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// All stop and start again: nothing is lost, nobody makes a new registry.
func TestRestart(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		c.admit(2)
		first := c.mustClaim(2)
		id := c.disks[1].memo.Registry
		for n := 1; n <= 3; n++ {
			c.down(n)
		}
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		if again := c.mustClaim(2); again != first {
			t.Errorf("after the restart node 2 is given %v, want %v that it did not say it has", again, first)
		}
		for n := 1; n <= 3; n++ {
			if got := c.disks[n].memo.Registry; got != id {
				t.Errorf("node %d follows %+v, want %+v", n, got, id)
			}
		}
	})
}

// A voter that lost its log never serves under the old name.
func TestLostLog(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		before := c.disks[3].memo.Incarnation
		c.down(3)
		if err := c.disks[3].discard(); err != nil {
			t.Fatal(err)
		}
		c.up(3)
		c.awaitRoles(3*time.Minute, 3, 0, 0)
		if after := c.disks[3].memo.Incarnation; after == before || after == 0 {
			t.Errorf("incarnation = %x, before %x", after, before)
		}
	})
}

// A voter whose disk was set back to a snapshot has less than it said: it is taken out, and serves again under a new name.
func TestSetBackLog(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		c.admit(1)
		victim := c.leader()%3 + 1
		l := &leadership{store: c.stores[c.leader()], v: c.stores[c.leader()].server, heard: make(map[serverID]time.Time),
			seen: make(map[serverID]standing), lost: make(map[serverID]bool)}
		server := c.stores[victim].server.id
		answer := c.stores[victim].standing()
		l.polled(server, answer)
		if l.lost[server] {
			t.Fatal("a server that has what it had is lost")
		}
		answer.lastIndex = answer.applied - 1
		l.polled(server, answer)
		if !l.lost[server] {
			t.Error("a server that has less than it had goes on")
		}
	})
}

// Two of three are lost for good: Recover on the third goes on in the next generation, and one of the lost that comes back
// follows it.
func TestRecover(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 4; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 1, 0)
		c.admit(4)
		block := c.mustClaim(4)
		if err := c.stores[4].Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing to recover") {
			t.Errorf("Recover with a leader error = %v", err)
		}
		generation := c.generation(4)
		for n := 1; n <= 3; n++ {
			c.down(n)
		}
		time.Sleep(time.Minute)
		if _, err := c.claim(t.Context(), 4); !errors.Is(err, ipam.ErrNoStore) {
			t.Errorf("claim without a majority error = %v, want ErrNoStore", err)
		}
		if err := c.stores[4].Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.awaitRoles(20*time.Second, 1, 0, 0)
		if got := c.generation(4); got != generation+1 {
			t.Errorf("generation = %d, want %d", got, generation+1)
		}
		r, err := c.stores[4].Do(t.Context(), registry.Command{Op: registry.OpClaim, Node: nodeID(4), Instance: 1, Epoch: 1,
			Generation: generation})
		if err != nil || !errors.Is(r.Err(), registry.ErrStaleGeneration) {
			t.Errorf("claim under the former generation = %v, %v, want ErrStaleGeneration", r.Err(), err)
		}
		state, err := c.stores[4].View(t.Context())
		if err != nil || state.Blocks[block].Owner != nodeID(4) {
			t.Errorf("owner of %v = %v, %v", block, state.Blocks[block].Owner, err)
		}
		for n := 1; n <= 3; n++ { // a majority of the former generation
			c.up(n)
		}
		c.await(2*time.Minute, "all follow the recovered registry", func() bool {
			return !slices.ContainsFunc([]int{1, 2, 3}, func(n int) bool { return c.disks[n].known() != c.disks[4].known() })
		})
		c.awaitRoles(2*time.Minute, 3, 1, 0)
		if got := c.generation(1); got != generation+1 {
			t.Errorf("generation on node 1 = %d, want %d", got, generation+1)
		}
	})
}

// A recovery that was begun is finished after a restart.
func TestRecoverTwice(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.awaitRoles(time.Minute, 1, 0, 0)
		c.admit(1)
		c.down(1)
		m := c.disks[1].memo
		next := m.Registry
		next.Generation, next.Lineage = next.Generation+1, 7
		c.disks[1].memo = memo{Registry: m.Registry, Incarnation: 5, Recovering: &next}
		c.up(1)
		c.awaitRoles(20*time.Second, 1, 0, 0)
		if got := c.disks[1].memo; got.Recovering != nil || got.Registry != next {
			t.Errorf("memo = %+v, want registry %+v", got, next)
		}
	})
}

// Two hosts made the network. When they meet, the younger registry stops deciding, and says so; nothing is mixed; Join ends it.
func TestTwoRegistries(t *testing.T) {
	inBubble(t, []int{1, 11}, func(t *testing.T, c *cluster) {
		c.isolate(1, 11, 12)
		c.up(1)
		c.up(2)
		c.awaitRoles(time.Minute, 1, 1, 0)
		time.Sleep(time.Second) // or they would be of one age
		c.up(11)
		c.isolate(1, 11)
		c.up(12)
		c.isolate(1, 12)
		c.await(time.Minute, "the second registry", func() bool { return c.stores[12].standing().role == roleCopy })
		c.admit(1)
		c.admit(11)
		c.admit(12)
		c.mustClaim(11)

		c.isolate(0, 11, 12)
		time.Sleep(20 * time.Second)
		for _, n := range []int{11, 12} {
			_, err := c.claim(t.Context(), n)
			if !errors.Is(err, registry.ErrOtherRegistry) || !strings.Contains(err.Error(), "n11") || !strings.Contains(err.Error(), "n1 ") {
				t.Errorf("claim on node %d error = %v, want ErrOtherRegistry naming both creators", n, err)
			}
		}
		c.mustClaim(1)
		if err := c.stores[1].Join(t.Context()); err == nil {
			t.Error("Join on the older succeeded")
		}
		for _, n := range []int{11, 12} {
			if err := c.stores[n].Join(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.awaitRoles(2*time.Minute, 3, 1, 0)
		c.admit(11)
		c.mustClaim(11)
		for n, d := range c.disks {
			if d.memo.Registry != c.disks[1].memo.Registry {
				t.Errorf("node %d follows %+v", n, d.memo.Registry)
			}
		}
	})
}

// A full disk stops the server, not the node; when there is room it serves again.
func TestDiskFull(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.awaitRoles(time.Minute, 1, 0, 0)
		c.admit(1)
		c.disks[1].setFull(syscall.ENOSPC)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.claim(ctx, 1)
		if !errors.Is(err, ipam.ErrNoStore) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("claim error = %v, want ErrNoStore because of ENOSPC", err)
		}
		time.Sleep(time.Minute)
		if err := c.stores[1].Status().Err; !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Status().Err = %v, want ENOSPC", err)
		}
		c.disks[1].setFull(nil)
		c.awaitRoles(time.Minute, 1, 0, 0)
		c.mustClaim(1)
	})
}

// A disk that cannot save a term costs the server its part, and nothing panics.
func TestTermCannotBeSaved(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		old := c.leader()
		a, b := old%3+1, (old+1)%3+1
		c.disks[a].setFull(syscall.EIO)
		c.down(old)
		time.Sleep(time.Minute)
		if err := c.stores[a].Status().Err; !errors.Is(err, syscall.EIO) {
			t.Errorf("Status().Err = %v, want EIO", err)
		}
		c.disks[a].setFull(nil)
		c.await(time.Minute, "a leader", func() bool { return c.leader() != 0 })
		c.admit(b)
	})
}

// A registry that cannot be made: a command says why.
func TestCannotBeMade(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.disks[1] = new(memDisk)
		config := c.config(1)
		config.Init.Pools = append(config.Init.Pools, config.Init.Pools[0]) // overlap
		s, err := open(config, c.disks[1])
		if err != nil {
			t.Fatal(err)
		}
		c.stores[1] = s
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = c.claim(ctx, 1)
		if !errors.Is(err, ipam.ErrNoStore) || !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("claim error = %v, want ErrNoStore because of ErrInvalid", err)
		}
	})
}

// The real disk: what was written is there again; each fault says what it is and what to do.
func TestOSDisk(t *testing.T) {
	log := hclog.NewNullLogger()
	dir := filepath.Join(t.TempDir(), "store")
	d := osDisk(dir)
	if m, err := d.readMemo(); err != nil || m != (memo{}) {
		t.Fatalf("readMemo of nothing = %+v, %v", m, err)
	}
	want := memo{Registry: newRegistry(nodeID(1)), Incarnation: 9}
	if err := d.writeMemo(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.readMemo(); err != nil || got != want {
		t.Errorf("readMemo = %+v, %v, want %+v", got, err, want)
	}
	s, err := d.open(log)
	if err != nil {
		t.Fatal(err)
	}
	marker := bytes.Repeat([]byte("marker"), 100)
	g := &guard{stores: s, cut: func(error) {}}
	if err := g.StoreLogs([]*raft.Log{{Index: 1, Term: 1, Data: []byte("a")}, {Index: 2, Term: 1, Data: marker}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.open(log); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("open a second time error = %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, raftName, logName)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, marker)
	b[at+7] ^= 1
	for what, damaged := range map[string][]byte{"flipped bit": b, "cut off": b[:100], "zeros": make([]byte, len(b)), "empty page": b[:4096]} {
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.open(log); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "move that directory away") {
			t.Errorf("open with %s error = %v, want ErrCorrupt", what, err)
		}
	}
	if err := d.discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, previousName, logName)); err != nil {
		t.Errorf("what was given up: %v", err)
	}
	if err := d.discard(); err != nil {
		t.Errorf("discard of nothing: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, memoName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), memoName) {
		t.Errorf("Open with a broken memo error = %v", err)
	}
}

// A whole store on a real disk, stopped and started.
func TestRealDisk(t *testing.T) {
	c := newCluster(t, 1)
	c.time = fast()
	c.up(1) // for its entry in members
	c.down(1)
	c.net.partition(0, nodeID(1))
	config := c.config(1)
	config.Dir = filepath.Join(t.TempDir(), "a", "b")
	for round := range 2 {
		s, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		c.stores[1] = s
		if round == 0 {
			c.admit(1)
		}
		if got := c.mustClaim(1).String(); got == "" {
			t.Error("no block")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	config.Dir = filepath.Join(config.Dir, memoName, "below-a-file")
	if _, err := Open(config); err == nil {
		t.Error("Open in a place that cannot be succeeded")
	}
}

// fast is for tests in real time.
func fast() Timing {
	return Timing{Heartbeat: 200 * time.Millisecond, Election: 200 * time.Millisecond, Lease: 200 * time.Millisecond,
		Commit: 10 * time.Millisecond, Plan: 20 * time.Millisecond, Stable: 10 * time.Millisecond}
}
