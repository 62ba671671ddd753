package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

func nodeID(n int) registry.NodeID { return registry.NodeID{byte(n >> 8), byte(n), 31: 1} }

// initCommand makes a registry with one pool.
func initCommand(pool string) *registry.Command {
	return &registry.Command{
		Op: registry.OpInit, Registry: registry.ID{1}, Node: nodeID(1), Pools: []registry.Pool{{Prefix: netip.MustParsePrefix(pool)}},
	}
}

// must does a command that has to be granted.
func must(t testing.TB, s *Store, c registry.Command) registry.Result {
	t.Helper()
	r, err := s.Do(t.Context(), c)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		t.Fatalf("Do(%v) error = %v", c.Op, err)
	}
	return r
}

// admit has the store's node admitted and returns a command that it can base others on.
func admit(t testing.TB, s *Store) registry.Command {
	t.Helper()
	self := s.config.Self
	r := must(t, s, registry.Command{Op: registry.OpRefresh, Node: self, Instance: 1, Name: "h" + self.Short()})
	return registry.Command{Node: self, Instance: 1, Epoch: r.Epoch, Generation: r.Generation}
}

func claim(t testing.TB, s *Store, as registry.Command, have ...netip.Prefix) netip.Prefix {
	t.Helper()
	as.Op, as.Have = registry.OpClaim, have
	r := must(t, s, as)
	if len(r.Blocks) != 1 {
		t.Fatalf("Claim got %d blocks, want 1", len(r.Blocks))
	}
	return r.Blocks[0].Block
}

// owned waits until the store's view shows n owned blocks, in a registry that keeps its promises.
func owned(t testing.TB, s *Store, n int) registry.State {
	t.Helper()
	var state registry.State
	eventually(t, func() (err error) {
		if state, err = s.View(t.Context()); err != nil {
			return err
		}
		if got := countOwned(state); got != n {
			return fmt.Errorf("the view has %d owned blocks, want %d", got, n)
		}
		return nil
	})
	for _, v := range registry.Check(state) {
		t.Errorf("broken promise: %v", v)
	}
	return state
}

func countOwned(state registry.State) int {
	n := 0
	for _, b := range state.Blocks {
		if (b.Owner != registry.NodeID{}) {
			n++
		}
	}
	return n
}

// refuses checks that the store does not answer and says why.
func refuses(t testing.TB, s *Store, want ...string) {
	t.Helper()
	_, err := s.Do(t.Context(), registry.Command{Op: registry.OpExpireNodes})
	if !errors.Is(err, ipam.ErrNoStore) {
		t.Fatalf("Do error = %v, want ErrNoStore", err)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("Do error = %v, want one with %q", err, text)
		}
	}
	t.Logf("as it should be: %v", err)
}

func TestOneMember(t *testing.T) {
	members := startEtcd(t, 1, "http")
	at := address(t, members, "")
	first := open(t, Config{Address: at, Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	second := open(t, Config{Address: at, Self: nodeID(2), Timeout: patience})

	r, err := second.Do(t.Context(), registry.Command{Op: registry.OpRefresh, Node: nodeID(2), Instance: 1, Name: "b"})
	if err != nil || !errors.Is(r.Err(), registry.ErrEmpty) {
		t.Errorf("Do before the registry is made = %v, %v, want ErrEmpty", r.Err(), err)
	}
	a, b := admit(t, first), admit(t, second)
	blockA, blockB := claim(t, first, a), claim(t, second, b)
	if blockA == blockB {
		t.Errorf("both nodes got %v", blockA)
	}
	if again := claim(t, first, a); again != blockA {
		t.Errorf("Claim whose answer got lost, repeated = %v, want %v", again, blockA)
	}
	for _, s := range []*Store{first, second} {
		if got := owned(t, s, 2).Blocks[blockA].Owner; got != nodeID(1) {
			t.Errorf("owner of %v = %v, want the first node", blockA, got)
		}
		status := s.Status()
		if status.Engine != "etcd" || status.Role != ipam.RoleClient || status.Leader != members[0].endpoint ||
			status.Err != nil || status.LastContact.IsZero() {
			t.Errorf("Status() = %+v, want a client of %s without error", status, members[0].endpoint)
		}
	}
	a.Epoch++
	a.Op = registry.OpClaim
	if r, err := first.Do(t.Context(), a); err != nil || !errors.Is(r.Err(), registry.ErrFenced) {
		t.Errorf("Claim under a wrong epoch = %v, %v, want ErrFenced", r.Err(), err)
	}
	second.Close()
	if _, err := second.Do(t.Context(), b); !errors.Is(err, ipam.ErrNoStore) || !errors.Is(err, ipam.ErrClosed) {
		t.Errorf("Do after Close error = %v, want ErrNoStore and ErrClosed", err)
	}
	if err := second.Status().Err; !errors.Is(err, ipam.ErrClosed) {
		t.Errorf("Status().Err after Close = %v, want ErrClosed", err)
	}
}

// "A 3-member etcd with one member killed goes on."
func TestMembersDie(t *testing.T) {
	members := startEtcd(t, 3, "http")
	s := open(t, Config{
		Address: address(t, members, ""), Self: nodeID(1), Init: initCommand("10.77.0.0/16"),
		Timeout: patience, Probe: 100 * time.Millisecond,
	})
	as := admit(t, s)
	blocks := []netip.Prefix{claim(t, s, as)}
	members[0].kill()
	blocks = append(blocks, claim(t, s, as, blocks...))
	owned(t, s, 2)
	members[1].kill()

	impatient := open(t, Config{Address: address(t, members, ""), Self: nodeID(2), Timeout: 3 * time.Second})
	refuses(t, impatient, "etcd")
	eventually(t, func() error {
		if s.Status().Err == nil {
			return errors.New("Status().Err = nil with two of three members dead")
		}
		return nil
	})
	if !errors.Is(s.Status().Err, ipam.ErrNoStore) {
		t.Errorf("Status().Err = %v, want ErrNoStore", s.Status().Err)
	}
	if got := len(owned(t, s, 2).Blocks); got != 2 {
		t.Errorf("without a majority, the view has %d blocks, want the 2 last known", got)
	}

	members[0].start(t)
	claim(t, s, as, blocks...)
	members[1].start(t)
	owned(t, impatient, 3)
}

func TestNobodyThere(t *testing.T) {
	ports := freePorts(t, 2)
	s := open(t, Config{Address: parse(t, "etcd://"+strings.Join(ports, ",")), Self: nodeID(1), Timeout: 500 * time.Millisecond})
	refuses(t, s, ports[0]+", "+ports[1], "cannot be reached", "connection refused")
	if _, err := s.View(t.Context()); !errors.Is(err, ipam.ErrNoStore) {
		t.Errorf("View error = %v, want ErrNoStore", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Do(ctx, registry.Command{Op: registry.OpExpireNodes}); !errors.Is(err, ipam.ErrNoStore) {
		t.Errorf("Do with an ended context: error = %v, want ErrNoStore", err)
	}
}

// "The answer of etcd got lost": the command counts once, and the node learns what became of it.
func TestLostAnswer(t *testing.T) {
	members := startEtcd(t, 1, "http")
	behind := startProxy(t, members[0].endpoint)
	s := open(t, Config{
		Address: parse(t, "etcd://"+behind.endpoint), Self: nodeID(1), Init: initCommand("10.77.0.0/16"),
		Timeout: patience, Attempt: 300 * time.Millisecond,
	})
	as := admit(t, s)
	operator := client(t, members[0])
	mark := s.prefix + s.mark
	behind.set(false, true)
	heal := make(chan error, 1)
	go func() {
		defer behind.set(true, false) // break what was deaf
		for {
			got, err := operator.Get(context.Background(), mark)
			if err != nil || got.Kvs[0].Version >= 2 {
				heal <- err
				return
			}
		}
	}()
	var r registry.Result
	done := make(chan error, 1)
	go func() {
		as.Op = registry.OpClaim
		var err error
		r, err = s.Do(t.Context(), as)
		done <- err
	}()
	if err := <-heal; err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		behind.mu.Lock()
		defer behind.mu.Unlock()
		if !behind.cut {
			return errors.New("not cut yet")
		}
		behind.cut = false
		return nil
	})
	if err := <-done; err != nil || len(r.Blocks) != 1 {
		t.Fatalf("Claim whose answer got lost = %v, %v, want one block", r.Err(), err)
	}
	block := r.Blocks[0].Block
	got, err := operator.Get(t.Context(), mark)
	if err != nil || got.Kvs[0].Version != 2 {
		t.Errorf("transactions of the node that count = %d, %v, want 2: one admission, one claim", got.Kvs[0].Version, err)
	}
	if state := owned(t, s, 1); state.Blocks[block].Owner != nodeID(1) {
		t.Errorf("Claim = %v, which is not the node's", block)
	}
}

// "A watch that etcd has compacted away begins again with a read."
func TestCompactedWhileCut(t *testing.T) {
	members := startEtcd(t, 1, "http")
	behind := startProxy(t, members[0].endpoint)
	near := open(t, Config{Address: address(t, members, ""), Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	far := open(t, Config{Address: parse(t, "etcd://"+behind.endpoint), Self: nodeID(2), Timeout: patience, Attempt: 500 * time.Millisecond})
	as := admit(t, near)
	blocks := []netip.Prefix{claim(t, near, as)}
	owned(t, far, 1)
	behind.set(true, false)
	for range 4 {
		blocks = append(blocks, claim(t, near, as, blocks...))
	}
	operator := client(t, members[0])
	now, err := operator.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Compact(t.Context(), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	behind.set(false, false)
	owned(t, far, 5)
	claim(t, near, as, blocks...)
	owned(t, far, 6) // by the new watch
	claim(t, far, admit(t, far))
	owned(t, near, 7)
}
