package session

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// relayLab returns two hosts and n others that have sessions with both and relay. The two cannot reach each other directly while
// apart is true.
func relayLab(t *testing.T, n int) (l *lab, a, b *host, relays []*host, apart *bool) {
	l = newLab(t, 50)
	a, b = l.add(0), l.add(1)
	var ids []NodeID
	for i := range n {
		r := l.add(2 + i)
		relays, ids = append(relays, r), append(ids, r.id())
		a.connect(r)
		b.connect(r)
	}
	l.run(time.Second)
	a.SetRelays(a.clock(), ids)
	b.SetRelays(b.clock(), ids)
	apart = new(bool)
	*apart = true
	l.drop = func(d delivery) bool {
		return *apart && !d.through.Relayed() && (d.from == a.addr && d.to == b.addr || d.from == b.addr && d.to == a.addr)
	}
	return l, a, b, relays, apart
}

// via returns who relays between a host and another one; zero: nobody.
func (h *host) via(other *host) NodeID {
	s := h.Session(other.id())
	if s == nil {
		h.lab.t.Fatalf("%s has no session with %s", h.name, other.name)
	}
	return s.Endpoint().Hop().Via
}

// "Without an answer within 150 ms the same message goes through up to three relays, the nearest first."
func TestRelayedHandshake(t *testing.T) {
	l, a, b, relays, _ := relayLab(t, 4)
	for i, r := range relays {
		a.Session(r.id()).rtt.Store(int64(10 - i)) // the last is the nearest
	}
	first := l.record(wire.TypeHandshake1)
	a.connect(b)
	l.run(RelayDelay - time.Millisecond)
	if n := len(*first); n != 1 || (*first)[0].through.Relayed() {
		t.Errorf("%d message 1s before RelayDelay, want one, direct", n)
	}
	l.run(time.Millisecond)
	for i, d := range (*first)[1:] {
		if want := relays[3-i].id(); d.through.Hop().Via != want {
			t.Errorf("relay %d is %v, want %v", i, d.through, want.Short())
		}
	}
	if n := len(*first); n != 1+MaxRelays {
		t.Errorf("%d message 1s, want one direct and %d relayed", n, MaxRelays)
	}
	l.run(time.Second)
	l.wantTalk(a, b)
	l.wantShared(a, b)
	if got := a.via(b); got != relays[3].id() || b.via(a) != got {
		t.Errorf("via %v and %v, want %v", got.Short(), b.via(a).Short(), relays[3].id().Short())
	}
	if m := a.Session(b.id()).PathMTU().Datagram; m != wire.MaxDatagram-wire.RelayOverhead {
		t.Errorf("datagrams of %d bytes", m)
	}
}

// "Who answers in time needs no relay": a datagram through one is never sent.
func TestNoNeedToRelay(t *testing.T) {
	l, a, b, _, apart := relayLab(t, 2)
	*apart = false
	through := 0
	l.sniff = func(d delivery) {
		if d.through.Relayed() {
			through++
		}
	}
	a.connect(b)
	l.run(10 * time.Minute)
	l.wantTalk(a, b)
	if through != 0 || a.via(b) != (NodeID{}) {
		t.Errorf("%d datagrams relayed, via %v", through, a.via(b).Short())
	}
}

// "While a session goes through a relay, both sides go on trying directly, in the end once a minute." When it works the session moves,
// and nothing that was sent meanwhile is lost.
func TestUpgrade(t *testing.T) {
	l, a, b, _, apart := relayLab(t, 2)
	a.connect(b)
	b.connect(a)
	l.run(time.Second)
	tries := 0
	l.sniff = func(d delivery) {
		if wire.Type(d.bytes[0]) == wire.TypeHandshake1 && !d.through.Relayed() && (d.to == a.addr || d.to == b.addr) {
			tries++
		}
	}
	l.run(3 * time.Minute)
	tries = 0
	l.run(10 * time.Minute)
	if tries < 20 || tries > 45 {
		t.Errorf("%d tries in ten minutes, want one a minute of each side, and one with each change of keys", tries)
	}
	if n := count[Lost](a) + count[Lost](b); n != 0 {
		t.Errorf("the session was lost %d times", n)
	}
	*apart = false
	before := len(b.got)
	sent := 0
	for a.via(b) != (NodeID{}) || b.via(a) != (NodeID{}) {
		a.sendFrame(b.id(), []byte{byte(sent)})
		sent++
		l.run(100 * time.Millisecond)
		if sent > 1000 {
			t.Fatal("the session goes through a relay for ever")
		}
	}
	l.run(time.Second)
	if got := len(b.got) - before; got != sent {
		t.Errorf("%d of %d frames arrived", got, sent)
	}
	if moved := eventsOf[Moved](a); len(moved) != 1 || moved[0].To.Relayed() || !moved[0].From.Relayed() {
		t.Errorf("events %+v, want one move to the direct path", moved)
	}
	l.wantShared(a, b)
}

// "A Punch makes the next try come sooner, by half at most": a peer cannot make us send more by it.
func TestPunch(t *testing.T) {
	l, a, b, _, _ := relayLab(t, 1)
	a.connect(b)
	b.connect(a)
	l.run(30 * time.Second)
	first := l.record(wire.TypeHandshake1)
	for range 3000 {
		a.Punched(a.clock(), a.Session(b.id()))
		a.flush()
		l.run(100 * time.Millisecond)
	}
	n := 0
	for _, d := range *first {
		if d.from == a.addr && d.to == b.addr {
			n++
		}
	}
	if n > 25 {
		t.Errorf("%d tries in five minutes of punches, want at most 25", n)
	}
}

// "A frame sent and nothing received for 1 s: a Probe each second, which is answered; for 3 s: a new handshake, through relays first."
func TestFallback(t *testing.T) {
	for _, test := range []struct {
		name string
		oneWay,
		relayed bool // the path that fails is a relay's
	}{{"both ways", false, false}, {"one way", true, false}, {"relay", false, true}} {
		l, a, b, relays, apart := relayLab(t, 2)
		*apart = test.relayed
		a.connect(b)
		b.connect(a)
		l.run(5 * time.Second)
		l.wantTalk(a, b)
		if got := a.via(b) != (NodeID{}); got != test.relayed {
			t.Fatalf("%s: relayed %v", test.name, got)
		}
		switch {
		case test.relayed:
			l.hostOf(a.via(b)).down = true
		case test.oneWay:
			l.drop = func(d delivery) bool { return d.from == a.addr && d.to == b.addr && !d.through.Relayed() }
		default:
			*apart = true
		}
		began, got := l.now, len(b.got)
		for len(b.got) == got {
			a.sendFrame(b.id(), []byte("anyone?"))
			b.sendFrame(a.id(), []byte("yes"))
			l.run(100 * time.Millisecond)
			if l.now.Sub(began) > 10*time.Second {
				t.Fatalf("%s: nothing for %v", test.name, l.now.Sub(began))
			}
		}
		if took := l.now.Sub(began); took > 6*time.Second {
			t.Errorf("%s: frames again after %v, want at most 6 s", test.name, took)
		}
		l.run(3 * time.Second)
		l.wantTalk(a, b)
		if test.relayed && a.via(b) == (NodeID{}) || len(relays) != 2 || count[Lost](a)+count[Lost](b) != 0 {
			t.Errorf("%s: via %v, lost %d times", test.name, a.via(b).Short(), count[Lost](a)+count[Lost](b))
		}
	}
}

// What is for everybody, and control, waits for no answer: an idle mesh does not ask for signs of life.
func TestNoProbesForBroadcasts(t *testing.T) {
	l, a, b, _, apart := relayLab(t, 1)
	*apart = false
	a.connect(b)
	l.run(time.Second)
	probes := l.record(wire.TypeProbe)
	for range 90 {
		a.seal(a.Session(b.id()).Keypair(), a.Session(b.id()).Endpoint(), wire.TypeGossip, []byte("news"))
		a.flush()
		l.run(100 * time.Millisecond)
	}
	if n := len(*probes); n != 0 {
		t.Errorf("%d probes, want none", n)
	}
}

// "Gossip is no answer": that the other side's arrives says nothing of the way there, which has failed.
func TestGossipIsNoAnswer(t *testing.T) {
	l, a, b, _, _ := relayLab(t, 2)
	a.connect(b)
	l.run(5 * time.Second)
	l.wantTalk(a, b)
	bad := l.hostOf(a.via(b))
	l.drop = func(d delivery) bool {
		return d.to == b.addr && (d.from == a.addr || d.from == bad.addr && d.through.Relayed())
	}
	began, got := l.now, len(b.got)
	for len(b.got) == got {
		a.sendFrame(b.id(), []byte("anyone?"))
		s := b.Session(a.id())
		b.seal(s.Keypair(), s.Endpoint(), wire.TypeGossip, []byte("news"))
		b.flush()
		l.run(100 * time.Millisecond)
		if l.now.Sub(began) > 10*time.Second {
			t.Fatalf("nothing for %v", l.now.Sub(began))
		}
	}
}

// "Data in one direction only" is no failure: the probes are answered, and no keys are agreed for it.
func TestOneWayTraffic(t *testing.T) {
	l, a, b, _, apart := relayLab(t, 1)
	*apart = false
	a.connect(b)
	l.run(time.Second)
	first := l.record(wire.TypeHandshake1)
	probes := l.record(wire.TypeProbe)
	for range 600 {
		a.sendFrame(b.id(), []byte("one way"))
		l.run(100 * time.Millisecond)
	}
	if n := len(*first); n != 0 || a.via(b) != (NodeID{}) {
		t.Errorf("%d handshakes, via %v", n, a.via(b).Short())
	}
	if n := len(*probes); n < 10 || n > 65 {
		t.Errorf("%d probes in a minute, want about one a second at most", n)
	}
}

// What moves an endpoint: "data through a relay do not move a session from a direct path that works; direct data move it at once;
// between relays only handshakes choose."
func TestFollows(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	peer, r1, r2 := NodeID{1}, NodeID{2}, NodeID{3}
	direct := wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:1")}
	other := wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:2")}
	via1 := wire.Through(wire.Hop{Via: r1, Peer: peer})
	via2 := wire.Through(wire.Hop{Via: r2, Peer: peer})
	lie := wire.Through(wire.Hop{Via: r1, Peer: r2})
	for _, test := range []struct {
		name     string
		at, from wire.Endpoint
		quiet    time.Duration // since something came directly
		want     bool
	}{
		{"the same", direct, direct, 0, false},
		{"another address", direct, other, 0, true},
		{"direct, from a relay", via1, direct, 0, true},
		{"a relay, from one that works", direct, via1, DirectPatience - 1, false},
		{"a relay, from one that is silent", direct, via1, DirectPatience, true},
		{"a relay that names another peer", direct, lie, time.Minute, false},
		{"another relay", via1, via2, time.Minute, false},
	} {
		s := newSession(now, peer, 1, test.at)
		s.received(now.Add(time.Second), direct, 100)
		if got := s.follows(now.Add(time.Second+test.quiet), test.from); got != test.want {
			t.Errorf("%s: follows = %v, want %v", test.name, got, test.want)
		}
	}
}

// "A relay that says that a message is of another node than it is": the handshake is dropped, on both sides.
func TestRelayLies(t *testing.T) {
	for _, typ := range []wire.Type{wire.TypeHandshake2, wire.TypeHandshake3} {
		l, a, b, relays, _ := relayLab(t, 1)
		lie := wire.Through(wire.Hop{Via: relays[0].id(), Peer: NodeID{9}})
		lied := 0
		l.sniff = func(d delivery) {
			if d.through.Relayed() && wire.Type(d.bytes[0]) == typ {
				lied++
				to := map[bool]*host{true: a, false: b}[typ == wire.TypeHandshake2]
				to.HandleHandshake(to.clock(), lie, d.bytes)
			}
		}
		a.connect(b)
		l.run(RelayDelay + 25*time.Millisecond)
		if lied == 0 {
			t.Fatalf("%v: nothing was relayed", typ)
		}
		victim := map[bool]*host{true: a, false: b}[typ == wire.TypeHandshake2]
		if n := victim.Counters().HandshakeIdentity.Load(); n == 0 {
			t.Errorf("%v: the lie was not noticed", typ)
		}
		if s := victim.Session(NodeID{9}); s != nil {
			t.Errorf("%v: there is a session with whom the relay has named", typ)
		}
	}
}

// "What a member can have relayed is bounded."
func TestTakeRelay(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newSession(now, NodeID{1}, 1, wire.Endpoint{})
	taken := 0
	for range 100 {
		for s.TakeRelay(now, 1296) {
			taken += 1296
		}
		now = now.Add(10 * time.Millisecond)
	}
	if most := relayBurst + relayRate; taken > most || taken < most*9/10 {
		t.Errorf("%d bytes in a second, want nearly %d", taken, most)
	}
}
