package nameserver

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// "Rate limit per client"
func TestLimiter(t *testing.T) {
	l := newLimiter()
	now := time.Unix(1000, 0)
	web, db := netip.MustParseAddr("10.77.0.5"), netip.MustParseAddr("10.77.0.6")
	count := func(client netip.Addr, n int) (allowed int) {
		for range n {
			if l.allow(now, client) {
				allowed++
			}
		}
		return allowed
	}
	if got := count(web, 3*burst); got != burst {
		t.Errorf("%d of a burst allowed, want %d", got, burst)
	}
	if got := count(db, 1); got != 1 {
		t.Error("another client has to wait, too")
	}
	now = now.Add(100 * time.Millisecond)
	if got := count(web, burst); got != rate/10 {
		t.Errorf("%d allowed after 100 ms, want %d", got, rate/10)
	}
	for range maxPending {
		if !l.begin(web) {
			t.Fatal("a question may not wait")
		}
	}
	if l.begin(web) {
		t.Errorf("more than %d questions of one client wait", maxPending)
	}
	l.end(web)
	if !l.begin(web) {
		t.Error("a place that is free is not given")
	}
}

// The memory for clients is bounded, and who may be forgotten makes room.
func TestLimiterForgets(t *testing.T) {
	l := newLimiter()
	now := time.Unix(1000, 0)
	a := netip.MustParseAddr("fd00::1")
	l.allow(now, a)
	l.begin(a)
	for range 2 * maxClients {
		a = a.Next()
		l.allow(now, a)
	}
	if len(l.clients) != maxClients {
		t.Errorf("%d clients are remembered, want %d", len(l.clients), maxClients)
	}
	now = now.Add(time.Minute)
	if !l.allow(now, a.Next()) || len(l.clients) != 2 {
		t.Errorf("%d clients are remembered after a minute, want the new one, and the one whose question waits", len(l.clients))
	}
}

// Who is not of the network gets nothing, by UDP nor TCP.
func TestStrangers(t *testing.T) {
	s := serveClients(t, func(netip.Addr) bool { return false }, 1, "127.0.0.1")
	for _, network := range []string{"udp", "tcp"} {
		conn, err := net.Dial(network, s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(make([]byte, 20))
	}
	for deadline := time.Now().Add(10 * time.Second); s.Counters()["stranger"] != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("counters %v", s.Counters())
		}
	}
	for o, c := range counterOf {
		if n := s.Counters()[counterNames[c]]; n != 0 {
			t.Errorf("outcome %d counted %d times", o, n)
		}
	}
}
