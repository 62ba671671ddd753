package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam/registry"
)

// memStore is a BlockStore in memory that can be cut off.
type memStore struct {
	mu      sync.Mutex
	records registry.Map
	cut     bool
	ops     []registry.Op
}

func newMemStore(t *testing.T, pool string) *memStore {
	s := &memStore{}
	_, err := s.Do(t.Context(), registry.Command{Op: registry.OpInit, Registry: registry.ID{1}, Node: registry.NodeID{1},
		Pools: []registry.Pool{{Prefix: netip.MustParsePrefix(pool)}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *memStore) Do(_ context.Context, c registry.Command) (registry.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return registry.Result{}, fmt.Errorf("%w: 1 of 3 voters is reachable, 2 are needed", ErrNoStore)
	}
	c.Time = time.Now()
	s.ops = append(s.ops, c.Op)
	return registry.Apply(&s.records, c), nil
}

func (s *memStore) setCut(cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
}

func (s *memStore) View(context.Context) (registry.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return registry.Load(&s.records)
}

func (s *memStore) Status() StoreStatus { return StoreStatus{Engine: "memory", Role: RoleVoter} }
func (s *memStore) Close() error        { return nil }

// host is one node with its Manager running.
type host struct {
	*Manager
	store *Store
	stop  func()
	lost  []Lease // as the callback said last; read behind synctest.Wait
}

func startHost(t *testing.T, id byte, blocks BlockStore, d *memDirectory, change func(*ManagerConfig)) *host {
	t.Helper()
	c := testConfig()
	c.Node = [32]byte{id}
	s, err := open(d, c)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{store: s}
	mc := ManagerConfig{Store: s, Blocks: blocks, Node: registry.NodeID{id}, Name: fmt.Sprint("host", id),
		Instance: uint64(time.Now().UnixNano()), Lost: func(l []Lease) { h.lost = l }}
	if change != nil {
		change(&mc)
	}
	h.Manager = NewManager(mc)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.Run(ctx) })
	h.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(h.stop)
	synctest.Wait()
	return h
}

func (h *host) any(t *testing.T, container string) (Lease, error) {
	return h.Lease(t.Context(), Request{Attachment: Attachment{container, "eth0"}, Holder: cni}, nil)
}

// "It keeps a reserve, so that it goes on allocating while cut off ... until its blocks are used up, then fails with an error
// that says exactly that; after the majority returns it succeeds."
func TestManagerWhileCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t, "10.77.0.0/24")
		h := startHost(t, 1, store, newMemDirectory(), nil)
		if r := h.Report(); len(r.Pools) != 1 || len(r.Pools[0].Blocks) != 1 || r.Refusal != "" || r.Store.Engine != "memory" {
			t.Fatalf("Report() after start = %+v, want one block in reserve", r)
		}
		store.setCut(true)
		n := 0
		var err error
		for ; err == nil && n < 100; n++ {
			_, err = h.any(t, fmt.Sprint("c", n))
		}
		if n-1 < 13 || n-1 > 16 || !errors.Is(err, ErrNoAddress) || !errors.Is(err, ErrNoStore) {
			t.Errorf("cut off, %d leases and then error = %v, want those of a block and then ErrNoAddress", n-1, err)
		}
		for _, want := range []string{"this host's 1 blocks of [10.77.0.0/24]", "are leased", "1 of 3 voters is reachable"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("error = %v, want it to say %q", err, want)
			}
		}
		time.AfterFunc(2*time.Second, func() { store.setCut(false) })
		if _, err := h.any(t, "late"); err != nil {
			t.Errorf("Lease while the majority returns: %v", err)
		}
		if wrong := h.store.CheckLocal(); wrong != nil {
			t.Errorf("CheckLocal() = %v", wrong)
		}
	})
}

// Two hosts use up a pool: no address twice, the error names the pool, and what one gives back the other gets.
func TestManagersShareAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t, "10.77.0.0/27")
		hosts := []*host{startHost(t, 1, store, newMemDirectory(), nil), startHost(t, 2, store, newMemDirectory(), nil)}
		seen := map[netip.Addr]string{}
		var failed error
		for i := range 40 {
			name := fmt.Sprint("c", i)
			l, err := hosts[i%2].any(t, name)
			if err != nil {
				failed = err
				continue
			}
			if other, ok := seen[l.IPv4]; ok {
				t.Errorf("%s and %s have %v", other, name, l.IPv4)
			}
			seen[l.IPv4] = name
		}
		if len(seen) != 29 || !errors.Is(failed, registry.ErrExhausted) {
			t.Errorf("%d leases and then %v, want 29 of 32 without network, gateway and broadcast, and ErrExhausted", len(seen), failed)
		}
		for i := range 40 {
			if i%2 == 0 {
				hosts[0].Release(Attachment{fmt.Sprint("c", i), "eth0"})
			}
		}
		time.Sleep(10 * time.Minute)
		if _, err := hosts[1].any(t, "more"); err != nil {
			t.Errorf("Lease after the other host gave blocks back: %v", err)
		}
	})
}

// "Requested addresses also outside the node's own blocks: a single-address claim through the block store."
func TestRequestedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t, "10.77.0.0/24")
		var hosts []*host
		carve := func(ctx context.Context, owner registry.NodeID, addr netip.Addr, epoch uint64, a string) error {
			return hosts[owner[0]-1].CarveOut(ctx, addr, registry.NodeID{3 - owner[0]}, epoch, a)
		}
		for id := range byte(2) {
			hosts = append(hosts, startHost(t, id+1, store, newMemDirectory(), func(c *ManagerConfig) { c.Carve = carve }))
		}
		get := func(h *host, name string, addr netip.Addr) (Lease, error) {
			return h.Lease(t.Context(), Request{Attachment: Attachment{name, "eth0"}, Holder: cni, IPv4: V4Request{Addr: addr}}, nil)
		}
		theirs := hosts[1].Report().Pools[0].Blocks[0].Block.Addr()
		used, err := hosts[1].any(t, "theirs")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(hosts[0], "web", used.IPv4); !errors.Is(err, registry.ErrTaken) || !strings.Contains(err.Error(), "theirs/eth0") {
			t.Errorf("Lease of an address in use on the other host: error = %v, want one that names the holder", err)
		}
		want := theirs.Next().Next().Next().Next()
		if l, err := get(hosts[0], "web", want); err != nil || l.IPv4 != want {
			t.Errorf("Lease of a free address in the other's block = %v, %v, want %v", l.IPv4, err, want)
		}
		if _, err := get(hosts[1], "own", want); !errors.Is(err, registry.ErrTaken) {
			t.Errorf("Lease by the owner of the block: error = %v, want ErrTaken", err)
		}
		hosts[0].Release(web)
		time.Sleep(10 * time.Minute)
		if l, err := get(hosts[1], "own", want); err != nil || l.IPv4 != want {
			t.Errorf("Lease by the owner after the release = %v, %v, want %v", l.IPv4, err, want)
		}
		if r := hosts[0].Report(); len(r.Claims) != 0 {
			t.Errorf("after the release: claims %v, want none", r.Claims)
		}
		hosts[1].Release(Attachment{"theirs", "eth0"})
		if _, err := get(hosts[0], "web", used.IPv4); !errors.Is(err, registry.ErrTaken) || !strings.Contains(err.Error(), "kept from others") {
			t.Errorf("Lease of what was just released there, by another name: error = %v, want one that says so", err)
		}
		if l, err := get(hosts[0], "theirs", used.IPv4); err != nil || l.IPv4 != used.IPv4 {
			t.Errorf("Lease of what was just released there, by the same name = %v, %v, want %v: it has moved", l.IPv4, err, used.IPv4)
		}
	})
}

// A removed node loses its leases, says so, and is admitted anew; a clone makes the earlier start give up all it has.
func TestManagerIsFenced(t *testing.T) {
	for _, clone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newMemStore(t, "10.77.0.0/24")
			h := startHost(t, 1, store, newMemDirectory(), nil)
			old, err := h.any(t, "web")
			if err != nil {
				t.Fatal(err)
			}
			if clone {
				time.Sleep(time.Second)
				startHost(t, 1, store, newMemDirectory(), nil)
			} else {
				store.Do(t.Context(), registry.Command{Op: registry.OpRemoveNode, To: registry.NodeID{1}})
			}
			time.Sleep(6 * time.Minute)
			synctest.Wait()
			old.Lost = true
			if leases := h.store.Leases(); !slices.Equal(leases, []Lease{old}) || !slices.Equal(h.lost, leases) {
				t.Errorf("clone %v: Leases() = %v, Lost was told %v, want %v", clone, leases, h.lost, old)
			}
			l, err := h.any(t, "web")
			if clone && !errors.Is(err, registry.ErrSuperseded) || !clone && (err != nil || l.IPv4 == old.IPv4 || l.Lost) {
				t.Errorf("clone %v: Lease = %v, %v, want another address, or ErrSuperseded of a clone", clone, l, err)
			}
		})
	}
}

// A network that was created twice: the younger half is refused with both names, and one call joins it to the older.
func TestRejoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t, "10.77.0.0/24")
		h := startHost(t, 1, store, newMemDirectory(), nil)
		if _, err := h.any(t, "web"); err != nil {
			t.Fatal(err)
		}
		other := &memStore{}
		other.Do(t.Context(), registry.Command{Op: registry.OpInit, Registry: registry.ID{2}, Node: registry.NodeID{9},
			Pools: []registry.Pool{{Prefix: netip.MustParsePrefix("10.77.0.0/24")}}})
		store.mu.Lock()
		store.records = other.records
		store.mu.Unlock()
		if err := h.Refresh(t.Context()); !errors.Is(err, registry.ErrOtherRegistry) {
			t.Errorf("Refresh with another registry: error = %v, want ErrOtherRegistry", err)
		}
		if _, err := h.any(t, "db"); !errors.Is(err, registry.ErrOtherRegistry) {
			t.Errorf("Lease under another registry: error = %v, want ErrOtherRegistry", err)
		}
		if err := h.Rejoin(t.Context()); err != nil {
			t.Fatalf("Rejoin: %v", err)
		}
		if r := h.Report(); r.Registry != (registry.ID{2}) || len(r.Lost) != 1 {
			t.Errorf("Report() after Rejoin = %+v, want registry 2 and a lost lease", r)
		}
		if _, err := h.any(t, "db"); err != nil {
			t.Errorf("Lease after Rejoin: %v", err)
		}
	})
}

// A host that leaves is removed once, and asks for nothing afterwards: it would be admitted anew.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocks := newMemStore(t, "10.77.0.0/24")
		m := startHost(t, 1, blocks, newMemDirectory(), nil)
		if _, err := m.any(t, "web"); err != nil {
			t.Fatal(err)
		}
		if err := m.Retire(t.Context()); err != nil {
			t.Fatal(err)
		}
		blocks.mu.Lock()
		asked := len(blocks.ops)
		blocks.mu.Unlock()
		if _, err := m.any(t, "db"); !errors.Is(err, ErrNoAddress) ||
			!strings.Contains(err.Error(), "leaving") {
			t.Errorf("Lease of a host that leaves: error = %v, want one that says so", err)
		}
		if err := m.Refresh(t.Context()); !errors.Is(err, ErrNoStore) {
			t.Errorf("Refresh of a host that leaves: error = %v, want ErrNoStore", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		blocks.mu.Lock()
		defer blocks.mu.Unlock()
		if n := len(blocks.ops); n != asked {
			t.Errorf("the block store was asked %d times more", n-asked)
		}
	})
}
