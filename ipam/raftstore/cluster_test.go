package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// memDisk is a disk in memory. It outlives the Store, as a disk does.
type memDisk struct {
	mu       sync.Mutex
	memo     memo
	data     *stores
	full     error // what writing to the log fails with
	openFail error
}

func (d *memDisk) readMemo() (memo, error) { d.mu.Lock(); defer d.mu.Unlock(); return d.memo, nil }

// known returns the registry in the memo.
func (d *memDisk) known() identity { d.mu.Lock(); defer d.mu.Unlock(); return d.memo.Registry }

func (d *memDisk) writeMemo(m memo) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memo = m
	return nil
}

func (d *memDisk) open(hclog.Logger) (stores, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openFail != nil {
		return stores{}, d.openFail
	}
	if d.data == nil {
		store := &fullStore{raft.NewInmemStore(), d}
		d.data = &stores{log: store, stable: store, snapshots: raft.NewInmemSnapshotStore(), path: "memory",
			close: func() error { return nil }}
	}
	return *d.data, nil
}

func (d *memDisk) discard() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data = nil
	return nil
}

func (d *memDisk) setFull(err error) { d.mu.Lock(); d.full = err; d.mu.Unlock() }

func (d *memDisk) failure() error { d.mu.Lock(); defer d.mu.Unlock(); return d.full }

// fullStore fails to write while its disk is full.
type fullStore struct {
	*raft.InmemStore
	disk *memDisk
}

func (f *fullStore) StoreLogs(logs []*raft.Log) error {
	if err := f.disk.failure(); err != nil {
		return err
	}
	return f.InmemStore.StoreLogs(logs)
}

func (f *fullStore) SetUint64(key []byte, v uint64) error {
	if err := f.disk.failure(); err != nil {
		return err
	}
	return f.InmemStore.SetUint64(key, v)
}

// cluster is a network of nodes with their stores.
type cluster struct {
	t     testing.TB
	net   *fakeNet
	disks map[int]*memDisk
	time  Timing
	log   *slog.Logger

	mu      sync.Mutex
	stores  map[int]*Store
	members map[int]Member
	creator []int
	accept  map[int]uint64 // generation accepted
}

func newCluster(t testing.TB, creators ...int) *cluster {
	c := &cluster{t: t, net: newFakeNet(1), disks: make(map[int]*memDisk), stores: make(map[int]*Store),
		members: make(map[int]Member), accept: make(map[int]uint64), creator: creators, log: slog.New(slog.DiscardHandler)}
	if os.Getenv("RAFTSTORE_LOG") != "" {
		c.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return c
}

func nodeID(n int) registry.NodeID { return registry.NodeID{byte(n), 0xaa} }

// up starts node n, again if it was down.
func (c *cluster) up(n int) *Store {
	c.t.Helper()
	if c.disks[n] == nil {
		c.disks[n] = new(memDisk)
	}
	c.net.partition(0, nodeID(n))
	c.mu.Lock()
	c.members[n] = Member{ID: nodeID(n), Name: fmt.Sprintf("n%d", n), Alive: true, Since: time.Now(),
		Instance: c.members[n].Instance + 1}
	c.mu.Unlock()
	s, err := open(c.config(n), c.disks[n])
	if err != nil {
		c.t.Fatalf("opening node %d: %v", n, err)
	}
	c.mu.Lock()
	c.stores[n] = s
	c.mu.Unlock()
	return s
}

func (c *cluster) config(n int) Config {
	return Config{
		Dir: "memory", Self: nodeID(n), Streams: c.net.node(nodeID(n)), Members: c.list, Timing: c.time,
		Bootstrap: slices.Contains(c.creator, n),
		Init:      registry.Command{Pools: []registry.Pool{{Prefix: netip.MustParsePrefix("10.77.0.0/16")}}},
		Log:       c.log.With("node", n),
	}
}

func (c *cluster) list() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Member
	for _, m := range c.members {
		out = append(out, m)
	}
	return out
}

// down kills node n: nobody hears of it again. Membership notices.
func (c *cluster) down(n int) {
	c.t.Helper()
	c.net.partition(100+n, nodeID(n))
	if err := c.stores[n].Close(); err != nil {
		c.t.Errorf("closing node %d: %v", n, err)
	}
	c.mu.Lock()
	delete(c.stores, n)
	m := c.members[n]
	m.Alive, m.Since = false, time.Now()
	c.members[n] = m
	c.mu.Unlock()
}

// isolate puts nodes on their own side of a partition. Membership is left to believe in them: it is slower than raft.
func (c *cluster) isolate(side int, nodes ...int) {
	for _, n := range nodes {
		c.net.partition(side, nodeID(n))
	}
}

func (c *cluster) close() {
	for n, s := range c.stores {
		if err := s.Close(); err != nil {
			c.t.Errorf("closing node %d: %v", n, err)
		}
	}
}

// await waits until cond holds, for at most limit.
func (c *cluster) await(limit time.Duration, what string, cond func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			for n, s := range c.stores {
				c.t.Logf("node %d: %+v", n, s.Status())
			}
			c.t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// roles counts the roles as the nodes see themselves.
func (c *cluster) roles() (leaders, voters, copies, clients int) {
	for _, s := range c.stores {
		switch st := s.standing(); st.role {
		case roleLeader:
			leaders++
			voters++
		case roleVoter:
			voters++
		case roleCopy:
			copies++
		case roleClient:
			clients++
		}
	}
	return leaders, voters, copies, clients
}

func (c *cluster) awaitRoles(limit time.Duration, voters, copies, clients int) time.Duration {
	c.t.Helper()
	return c.await(limit, fmt.Sprintf("%d voters, %d copies, %d clients", voters, copies, clients), func() bool {
		l, v, cp, cl := c.roles()
		return l == 1 && v == voters && cp == copies && cl == clients
	})
}

// leader returns the node that leads.
func (c *cluster) leader() int {
	for n, s := range c.stores {
		if s.standing().role == roleLeader {
			return n
		}
	}
	return 0
}

// admit has node n admitted to the registry and returns its epoch.
func (c *cluster) admit(n int) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := c.stores[n].Do(ctx, registry.Command{Op: registry.OpRefresh, Node: nodeID(n), Name: fmt.Sprintf("n%d", n), Instance: 1})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		c.t.Fatalf("admitting node %d: %v", n, err)
	}
	c.accept[n] = r.Generation
	return r.Epoch
}

// claim claims a block for node n, which was admitted under epoch 1.
func (c *cluster) claim(ctx context.Context, n int, have ...netip.Prefix) (netip.Prefix, error) {
	r, err := c.stores[n].Do(ctx, registry.Command{Op: registry.OpClaim, Node: nodeID(n), Instance: 1, Epoch: 1, Have: have,
		Generation: c.accept[n]})
	if err == nil {
		err = r.Err()
	}
	if err != nil || len(r.Blocks) == 0 {
		return netip.Prefix{}, err
	}
	return r.Blocks[0].Block, nil
}

// generation returns that of node n's view.
func (c *cluster) generation(n int) uint64 {
	c.t.Helper()
	state, err := c.stores[n].View(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return state.Generation
}

func (c *cluster) mustClaim(n int, have ...netip.Prefix) netip.Prefix {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	block, err := c.claim(ctx, n, have...)
	if err != nil {
		c.t.Fatalf("claiming a block for node %d: %v", n, err)
	}
	return block
}

// inBubble runs f on a cluster with fake time.
func inBubble(t *testing.T, creators []int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, creators...)
		defer time.Sleep(time.Minute) // raft's transport has goroutines that end some time after it
		defer c.close()
		f(t, c)
	})
}

func TestOneNodeIsEnough(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		if took := c.awaitRoles(20*time.Second, 1, 0, 0); took > time.Second {
			t.Errorf("leads after %v, want at once: there is nobody to wait for", took)
		}
		c.admit(1)
		if block := c.mustClaim(1); !block.IsValid() {
			t.Error("no block was claimed")
		}
		if st := c.stores[1].Status(); st.Engine != "raft" || st.Role != ipam.RoleVoter || st.Leader != "n1" || st.Err != nil ||
			!slices.Equal(st.Voters, []string{"n1"}) {
			t.Errorf("Status = %+v", st)
		}
	})
}

// The first of two nodes votes, the second copies.
func TestTwoNodes(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.up(2)
		c.awaitRoles(time.Minute, 1, 1, 0)
		c.admit(2)
		c.mustClaim(2)
		if st := c.stores[1].Status(); !slices.Equal(st.Voters, []string{"n1"}) || !slices.Equal(st.Copies, []string{"n2"}) {
			t.Errorf("voters = %v, copies = %v, want n1 and n2", st.Voters, st.Copies)
		}
		time.Sleep(2 * time.Second) // a copy may lag
		state, err := c.stores[2].View(t.Context())
		if err != nil || len(state.Blocks) != 1 {
			t.Errorf("View of the copy = %d blocks, %v", len(state.Blocks), err)
		}
	})
}

func TestThreeVoters(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		t.Logf("three voters after %v", c.awaitRoles(time.Minute, 3, 0, 0))
	})
}

// Nine nodes: five voters, two copies, two clients, who find the leader and follow it when it dies.
func TestLeaderDies(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 9; n++ {
			c.up(n)
		}
		t.Logf("five voters and two copies after %v", c.awaitRoles(2*time.Minute, 5, 2, 2))
		for n := 1; n <= 9; n++ {
			c.admit(n)
		}
		old := c.leader()
		c.down(old)
		for n := range c.stores {
			began := time.Now()
			c.mustClaim(n)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("node %d claimed after %v", n, took)
			}
		}
		if now := c.leader(); now == old || now == 0 {
			t.Errorf("leader = %d after %d died", now, old)
		}
		t.Logf("a copy took its place after %v", c.awaitRoles(3*time.Minute, 5, 2, 1))
		c.up(old)
		t.Logf("the former leader is a client after %v", c.awaitRoles(2*time.Minute, 5, 2, 2))
		time.Sleep(2 * time.Second)
		state, err := c.stores[c.leader()].View(t.Context())
		if err != nil || len(state.Blocks) != 8 {
			t.Errorf("View = %d blocks, %v, want 8", len(state.Blocks), err)
		}
		if v := registry.Check(state); len(v) != 0 {
			t.Errorf("Check = %v", v)
		}
	})
}

// The majority side goes on; the minority says promptly and clearly that it cannot; after the heal it can.
func TestPartition(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 3; n++ {
			c.up(n)
		}
		c.awaitRoles(time.Minute, 3, 0, 0)
		for n := 1; n <= 3; n++ {
			c.admit(n)
		}
		alone := c.leader()
		c.isolate(1, alone)
		other := alone%3 + 1
		c.mustClaim(other)
		time.Sleep(30 * time.Second)
		began := time.Now()
		_, err := c.stores[alone].Do(t.Context(), registry.Command{Op: registry.OpClaim, Node: nodeID(alone), Instance: 1, Epoch: 1})
		if !errors.Is(err, ipam.ErrNoStore) || time.Since(began) > 5*time.Second {
			t.Errorf("Do in the minority error = %v after %v, want ErrNoStore within 5s", err, time.Since(began))
		}
		t.Logf("%v", err)
		if st := c.stores[alone].Status(); !errors.Is(st.Err, ipam.ErrNoStore) {
			t.Errorf("Status().Err = %v", st.Err)
		}
		c.isolate(0, alone)
		time.Sleep(15 * time.Second)
		c.mustClaim(alone)
	})
}

// The first node is gone for ever: the others lose nothing and forget it.
func TestFirstNodeGoes(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 4; n++ {
			c.up(n)
		}
		c.awaitRoles(2*time.Minute, 3, 1, 0)
		c.admit(1)
		c.admit(2)
		block := c.mustClaim(1)
		c.down(1)
		c.awaitRoles(3*time.Minute, 3, 0, 0)
		if got := len(c.stores[2].servers()); got != 3 {
			t.Errorf("servers = %d, want 3: the dead one is out", got)
		}
		if next := c.mustClaim(2); next == block {
			t.Errorf("claimed %v, which node 1 owns", next)
		}
	})
}

// "What Do answered here before, View has": on voters and copies, whom the leader tells later what it has decided, and on clients.
func TestReadYourWrites(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		for n := 1; n <= 6; n++ {
			c.up(n)
		}
		c.awaitRoles(2*time.Minute, 5, 1, 0)
		c.up(7)
		c.up(8)
		c.awaitRoles(2*time.Minute, 5, 2, 1)
		for n := 1; n <= 8; n++ {
			time.Sleep(5 * time.Second) // the leader is idle
			c.admit(n)
			block := c.mustClaim(n)
			began := time.Now()
			state, err := c.stores[n].View(t.Context())
			if err != nil || state.Blocks[block].Owner != nodeID(n) {
				t.Errorf("%s %d: View after claiming %v has %v as its owner, %v", c.stores[n].Status().Role, n, block,
					state.Blocks[block].Owner.Short(), err)
			}
			if took := time.Since(began); took > 200*time.Millisecond {
				t.Errorf("View took %v, want no longer than to ask the leader", took)
			}
		}
	})
}

// What View has shown it does not take back, and a copy that cannot ask anybody shows what it has.
func TestViewWithoutLeader(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		c.up(1)
		c.up(2)
		c.awaitRoles(time.Minute, 1, 1, 0)
		c.admit(2)
		time.Sleep(5 * time.Second)
		block := c.mustClaim(2)
		if state, err := c.stores[2].View(t.Context()); err != nil || len(state.Blocks) != 1 {
			t.Errorf("View = %d blocks, %v", len(state.Blocks), err)
		}
		c.isolate(1, 2)
		state, err := c.stores[2].View(t.Context())
		if err != nil || len(state.Nodes) != 1 {
			t.Errorf("View of a copy that is cut off = %d nodes, %v", len(state.Nodes), err)
		}
		c.isolate(0, 2)
		if state, err = c.stores[2].View(t.Context()); err != nil || state.Blocks[block].Owner != nodeID(2) {
			t.Errorf("View after the heal has %d blocks, %v", len(state.Blocks), err)
		}
	})
}
