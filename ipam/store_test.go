package ipam

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func mustLease(t testing.TB, s *Store, a Attachment) Lease {
	t.Helper()
	l, err := s.lease6(epoch, a, cni, nil)
	if err != nil {
		t.Fatalf("Lease(%v): %v", a, err)
	}
	return l
}

func mustRelease(t testing.TB, s *Store, a Attachment) {
	t.Helper()
	if ok, err := s.Release(epoch, a); !ok || err != nil {
		t.Fatalf("Release(%v) = %v, %v, want true", a, ok, err)
	}
}

// "The same attachment keeps its address until it is released, and gets the same one again."
func TestLeaseIsIdempotent(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	first := mustLease(t, s, web)
	want := Lease{Attachment: web, Holder: cni, MAC: first.MAC, IPv6: first.IPv6, Created: epoch.UTC()}
	if first != want || !Subnet(testConfig().Prefix).Contains(first.IPv6) {
		t.Errorf("Lease = %+v, want %+v in %v", first, want, testConfig().Prefix)
	}
	syncs := d.syncs
	again, err := s.lease6(epoch.Add(time.Hour), web, cni, func(netip.Addr, MAC) bool { return true })
	if again != first || err != nil || d.syncs != syncs {
		t.Errorf("second Lease = %+v, %v with %d syncs, want the first without one", again, err, d.syncs-syncs)
	}
	if got := mustLease(t, openMem(t, d), web); got != first {
		t.Errorf("Lease after restart = %+v, want %+v", got, first)
	}
	mustRelease(t, s, web)
	if ok, err := s.Release(epoch, web); ok || err != nil {
		t.Errorf("second Release = %v, %v, want false", ok, err)
	}
	if got := mustLease(t, s, web); got != first {
		t.Errorf("Lease after Release = %+v, want %+v", got, first)
	}
}

// "An attachment that asks with another holder keeps its lease; the new holder is as durable as the lease."
func TestLeaseChangesHolder(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	first := mustLease(t, s, web)
	other := mustLease(t, s, db)
	want := first
	for _, want.Holder = range []Holder{lxc, {Source: "lxc", NetNS: "/proc/4712/ns/net"}, {Source: "manual"}, {}, cni,
		{Source: "cni", Config: "podnet"}, {Source: "cni", Config: "podnet", Aliases: "web db"}, {Source: "cni", Aliases: "web"}, cni} {
		syncs := d.syncs
		for range 2 {
			got, err := s.lease6(epoch.Add(time.Hour), web, want.Holder, func(netip.Addr, MAC) bool { return true })
			if got != want || err != nil {
				t.Errorf("Lease = %v, %v, want %v", got, err, want)
			}
		}
		if got := d.syncs - syncs; got != 1 {
			t.Errorf("Lease for %v, twice: %d syncs, want 1", want.Holder, got)
		}
		crashed := d.crash(rand.New(rand.NewPCG(1, 1)))
		d.off = false
		for _, got := range [][]Lease{s.Leases(), openMem(t, crashed).Leases()} {
			if !slices.Equal(got, []Lease{other, want}) {
				t.Errorf("Leases() = %v, want %v", got, []Lease{other, want})
			}
		}
	}
	checkTable(t, s.held)
}

// A holder that is on its way to the disk is nobody's answer yet: not of Leases, not of a call with that holder.
func TestHolderIsNotSeenBeforeItIsOnDisk(t *testing.T) {
	s := openMem(t, newMemDirectory())
	first := mustLease(t, s, web)
	want := first
	want.Holder = lxc
	l, b, own, err := s.startLease6(epoch, web, lxc, nil)
	if l != want || !own || err != nil {
		t.Fatalf("startLease = %v, %v, %v, want %v for its own", l, own, err, want)
	}
	if got := s.Leases(); len(got) != 1 || got[0] != first {
		t.Errorf("Leases() = %v, want %v", got, first)
	}
	for _, h := range []Holder{cni, lxc} {
		if _, joined, own, err := s.startLease6(epoch, web, h, nil); joined != b || own || err != nil {
			t.Errorf("startLease(%v) while it is written = %v, %v, want another caller's batch", h, own, err)
		}
	}
	if got, err := s.lease6(epoch, web, lxc, nil); got != want || err != nil {
		t.Errorf("Lease that waits for it = %v, %v, want %v", got, err, want)
	}
}

// "The counter grows when the address or the MAC is taken", by another node or by an own lease.
func TestLeaseAvoidsCollisions(t *testing.T) {
	s := openMem(t, newMemDirectory())
	at := func(counter uint32) (netip.Addr, MAC) {
		iid, mac, _ := s.scope.derive(web, counter)
		return join(s.scope.subnet, iid), mac
	}
	addr0, mac0 := at(0)
	addr1, mac1 := at(1)
	addr2, mac2 := at(2)
	tests := []struct {
		name  string
		own   *entry
		taken func(netip.Addr, MAC) bool
		addr  netip.Addr
		mac   MAC
	}{
		{"free", nil, nil, addr0, mac0},
		{"address taken", nil, func(a netip.Addr, _ MAC) bool { return a == addr0 }, addr1, mac1},
		{"MAC taken", nil, func(_ netip.Addr, m MAC) bool { return m == mac0 }, addr1, mac1},
		{"own address", &entry{kind: entryLease, iid: iidOf(addr0), lease: Lease{Attachment: db}}, nil, addr1, mac1},
		{"own MAC", &entry{kind: entryLease, iid: 1 << 20, lease: Lease{Attachment: db, MAC: mac0}}, nil, addr1, mac1},
		{"both", &entry{kind: entryLease, iid: 1 << 20, lease: Lease{Attachment: db, MAC: mac0}},
			func(a netip.Addr, _ MAC) bool { return a == addr1 }, addr2, mac2},
	}
	for _, onDisk := range []bool{true, false} {
		for _, tt := range tests {
			s := openMem(t, newMemDirectory())
			if tt.own != nil {
				b := s.add(*tt.own)
				if onDisk {
					if err := s.commit(b); err != nil {
						t.Fatal(err)
					}
				}
			}
			l, err := s.lease6(epoch, web, cni, tt.taken)
			if err != nil || l.IPv6 != tt.addr || l.MAC != tt.mac {
				t.Errorf("%s (on disk: %v): Lease = %+v, %v, want %v %v", tt.name, onDisk, l, err, tt.addr, tt.mac)
			}
		}
	}
	_, err := s.lease6(epoch, web, cni, func(netip.Addr, MAC) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "web/eth0: the first 16 addresses") || len(s.Leases()) != 0 {
		t.Errorf("Lease with all taken: error = %v, want one that says so", err)
	}
}

func TestAttachmentNames(t *testing.T) {
	s := openMem(t, newMemDirectory())
	tests := []struct {
		a  Attachment
		ok bool
	}{
		{Attachment{"", "mesh0"}, true},
		{Attachment{strings.Repeat("c", 1024), strings.Repeat("i", 255)}, true},
		{Attachment{"a/b", "c"}, true},
		{Attachment{"a", "b/c"}, true},
		{Attachment{"\x00\xff", "\n"}, true},
		{Attachment{"web", ""}, false},
		{Attachment{strings.Repeat("c", 1025), "eth0"}, false},
		{Attachment{"web", strings.Repeat("i", 256)}, false},
	}
	for _, tt := range tests {
		if _, err := s.lease6(epoch, tt.a, cni, nil); (err == nil) != tt.ok {
			t.Errorf("Lease(%.20q) error = %v, want ok: %v", tt.a, err, tt.ok)
		}
	}
	if got := s.Leases(); len(got) != 5 || !slices.IsSortedFunc(got, func(a, b Lease) int { return a.compare(b.Attachment) }) {
		t.Errorf("Leases() = %v, want 5, sorted", got)
	}
}

func TestHolders(t *testing.T) {
	s := openMem(t, newMemDirectory())
	tests := []struct {
		h  Holder
		ok bool
	}{
		{Holder{}, true},
		{Holder{Source: "manual", NetNS: ""}, true},
		{Holder{Source: " ~", NetNS: "\x00\xff\n"}, true},
		{Holder{Source: strings.Repeat("s", 16), NetNS: strings.Repeat("n", 4096)}, true},
		{Holder{Source: strings.Repeat("s", 17)}, false},
		{Holder{Source: "c\x1f"}, false},
		{Holder{Source: "c\x7f"}, false},
		{Holder{Source: "c\xff"}, false},
		{Holder{Source: "ü"}, false},
		{Holder{Source: "cni", NetNS: strings.Repeat("n", 4097)}, false},
	}
	for _, a := range []Attachment{web, db} { // the first with a new lease, the others change it
		for _, tt := range tests {
			if l, err := s.lease6(epoch, a, tt.h, nil); (err == nil) != tt.ok || tt.ok && l.Holder != tt.h {
				t.Errorf("Lease(%v, %.20q) = %v, %v, want ok: %v", a, tt.h, l.Holder, err, tt.ok)
			}
		}
		slices.Reverse(tests)
	}
}

func TestClose(t *testing.T) {
	s := openMem(t, newMemDirectory())
	want := mustLease(t, s, web)
	b := s.add(leaseEntry("late", 1<<20))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(b); err != nil || len(s.Leases()) != 2 {
		t.Errorf("the change under way: %v, leases %v, want 2", err, s.Leases())
	}
	if _, err := s.lease6(epoch, db, cni, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Lease after Close: error = %v, want ErrClosed", err)
	}
	if _, err := s.lease6(epoch, web, lxc, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Lease for another holder after Close: error = %v, want ErrClosed", err)
	}
	if _, err := s.Release(epoch, web); !errors.Is(err, ErrClosed) {
		t.Errorf("Release after Close: error = %v, want ErrClosed", err)
	}
	if got := mustLease(t, s, web); got != want {
		t.Errorf("Lease of a held one after Close = %v, want %v", got, want)
	}
}

// Many goroutines lease and release; each sees its own order, no two get the same address, and all of it is on disk.
func TestConcurrency(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			own, shared := Attachment{fmt.Sprint("c", g), "eth0"}, Attachment{fmt.Sprint("s", g%3), "eth0"}
			for i := range 20 {
				first, err1 := s.lease6(epoch, own, cni, nil)
				mine := Holder{Source: "cni", NetNS: fmt.Sprint("/run/netns/", g)}
				l, err2 := s.lease6(epoch, shared, mine, nil)
				if l.Holder != mine {
					t.Errorf("Lease(%v, %v) = %v", shared, mine, l)
				}
				_, err3 := s.Release(epoch, shared)
				again, err4 := s.lease6(epoch, own, cni, nil)
				if err := errors.Join(err1, err2, err3, err4); err != nil || first != again {
					t.Errorf("%v: %+v, then %+v, %v", own, first, again, err)
				}
				if i == 19 {
					return
				}
				if ok, err := s.Release(epoch, own); !ok || err != nil {
					t.Errorf("Release(%v) = %v, %v", own, ok, err)
				}
			}
		})
	}
	wg.Wait()
	checkTable(t, s.held)
	want := s.Leases()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Leases(); !slices.Equal(got, want) || len(got) < 16 {
		t.Errorf("after reopening %d leases %v, want %v", len(got), got, want)
	}
}

// "Whoever comes first writes the batch for all that have joined it."
func TestGroupCommit(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	const n = 2000 // more than one record holds
	var batches []*batch
	for i := range n {
		_, b, own, err := s.startLease6(epoch, Attachment{fmt.Sprint("c", i), "eth0"}, cni, nil)
		if err != nil || !own {
			t.Fatalf("startLease = %v, %v", own, err)
		}
		batches = append(batches, b)
	}
	before := d.syncs
	if len(s.Leases()) != 0 {
		t.Errorf("leases are listed before they are on disk")
	}
	for _, b := range slices.Backward(batches) {
		if err := s.commit(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.syncs - before; got > 4 || len(s.Leases()) != n {
		t.Errorf("%d leases of %d took %d syncs, want at most 4", len(s.Leases()), n, got)
	}
	if got := openMem(t, d).Leases(); len(got) != n {
		t.Errorf("after restart %d leases, want %d", len(got), n)
	}
}

// lease6 is Lease for an attachment that wants IPv6 only.
func (s *Store) lease6(now time.Time, a Attachment, holder Holder, taken func(netip.Addr, MAC) bool) (Lease, error) {
	return s.Lease(now, Request{Attachment: a, Holder: holder, IPv4: V4Request{None: true}}, taken)
}

func (s *Store) startLease6(now time.Time, a Attachment, holder Holder, taken func(netip.Addr, MAC) bool) (Lease, *batch, bool, error) {
	return s.startLease(now, Request{Attachment: a, Holder: holder, IPv4: V4Request{None: true}}, taken)
}
