package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

var testPool = registry.Pool{Prefix: netip.MustParsePrefix("10.77.0.0/24"), BlockBits: 29,
	Gateway: netip.MustParseAddr("10.77.0.1"), Exclude: []netip.Prefix{netip.MustParsePrefix("10.77.0.4/31")}}

func addr4(last int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(last)}) }

// answer is what the block store says to a node that owns these blocks.
func answer(blocks ...string) *registry.Result {
	r := &registry.Result{Registry: registry.ID{1}, Generation: 1, Epoch: 1, Pools: []registry.Pool{testPool}, Timing: registry.DefaultTiming}
	for _, b := range blocks {
		r.Blocks = append(r.Blocks, registry.Grant{Block: netip.MustParsePrefix(b)})
	}
	return r
}

// openOwning opens a store that owns these blocks.
func openOwning(t testing.TB, d *memDirectory, blocks ...string) *Store {
	t.Helper()
	s := openMem(t, d)
	mustHear(t, s, epoch, answer(blocks...))
	return s
}

func mustHear(t testing.TB, s *Store, now time.Time, r *registry.Result) {
	t.Helper()
	if err := s.refreshed(now, r); err != nil {
		t.Fatalf("refreshed(%v): %v", r.Blocks, err)
	}
}

func (s *Store) lease4(now time.Time, container string, want netip.Addr) (Lease, error) {
	return s.Lease(now, Request{Attachment: Attachment{container, "eth0"}, Holder: cni, IPv4: V4Request{Addr: want}}, nil)
}

func mustLease4(t testing.TB, s *Store, now time.Time, container string) netip.Addr {
	t.Helper()
	l, err := s.lease4(now, container, netip.Addr{})
	if err != nil {
		t.Fatalf("Lease(%s): %v", container, err)
	}
	return l.IPv4
}

// "Network, broadcast, gateway and excluded ranges are never leased."
func TestNeverLeased(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.0/29", "10.77.0.248/29")
	var got []int
	for i := range 20 {
		l, err := s.lease4(epoch, fmt.Sprint("c", i), netip.Addr{})
		if err != nil {
			if !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), "of the 16 addresses in this host's 2 blocks of [10.77.0.0/24], 11 are leased, 0 are cooling and 5 are never leased") {
				t.Errorf("Lease from full blocks: error = %v", err)
			}
			break
		}
		got = append(got, int(l.IPv4.As4()[3]))
		if l.IPv4Prefix() != netip.PrefixFrom(l.IPv4, 24) {
			t.Errorf("IPv4Prefix() = %v, want it with the pool's length", l.IPv4Prefix())
		}
	}
	if want := []int{2, 3, 6, 7, 248, 249, 250, 251, 252, 253, 254}; !slices.Equal(got, want) {
		t.Errorf("leased = %v, want %v", got, want)
	}
}

// "Rather another than this one": an attachment that asks so does not get its old address back while there is another, nor before others
// would.
func TestRatherAnother(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.0/29") // .2, .3, .6, .7
	a := Attachment{"web", "eth0"}
	now := epoch
	another := func(not netip.Addr) (netip.Addr, error) {
		if _, err := s.Release(now, a); err != nil {
			t.Fatal(err)
		}
		l, err := s.Lease(now, Request{Attachment: a, Holder: cni, IPv4: V4Request{Not: not}}, nil)
		return l.IPv4, err
	}
	had := mustLease4(t, s, now, "web")
	for _, want := range []int{3, 6, 7} {
		got, err := another(had)
		if err != nil || got != addr4(want) {
			t.Fatalf("instead of %v: %v, %v, want %v", had, got, err, addr4(want))
		}
		had = got
	}
	if got, err := another(had); !errors.Is(err, ErrNoAddress) {
		t.Errorf("while all others cool: %v, %v, want no address", got, err)
	}
	now = now.Add(s.cooldown + time.Second)
	got, err := another(had)
	if err != nil || got != addr4(2) {
		t.Errorf("when the others have cooled down: %v, %v, want %v", got, err, addr4(2))
	}
	for i := range 3 { // all but .2
		mustLease4(t, s, now, fmt.Sprint("c", i))
	}
	if got, err := another(addr4(2)); !errors.Is(err, ErrNoAddress) {
		t.Errorf("while it cools itself: %v, %v, want no address", got, err)
	}
	now = now.Add(s.cooldown + time.Second)
	if got, err := another(addr4(2)); err != nil || got != addr4(2) {
		t.Errorf("when there is no other: %v, %v, want %v", got, err, addr4(2))
	}
	if _, err := s.Lease(now, Request{Attachment: Attachment{"x", "y"}, IPv4: V4Request{Addr: addr4(2), Not: addr4(2)}}, nil); err == nil {
		t.Error("one that is asked for and not wanted: no error")
	}
}

// "Cooldown before reuse, longest-idle first. Sticky: the same attachment gets its old address back if it is still free."
func TestReuse(t *testing.T) {
	d := newMemDirectory()
	s := openOwning(t, d, "10.77.0.8/29")
	for i := range 8 {
		mustLease4(t, s, epoch, fmt.Sprint("c", i))
	}
	for i, c := range []string{"c5", "c1", "c3"} {
		mustRelease4(t, s, epoch.Add(time.Duration(i)*time.Second), c)
	}
	at := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
	if _, err := s.lease4(at(59), "new", netip.Addr{}); !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), "3 are cooling") {
		t.Errorf("Lease while all idle addresses cool: error = %v, want ErrNoAddress", err)
	}
	if got := mustLease4(t, s, at(59), "c3"); got != addr4(11) {
		t.Errorf("Lease of the one that had it, within the cooldown = %v, want its old %v", got, addr4(11))
	}
	if _, err := s.lease4(at(60), "new", addr4(9)); !errors.Is(err, registry.ErrTaken) || !strings.Contains(err.Error(), "another 1s") {
		t.Errorf("Lease of an address that cools: error = %v, want ErrTaken", err)
	}
	s = openMem(t, d) // the order survives a restart
	if got := mustLease4(t, s, at(61), "new"); got != addr4(13) {
		t.Errorf("Lease = %v, want the one that is idle for longest, %v", got, addr4(13))
	}
	if got := mustLease4(t, s, at(61), "newer"); got != addr4(9) {
		t.Errorf("Lease = %v, want the next, %v", got, addr4(9))
	}
	if wrong := s.CheckLocal(); wrong != nil {
		t.Errorf("CheckLocal() = %v", wrong)
	}
}

func mustRelease4(t testing.TB, s *Store, now time.Time, container string) {
	t.Helper()
	if ok, err := s.Release(now, Attachment{container, "eth0"}); !ok || err != nil {
		t.Fatalf("Release(%s) = %v, %v", container, ok, err)
	}
}

// "Requested address in use (names the holder), outside, network/broadcast/gateway."
func TestRequested(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.0/29", "10.77.0.248/29")
	r := answer("10.77.0.0/29", "10.77.0.248/29")
	r.Reserved = []registry.Reservation{{First: addr4(6), Last: addr4(7), Comment: "printers"}}
	r.Blocks[1].Except = []netip.Addr{addr4(250)}
	r.Claims = []registry.AddressUse{{Addr: addr4(100)}}
	mustHear(t, s, epoch, r)
	mustLease4(t, s, epoch, "web") // 10.77.0.2
	tests := []struct {
		addr string
		err  error
		text string
	}{
		{"10.77.0.3", nil, ""},
		{"10.77.0.100", nil, ""},
		{"10.77.0.2", registry.ErrTaken, "10.77.0.2 is held by web/eth0"},
		{"10.77.0.0", registry.ErrUnusable, "10.77.0.0 is the network address of pool 10.77.0.0/24"},
		{"10.77.0.1", registry.ErrUnusable, "the gateway"},
		{"10.77.0.4", registry.ErrUnusable, "an excluded address"},
		{"10.77.0.255", registry.ErrUnusable, "the broadcast address"},
		{"10.77.0.6", registry.ErrReserved, "10.77.0.6 is in the reserved range 10.77.0.6 to 10.77.0.7 (printers)"},
		{"10.78.0.1", registry.ErrOutside, "10.78.0.1 is in none of the pools [10.77.0.0/24]"},
		{"10.77.0.16", errNotOwn, "10.77.0.16 is not this host's"},
		{"10.77.0.250", errNotOwn, ""},
	}
	for i, tt := range tests {
		l, err := s.lease4(epoch, fmt.Sprint("c", i), netip.MustParseAddr(tt.addr))
		if !errors.Is(err, tt.err) || err == nil && l.IPv4.String() != tt.addr || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Lease(%s) = %v, %v, want %v with %q", tt.addr, l.IPv4, err, tt.err, tt.text)
		}
	}
	if _, err := s.lease4(epoch, "web", addr4(3)); err == nil || !strings.Contains(err.Error(), "it holds 10.77.0.2 and asks for 10.77.0.3; detach it first") {
		t.Errorf("Lease of another address: error = %v", err)
	}
	for _, v := range []V4Request{{None: true, Addr: addr4(3)}, {Addr: netip.MustParseAddr("fd00::1")}} {
		if _, err := s.Lease(epoch, Request{Attachment: web, Holder: cni, IPv4: v}, nil); err == nil {
			t.Errorf("Lease(%+v) error = <nil>", v)
		}
	}
}

// "A node that was removed cannot use what it no longer owns: it must notice and say so."
func TestLost(t *testing.T) {
	d := newMemDirectory()
	s := openOwning(t, d, "10.77.0.8/29", "10.77.0.16/29")
	old := mustLease4(t, s, epoch, "web")
	for i := range 8 {
		mustLease4(t, s, epoch, fmt.Sprint("c", i))
	}
	mustHear(t, s, epoch, answer("10.77.0.16/29")) // the first block is no longer this node's
	for _, s := range []*Store{s, openMem(t, d.copy())} {
		if lost := s.lost(); len(lost) != 8 || lost[7].Container != "web" || lost[7].IPv4 != old {
			t.Errorf("lost = %v, want the 8 leases of 10.77.0.8/29", lost)
		}
	}
	if got := mustLease4(t, s, epoch, "web"); got == old || !netip.MustParsePrefix("10.77.0.16/29").Contains(got) {
		t.Errorf("Lease of a lost one = %v, want one in the other block", got)
	}
	mustHear(t, s, epoch, answer("10.77.0.8/29", "10.77.0.16/29")) // once more its own
	if _, err := s.lease4(epoch, "other", addr4(9)); !errors.Is(err, registry.ErrTaken) || !strings.Contains(err.Error(), "may still be in use by c0/eth0") {
		t.Errorf("Lease of an address that a lost lease names: error = %v, want ErrTaken", err)
	}
	if l, err := s.lease4(epoch, "c0", addr4(9)); err != nil || l.Lost {
		t.Errorf("Lease of its own lost address = %v, %v", l, err)
	}
	if err := s.fence(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lease4(epoch, "new", netip.Addr{}); !errors.Is(err, ErrNoAddress) {
		t.Errorf("Lease when fenced: error = %v, want ErrNoAddress", err)
	}
	if l, err := s.lease6(epoch, Attachment{"six", "eth0"}, cni, nil); err != nil || l.IPv4.IsValid() {
		t.Errorf("Lease of IPv6 only when fenced = %v, %v", l, err)
	}
	for _, s := range []*Store{s, openMem(t, d.copy())} {
		if wrong := s.CheckLocal(); wrong != nil || len(s.lost()) != 9 {
			t.Errorf("CheckLocal() = %v, %d lost, want 9", wrong, len(s.lost()))
		}
	}
}

// When IPv4 addresses may be leased, and what is said when not.
func TestGate(t *testing.T) {
	hours := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }
	tests := []struct {
		name    string
		boot    string
		restart bool
		now     time.Time
		want    string
	}{
		{"at once", "a", false, epoch, ""},
		{"cut off for long", "a", false, hours(72), ""},
		{"cut off for too long", "a", false, hours(73), "the block store last answered 73h0m0s ago, and after 72h0m0s"},
		{"restart", "a", true, hours(72), ""},
		{"restart after too long", "a", true, hours(73), "the block store last answered 73h0m0s ago"},
		{"reboot", "b", true, hours(1), "has not reached the block store since"},
		{"clock back by a little", "a", true, epoch.Add(-30 * time.Second), ""},
		{"clock back", "a", true, hours(-1), "the clock went back by 1h0m0s"},
	}
	for _, tt := range tests {
		d := newMemDirectory()
		c := testConfig()
		c.Boot = "a"
		s, err := open(d, c)
		if err != nil {
			t.Fatal(err)
		}
		mustHear(t, s, epoch, answer("10.77.0.8/29"))
		if c.Boot = tt.boot; tt.restart {
			if s, err = open(d, c); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.lease4(tt.now, "web", netip.Addr{})
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Lease error = %v, want %q", tt.name, err, tt.want)
		}
		mustHear(t, s, tt.now, answer("10.77.0.8/29"))
		if _, err := s.lease4(tt.now, "web", netip.Addr{}); err != nil {
			t.Errorf("%s: Lease after a Refresh: %v", tt.name, err)
		}
	}
	if _, err := openMem(t, newMemDirectory()).lease4(epoch, "web", netip.Addr{}); !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), "not admitted this host yet") {
		t.Errorf("Lease of a new node: error = %v, want ErrNoAddress", err)
	}
}

func TestPlanBlocks(t *testing.T) {
	block := func(i int) netip.Prefix { return netip.PrefixFrom(addr4(8*i), 29) }
	load := func(spare ...int) (l []blockLoad) {
		for i, n := range spare {
			l = append(l, blockLoad{block(i), 8, n})
		}
		return l
	}
	tests := []struct {
		name   string
		blocks []blockLoad
		want   bool
		back   netip.Prefix
	}{
		{"none", nil, true, netip.Prefix{}},
		{"fresh", load(8), false, netip.Prefix{}},
		{"a quarter is spare", load(2), false, netip.Prefix{}},
		{"less than a quarter", load(1), true, netip.Prefix{}},
		{"less than a quarter of several", load(0, 0, 5), true, netip.Prefix{}},
		{"the reserve stays", load(2, 8), false, netip.Prefix{}},
		{"surplus", load(4, 8), false, block(1)},
		{"two are idle", load(8, 8), false, block(1)},
		{"surplus in the middle", load(6, 8, 2), false, block(1)},
		{"nothing can be leased", []blockLoad{{block(0), 0, 0}}, true, netip.Prefix{}},
	}
	for _, tt := range tests {
		if want, back := planBlocks(tt.blocks); want != tt.want || back != tt.back {
			t.Errorf("%s: planBlocks = %v, %v, want %v, %v", tt.name, want, back, tt.want, tt.back)
		}
	}
}
