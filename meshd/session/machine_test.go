package session

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// A handshake takes three messages; message 3 is followed by a keepalive that confirms it.
func TestEstablish(t *testing.T) {
	for _, test := range []struct {
		name       string
		aesA, aesB bool
	}{{"AES on both", true, true}, {"AES on one", true, false}, {"AES on the other", false, true}, {"no AES", false, false}} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, 1)
			a := l.add(0, func(c *Config) { c.AES = test.aesA })
			b := l.add(1, func(c *Config) { c.AES = test.aesB })
			var types []wire.Type
			l.sniff = func(d delivery) { types = append(types, wire.Type(d.bytes[0])) }
			a.connect(b)
			l.run(time.Second)
			want := []wire.Type{wire.TypeHandshake1, wire.TypeHandshake2, wire.TypeHandshake3, wire.TypeKeepalive}
			if len(types) != len(want) {
				t.Fatalf("messages %v, want %v", types, want)
			}
			for i := range want {
				if types[i] != want[i] {
					t.Errorf("messages %v, want %v", types, want)
				}
			}
			l.wantShared(a, b)
			l.wantTalk(a, b)
			e := eventsOf[Established](a)
			if len(e) != 1 || e[0].Rekey || e[0].Took != 20*time.Millisecond || e[0].Observed != a.addr {
				t.Errorf("initiator's events %+v, want one Established after 20ms, observed at %v", e, a.addr)
			}
			if e := eventsOf[Established](b); len(e) != 1 || e[0].Rekey || e[0].Observed != b.addr || e[0].Endpoint.Addr != a.addr {
				t.Errorf("responder's events %+v, want one Established at %v", e, a.addr)
			}
			if k := a.Session(b.id()).Keypair(); !k.Confirmed() {
				t.Error("keypair not confirmed")
			}
		})
	}
}

// "Each retry is a fresh message 1"; message 3 is sent again until it is confirmed.
func TestLostMessages(t *testing.T) {
	for _, test := range []struct {
		name   string
		lose   wire.Type
		n      int
		within time.Duration
	}{
		{"one message 1", wire.TypeHandshake1, 1, 1300 * time.Millisecond},
		{"three message 1s", wire.TypeHandshake1, 3, 9 * time.Second},
		{"message 2", wire.TypeHandshake2, 1, 1300 * time.Millisecond},
		{"message 3", wire.TypeHandshake3, 1, 600 * time.Millisecond},
		{"three message 3s", wire.TypeHandshake3, 3, 4 * time.Second},
		{"confirmation", wire.TypeKeepalive, 1, 600 * time.Millisecond},
		{"three confirmations", wire.TypeKeepalive, 3, 4 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, 2)
			a, b := l.add(0), l.add(1)
			l.dropFirst(test.lose, test.n)
			first := l.record(wire.TypeHandshake1)
			a.connect(b)
			l.run(test.within)
			l.wantShared(a, b)
			l.wantTalk(a, b)
			if !a.Session(b.id()).Keypair().Confirmed() {
				t.Error("keypair not confirmed")
			}
			if n := len(*first); n > 1 && string((*first)[0].bytes) == string((*first)[1].bytes) {
				t.Error("message 1 repeated, want a fresh one")
			}
			if n := count[Established](b); n != 1 {
				t.Errorf("responder established %d times, want 1", n)
			}
		})
	}
}

// The frame path's report that a keypair works may be lost: its queue is bounded.
func TestLostReport(t *testing.T) {
	l := newLab(t, 3)
	a, b := l.add(0), l.add(1)
	a.mute = true
	a.connect(b)
	l.run(2 * time.Second)
	l.wantTalk(a, b)
	if !a.Session(b.id()).Keypair().Confirmed() {
		t.Error("keypair not confirmed by the timer")
	}
}

// A message 3 that is never confirmed ends the session, and the peer is tried again.
func TestUnconfirmed(t *testing.T) {
	l := newLab(t, 4)
	a, b := l.add(0), l.add(1)
	l.drop = func(d delivery) bool { return wire.Type(d.bytes[0]) == wire.TypeHandshake3 }
	a.connect(b)
	l.run(HandshakeTimeout + time.Second)
	lost := eventsOf[Lost](a)
	if len(lost) != 1 || lost[0].Reason != LostUnconfirmed {
		t.Fatalf("lost %v, want one, unconfirmed", lost)
	}
	l.drop = nil
	l.run(10 * time.Second)
	l.wantTalk(a, b)
}

// "Simultaneous initiations from both sides converge to one shared current keypair."
func TestSimultaneous(t *testing.T) {
	for _, lose := range []wire.Type{0, wire.TypeHandshake1, wire.TypeHandshake2, wire.TypeHandshake3, wire.TypeKeepalive} {
		for n := 1; n <= 3; n++ {
			l := newLab(t, uint64(n))
			a, b := l.add(0), l.add(1)
			l.dropFirst(lose, n)
			a.connect(b)
			b.connect(a)
			l.run(12 * time.Second)
			l.wantShared(a, b)
			l.wantTalk(a, b)
			for _, h := range l.hosts {
				if n := len(h.roster[0].session.keypairs); n > 2 {
					t.Errorf("%s holds %d keypairs, want at most 2", h.name, n)
				}
			}
			if t.Failed() {
				t.Fatalf("when %d of %v were lost", n, lose)
			}
		}
	}
}

// "The initiator of a keypair begins the next handshake after 120 s"; no frame is lost at the change.
func TestRekeyWithTraffic(t *testing.T) {
	l := newLab(t, 5)
	l.maxDelay = 60 * time.Millisecond // reorders
	a, b := l.add(0), l.add(1)
	first := l.record(wire.TypeHandshake1)
	a.connect(b)
	l.run(time.Second)
	sent := 0
	for l.now.Before(time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)) {
		if !a.sendFrame(b.id(), []byte("ab")) || !b.sendFrame(a.id(), []byte("ba")) {
			t.Fatalf("no key at %v", l.now)
		}
		sent++
		l.run(20 * time.Millisecond)
	}
	l.run(time.Second)
	if len(a.got) != sent || len(b.got) != sent || a.failed+b.failed > 0 {
		t.Errorf("received %d and %d of %d frames, %d failed", len(a.got), len(b.got), sent, a.failed+b.failed)
	}
	if n := len(*first); n != 5 {
		t.Errorf("%d handshakes in ten minutes, want 5: one side begins one every two minutes", n)
	}
	for _, d := range *first {
		if d.from != a.addr {
			t.Errorf("handshake begun by %v, want the first initiator", d.from)
		}
	}
	for _, e := range eventsOf[Established](a)[1:] {
		if !e.Rekey || e.Session != a.Session(b.id()) {
			t.Errorf("%+v, want a rekey of the same session", e)
		}
	}
}

// The other side rekeys at 140 s if the initiator of the keypair cannot.
func TestRekeyByResponder(t *testing.T) {
	l := newLab(t, 6)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	l.drop = func(d delivery) bool { return wire.Type(d.bytes[0]) == wire.TypeHandshake1 && d.from == a.addr }
	l.run(RekeyAfterTimeLate + 5*time.Second)
	l.wantShared(a, b)
	l.wantTalk(a, b)
	if n := count[Established](b); n != 2 {
		t.Errorf("established %d times, want 2", n)
	}
}

// "A keypair is dropped after 180 s", and counters end at 2^60.
func TestExpiry(t *testing.T) {
	l := newLab(t, 7)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	k := a.Session(b.id()).Keypair()
	l.drop = func(d delivery) bool { return !wire.Type(d.bytes[0]).Sealed() }
	l.run(RejectAfterTime)
	lost := eventsOf[Lost](a)
	if len(lost) != 1 || lost[0].Reason != LostExpired {
		t.Errorf("lost %v, want one, expired", lost)
	}
	if _, err := k.Reserve(1); err != ErrExpired {
		t.Errorf("Reserve = %v, want %v", err, ErrExpired)
	}
	if _, err := k.Open(wire.Header{}, make([]byte, 40)); err != ErrExpired {
		t.Errorf("Open = %v, want %v", err, ErrExpired)
	}
	if a.Lookup(k.index) != nil {
		t.Error("an expired keypair is still found")
	}
}

func TestRekeyAfterMessages(t *testing.T) {
	l := newLab(t, 8)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	old := a.Session(b.id()).Keypair()
	old.counter.Store(RekeyAfterMessages)
	l.run(2 * time.Second)
	if a.Session(b.id()).Keypair() == old {
		t.Error("no rekey after RekeyAfterMessages")
	}
	l.wantTalk(a, b)
	for _, test := range []struct {
		at   uint64
		n    int
		want error
	}{
		{RejectAfterMessages - 3, 3, nil}, {RejectAfterMessages - 3, 4, ErrCounter},
		{RejectAfterMessages, 1, ErrCounter}, {1 << 63, 1, ErrCounter}, {0, -1, ErrCounter},
	} {
		old.counter.Store(test.at)
		if first, err := old.Reserve(test.n); err != test.want || err == nil && first != test.at {
			t.Errorf("Reserve(%d) at %#x = %#x, %v, want %v", test.n, test.at, first, err, test.want)
		}
	}
}

// "Who does not know the PSK gets silence."
func TestWrongPSK(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
	}{
		{"PSK", func(c *Config) { c.PSK[0]++ }},
		{"network ID", func(c *Config) { c.NetworkID[15]++ }},
	} {
		l := newLab(t, 9)
		a, b := l.add(0), l.add(1, test.change)
		a.connect(b)
		l.sniff = func(d delivery) {
			if d.from == b.addr {
				t.Errorf("other %s: answered with % x", test.name, d.bytes)
			}
		}
		l.run(30 * time.Second)
		if n := b.Counters().Snapshot()["handshake_psk"]; n == 0 || b.dh.n != 0 || b.Session(a.id()) != nil {
			t.Errorf("other %s: counted %d, %d Diffie-Hellmans, want some and none", test.name, n, b.dh.n)
		}
	}
}

// "A replayed message 1 costs no Diffie-Hellman and gets no answer."
func TestReplayedMessage1(t *testing.T) {
	l := newLab(t, 10)
	a, b := l.add(0), l.add(1)
	first := l.record(wire.TypeHandshake1)
	a.connect(b)
	l.run(time.Second)
	recorded := (*first)[0]
	stranger := netip.MustParseAddrPort("198.51.100.1:1")
	for _, wait := range []time.Duration{0, time.Minute, 8 * time.Minute, 30 * time.Minute} {
		l.run(wait)
		before := b.dh.n
		b.HandleHandshake(b.clock(), wire.Endpoint{Addr: stranger}, recorded.bytes)
		if out, _ := b.Drain(); len(out) != 0 {
			t.Errorf("after %v: answered with % x", wait, out[0].Buf)
		}
		if b.dh.n != before {
			t.Errorf("after %v: %d Diffie-Hellmans, want none", wait, b.dh.n-before)
		}
	}
	c := b.Counters()
	if replay, clock := c.HandshakeReplay.Load(), c.HandshakeClock.Load(); replay != 4 || clock != 0 {
		t.Errorf("counted %d replays and %d by the clock, want 4 and none", replay, clock)
	}
}

// Our own message 1 that comes back late is a replay too.
func TestReflectedMessage1(t *testing.T) {
	l := newLab(t, 14)
	a, b := l.add(0), l.add(1)
	first := l.record(wire.TypeHandshake1)
	a.connect(b)
	l.run(time.Second)
	before := a.dh.n
	a.HandleHandshake(a.clock(), wire.Endpoint{Addr: b.addr}, (*first)[0].bytes)
	if out, events := a.Drain(); len(out)+len(events) != 0 || a.dh.n != before || a.Counters().HandshakeReplay.Load() != 1 {
		t.Errorf("reflected: sent %v, events %v, %d Diffie-Hellmans, want nothing", out, events, a.dh.n-before)
	}
}

// Messages 2 and 3 that come again change nothing. Message 3 is confirmed again, to the session's endpoint alone.
func TestReplayedMessages2And3(t *testing.T) {
	l := newLab(t, 11)
	a, b := l.add(0), l.add(1)
	second, third := l.record(wire.TypeHandshake2), l.record(wire.TypeHandshake3)
	a.connect(b)
	l.run(time.Second)
	before := a.dh.n + b.dh.n
	stranger := wire.Endpoint{Addr: netip.MustParseAddrPort("198.51.100.1:1")}
	a.HandleHandshake(a.clock(), stranger, (*second)[0].bytes)
	if out, _ := a.Drain(); len(out) != 0 || a.Counters().HandshakeIndex.Load() != 1 {
		t.Errorf("replayed message 2: %d datagrams sent, counted %d, want 0 and 1", len(out), a.Counters().HandshakeIndex.Load())
	}
	for range 20 {
		b.HandleHandshake(b.clock(), stranger, (*third)[0].bytes)
	}
	out, _ := b.Drain()
	if len(out) != maxRepeats {
		t.Errorf("replayed message 3: %d answers, want %d", len(out), maxRepeats)
	}
	for _, d := range out {
		if d.Endpoint.Addr != a.addr || wire.Type(d.Buf[0]) != wire.TypeKeepalive {
			t.Errorf("answer % x to %v, want a keepalive to the session's endpoint", d.Buf, d.Endpoint)
		}
	}
	l.run(HandshakeTimeout)
	b.HandleHandshake(b.clock(), stranger, (*third)[0].bytes)
	if out, _ := b.Drain(); len(out) != 0 {
		t.Error("message 3 answered after HandshakeTimeout")
	}
	if n := a.dh.n + b.dh.n; n != before {
		t.Errorf("%d Diffie-Hellmans, want none", n-before)
	}
	l.wantTalk(a, b)
}

// A forged message 2 or 3 does not spoil the handshake for the true one.
func TestForgedMessages(t *testing.T) {
	for _, typ := range []wire.Type{wire.TypeHandshake2, wire.TypeHandshake3} {
		for _, at := range []int{8, 20, 50, 80, -1} {
			l := newLab(t, 12)
			a, b := l.add(0), l.add(1)
			l.sniff = func(d delivery) {
				if wire.Type(d.bytes[0]) != typ {
					return
				}
				forged := append([]byte(nil), d.bytes...)
				forged[(at+len(forged))%len(forged)] ^= 1
				for _, h := range l.hosts {
					if h.addr == d.to {
						h.HandleHandshake(h.clock(), wire.Endpoint{Addr: d.from}, forged)
						h.HandleHandshake(h.clock(), wire.Endpoint{Addr: d.from}, forged)
					}
				}
			}
			a.connect(b)
			l.run(500 * time.Millisecond)
			l.wantTalk(a, b)
			if n := a.Counters().HandshakeAuth.Load() + b.Counters().HandshakeAuth.Load(); n != 2 {
				t.Errorf("%v forged at %d: counted %d, want 2", typ, at, n)
			}
		}
	}
}

// "The timestamp must be within ten minutes of the receiver's clock"; the event comes once a minute.
func TestClockSkew(t *testing.T) {
	for _, test := range []struct {
		skew time.Duration
		ok   bool
	}{{9 * time.Minute, true}, {-9 * time.Minute, true}, {11 * time.Minute, false}, {-11 * time.Minute, false}} {
		l := newLab(t, 13)
		a, b := l.add(0), l.add(1)
		a.skew = test.skew
		a.connect(b)
		l.run(30 * time.Second)
		if ok := b.Session(a.id()) != nil; ok != test.ok {
			t.Errorf("skew %v: established = %v, want %v", test.skew, ok, test.ok)
		}
		events := eventsOf[ClockSkew](b)
		if test.ok != (len(events) == 0) || len(events) > 1 {
			t.Errorf("skew %v: events %v", test.skew, events)
		}
		if len(events) == 1 && events[0].Skew.Round(time.Second) != test.skew {
			t.Errorf("skew %v: event says %v", test.skew, events[0].Skew)
		}
	}
}
