package session

import (
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// established returns two hosts that have had a session for a second.
func established(t *testing.T) (l *lab, a, b *host) {
	l = newLab(t, 40)
	a, b = l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	return l, a, b
}

// "A side that has received data and sent nothing for 10 s after it sends a keepalive", also when data keeps coming.
func TestPassiveKeepalive(t *testing.T) {
	for _, every := range []time.Duration{time.Hour, time.Second} {
		l, a, b := established(t)
		keepalives := l.record(wire.TypeKeepalive)
		began := l.now
		for range 12 {
			if len(*keepalives) == 0 && (every < time.Hour || l.now.Equal(began)) {
				a.sendFrame(b.id(), []byte("one way"))
			}
			l.run(time.Second)
		}
		if n := len(*keepalives); n != 1 || (*keepalives)[0].from != b.addr {
			t.Errorf("data every %v: %d keepalives in 12 s, want 1 from the receiver", every, n)
		}
		if n := len(eventsOf[Established](a)); n != 1 {
			t.Errorf("data every %v: %d handshakes, want no new one", every, n)
		}
	}
}

// "A side that has sent nothing for 25 s sends a keepalive", and keepalives are not answered.
func TestPersistentKeepalive(t *testing.T) {
	l, a, b := established(t)
	keepalives := l.record(wire.TypeKeepalive)
	l.run(60 * time.Second)
	from := map[string]int{}
	for _, d := range *keepalives {
		from[d.from.String()]++
	}
	if from[a.addr.String()] != 2 || from[b.addr.String()] != 2 {
		t.Errorf("keepalives in 60 s: %v, want 2 from each side", from)
	}
	if s := a.Session(b.id()); s.LastReceived().Before(l.now.Add(-27*time.Second)) || s.LastSent().Before(l.now.Add(-27*time.Second)) {
		t.Errorf("last received %v, last sent %v at %v", s.LastReceived(), s.LastSent(), l.now)
	}
}

// "Data sent and nothing heard for 15 s: a new handshake. Nothing heard for 60 s: lost", and tried again while wanted.
func TestDeadPeer(t *testing.T) {
	l, a, b := established(t)
	first := l.record(wire.TypeHandshake1)
	b.down = true
	a.sendFrame(b.id(), []byte("anyone?"))
	l.run(DeadPeerTimeout - time.Second)
	if n := len(*first); n != 0 {
		t.Errorf("%d message 1s before DeadPeerTimeout, want none", n)
	}
	l.run(2500 * time.Millisecond)
	if n := len(*first); n == 0 {
		t.Error("no message 1 after DeadPeerTimeout")
	}
	l.run(LostTimeout - DeadPeerTimeout)
	lost := eventsOf[Lost](a)
	if len(lost) != 1 || lost[0].Reason != LostSilent || lost[0].ID != b.id() || a.Session(b.id()) != nil {
		t.Errorf("lost %v, want one, silent", lost)
	}
	l.run(10 * time.Minute)
	*first = nil
	l.run(5 * time.Minute)
	if n := len(*first); n < 8 || n > 10 {
		t.Errorf("%d tries in five minutes, want one every 30 to 36 s", n)
	}
	b.down = false
	l.run(40 * time.Second)
	l.wantTalk(a, b)
	if n := count[Lost](b); n != 1 {
		t.Errorf("the other side lost the session %d times, want 1", n)
	}
}

// A peer that is silent although nothing is sent to it is looked for before it is lost.
func TestQuietPeer(t *testing.T) {
	l, a, b := established(t)
	l.drop = func(d delivery) bool { return wire.Type(d.bytes[0]).Sealed() && len(d.bytes) == wire.Overhead }
	l.run(QuietPeerTimeout + 2*time.Second)
	l.drop = nil
	l.run(2 * LostTimeout)
	if n := count[Lost](a) + count[Lost](b); n != 0 {
		t.Errorf("lost %d times, want the handshake to save the session", n)
	}
	l.wantTalk(a, b)
}

// A session that is not wanted is not looked for when it is lost.
func TestLostUnwanted(t *testing.T) {
	l, a, b := established(t)
	a.down = true
	first := l.record(wire.TypeHandshake1)
	l.run(LostTimeout + 2*time.Second)
	*first = nil
	l.run(5 * time.Minute)
	if n := len(*first); n != 0 || len(b.roster) != 0 || count[Lost](b) != 1 {
		t.Errorf("%d tries, %d peers, want none", n, len(b.roster))
	}
}

// "Next is when Advance is to be called at the latest": early calls do nothing, and an idle machine sleeps.
func TestNext(t *testing.T) {
	l, a, b := established(t)
	a.Advance(l.now)
	if out, events := a.Drain(); len(out)+len(events) != 0 {
		t.Errorf("early Advance made %v, %v", out, events)
	}
	for range 100 {
		if next := a.Next(); !next.After(a.now) || next.Sub(a.now) > pollInterval {
			t.Fatalf("Next = %v at %v, want within %v", next, a.now, pollInterval)
		}
		l.run(a.Next().Sub(l.now))
	}
	a.Forget(l.now, b.id(), 0)
	a.Advance(a.Next())
	a.Advance(a.Next())
	if d := a.Next().Sub(a.now); d != idleInterval {
		t.Errorf("an idle machine sleeps %v, want %v", d, idleInterval)
	}
}
