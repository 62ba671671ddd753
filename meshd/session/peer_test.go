package session

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// A newer instance of an identity replaces the older session at once: the peer has restarted.
func TestRestart(t *testing.T) {
	for _, test := range []struct {
		name string
		who  func(a, b *host) // begins after the restart
	}{
		{"the restarted side begins", func(a, b *host) { b.connect(a) }},
		{"the other side notices", func(a, b *host) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, 20)
			a, b := l.add(0), l.add(1)
			a.connect(b)
			l.run(time.Second)
			old := a.Session(b.id())
			b.down = true
			b = l.add(1, func(c *Config) { c.Instance = 5000 })
			test.who(a, b)
			a.sendFrame(b.id(), []byte("into the void"))
			l.run(DeadPeerTimeout + 2*time.Second)
			l.wantShared(a, b)
			l.wantTalk(a, b)
			s := a.Session(b.id())
			if s == old || s.Instance() != 5000 || old.Keypair() != nil {
				t.Errorf("session %p of instance %d, want a new one", s, s.Instance())
			}
			if e := eventsOf[Established](a); len(e) != 2 || e[1].Rekey || count[Lost](a) != 0 {
				t.Errorf("events %+v, want a second Established that is no rekey", e)
			}
		})
	}
}

// "A handshake of identity X with an instance older than the newest known of X: finish it, send a sealed Close, drop."
func TestCloneOlder(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(a, clone *host)
	}{
		{"clone begins", func(a, clone *host) { clone.connect(a) }},
		{"clone is reached by a seed", func(a, clone *host) { a.ConnectTo(a.clock(), clone.addr); a.flush() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, 21)
			a, b := l.add(0), l.add(1)
			a.connect(b)
			l.run(time.Second)
			clone := l.add(1, func(c *Config) { c.Instance = 7 })
			clone.addr = netip.MustParseAddrPort("192.0.2.99:7000")
			test.begin(a, clone)
			l.run(500 * time.Millisecond)
			closed := eventsOf[Closed](clone)
			if len(closed) != 1 || closed[0].Reason != wire.CloseDuplicate || clone.Session(a.id()) != nil {
				t.Errorf("clone: closed %v, want one, duplicate identity", closed)
			}
			dup := eventsOf[DuplicateIdentity](a)
			if len(dup) != 1 || dup[0].ID != b.id() || dup[0].Endpoint.Addr != clone.addr || dup[0].Instance != 7 {
				t.Errorf("events %+v, want one about %v", dup, b.id().Short())
			}
			l.wantTalk(a, b)
		})
	}
}

// A static key equal to our own, with another instance, is somebody with a copy of it: both sides notice.
func TestOwnIdentityElsewhere(t *testing.T) {
	l := newLab(t, 22)
	a, clone := l.add(0), l.add(0, func(c *Config) { c.Instance = 9 })
	clone.addr = netip.MustParseAddrPort("192.0.2.99:7000")
	a.ConnectTo(a.clock(), clone.addr)
	a.flush()
	l.run(500 * time.Millisecond)
	for _, h := range []*host{a, clone} {
		dup := eventsOf[DuplicateIdentity](h)
		if len(dup) != 1 || dup[0].ID != h.id() || dup[0].Instance == h.cfg.Instance || h.Session(h.id()) != nil {
			t.Errorf("instance %d: events %+v, want one about itself", h.cfg.Instance, dup)
		}
	}
}

// Our own endpoint among the seeds is noticed once, and left out.
func TestSelfEndpoint(t *testing.T) {
	l := newLab(t, 23)
	a := l.add(0)
	first := l.record(wire.TypeHandshake1)
	a.ConnectTo(a.clock(), a.addr)
	a.flush()
	l.run(5 * time.Minute)
	if self := eventsOf[SelfEndpoint](a); len(self) != 1 || self[0].Endpoint.Addr != a.addr || len(*first) != 1 {
		t.Errorf("events %+v after %d message 1s, want one after one", self, len(*first))
	}
	if len(a.roster) != 0 || count[DuplicateIdentity](a) != 0 {
		t.Error("a session with ourselves")
	}
}

// A seed is tried until a session has its endpoint, and again when that is gone.
func TestSeed(t *testing.T) {
	l := newLab(t, 24)
	a, b := l.add(0), l.add(1)
	first := l.record(wire.TypeHandshake1)
	b.down = true
	a.ConnectTo(a.clock(), b.addr)
	a.flush()
	l.run(10 * time.Second)
	if n := len(*first); n != 4 {
		t.Errorf("%d tries in 10 s, want 4: at 0, 1, 3 and 7 s", n)
	}
	b.down = false
	l.run(6 * time.Second)
	l.wantTalk(a, b)
	*first = nil
	l.run(RekeyAfterTime - 30*time.Second)
	if n := len(*first); n != 0 {
		t.Errorf("%d tries with a session, want none", n)
	}
	b.down = true
	l.run(LostTimeout + 30*time.Second)
	if e := eventsOf[Lost](a); len(e) != 1 || e[0].Reason != LostSilent {
		t.Errorf("lost %v, want one, silent", e)
	}
	*first = nil
	l.run(time.Minute)
	if len(*first) == 0 {
		t.Error("the seed is not tried any more")
	}
	a.ForgetEndpoint(b.addr)
	*first = nil
	l.run(time.Minute)
	if n := len(*first); n != 0 || len(a.started) != 0 || a.table.count != entries {
		t.Errorf("%d tries after ForgetEndpoint, %d indexes in use, want none", n, entries-a.table.count)
	}
}

// Message 1 goes to all candidates at once and the first answer wins. A candidate at which another node answers is
// left out.
func TestCandidates(t *testing.T) {
	l := newLab(t, 25)
	a, b, other := l.add(0), l.add(1), l.add(2)
	first := l.record(wire.TypeHandshake1)
	nobody := netip.MustParseAddrPort("[2001:db8::1]:7000")
	a.Connect(a.clock(), b.id(), []netip.AddrPort{other.addr, nobody, b.addr})
	a.flush()
	l.run(time.Second)
	l.wantTalk(a, b)
	if len(*first) != 3 || count[Established](a) != 1 || a.Session(other.id()) != nil {
		t.Errorf("%d message 1s, %d sessions, want 3 and 1", len(*first), count[Established](a))
	}
	if n := a.Counters().HandshakeIdentity.Load() + a.Counters().HandshakeIndex.Load(); n != 1 {
		t.Errorf("counted %d answers of the other node, want 1", n)
	}
	many := make([]netip.AddrPort, 20)
	for i := range many {
		many[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1)
	}
	*first = nil
	a.Connect(a.clock(), NodeID{1}, many)
	a.flush()
	if n := len(*first); n != MaxCandidates {
		t.Errorf("message 1 sent to %d endpoints, want %d", n, MaxCandidates)
	}
	for range 3 { // the same again changes nothing
		a.Connect(a.clock(), NodeID{1}, many)
		a.flush()
	}
	if n := len(*first); n != MaxCandidates {
		t.Errorf("message 1 sent %d times by Connect again", n-MaxCandidates)
	}
}

// "Roam only when the counter is the newest seen."
func TestRoaming(t *testing.T) {
	l := newLab(t, 26)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	l.wantTalk(a, b)
	frames := l.record(wire.TypeFrame)
	l.drop = func(d delivery) bool { return true }
	a.sendFrame(b.id(), []byte("old address, delayed"))
	a.sendFrame(b.id(), []byte("new address"))
	l.drop = nil
	moved := netip.MustParseAddrPort("198.51.100.7:4000")
	s := b.Session(a.id())

	b.receive(moved, (*frames)[1].bytes)
	if got := s.Endpoint(); got != (wire.Endpoint{Addr: moved, Socket: 1}) {
		t.Errorf("endpoint %v, want %v", got, moved)
	}
	b.receive(a.addr, (*frames)[0].bytes)
	if got := s.Endpoint().Addr; got != moved {
		t.Errorf("endpoint %v after a delayed message, want %v", got, moved)
	}
	b.receive(netip.MustParseAddrPort("203.0.113.1:1"), (*frames)[1].bytes)
	forged := append([]byte(nil), (*frames)[1].bytes...)
	forged[15] += 5
	b.receive(netip.MustParseAddrPort("203.0.113.1:1"), forged)
	if got := s.Endpoint().Addr; got != moved {
		t.Errorf("endpoint %v after a replay and a forgery, want %v", got, moved)
	}
	if n := b.Counters().Roamed.Load(); n != 1 {
		t.Errorf("roamed %d times, want 1", n)
	}
}

// Forget tells the peer and leaves nothing behind.
func TestForget(t *testing.T) {
	l := newLab(t, 27)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	k := a.Session(b.id()).Keypair()
	a.Forget(a.clock(), b.id(), wire.CloseLeaving)
	a.flush()
	l.run(HandshakeTimeout + time.Second)
	if c := eventsOf[Closed](b); len(c) != 1 || c[0].Reason != wire.CloseLeaving || c[0].ID != a.id() {
		t.Errorf("closed %v, want one, leaving", c)
	}
	for _, h := range l.hosts {
		if len(h.roster) != 0 || len(h.peers) != 0 || h.table.count != entries || len(h.answered.byIndex) != 0 {
			t.Errorf("%s remembers %d peers and %d indexes, want none", h.name, len(h.peers), entries-h.table.count)
		}
	}
	if a.Lookup(k.index) != nil || k.Session().Keypair() != nil {
		t.Error("the keypair is still found")
	}
	a.Confirmed(a.clock(), k) // late reports change nothing
	a.Roamed(a.clock(), k, wire.Endpoint{Addr: b.addr})
	a.HandleClose(a.clock(), k.Session(), []byte{1})
	if out, events := a.Drain(); len(out)+len(events) != 0 {
		t.Errorf("late reports made %v, %v", out, events)
	}
}

// A wanted peer that has closed is tried again, but not at once.
func TestClosedWanted(t *testing.T) {
	l := newLab(t, 28)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	b.Forget(b.clock(), a.id(), wire.CloseLeaving)
	b.flush()
	first := l.record(wire.TypeHandshake1)
	l.run(time.Minute)
	if n := len(*first); n == 0 || n > 3 {
		t.Errorf("%d tries in a minute, want 1 to 3", n)
	}
	l.wantTalk(a, b)
}
