package e2e

import (
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// Wrong or missing PSK: silence and a counter, never an answer. A replayed first message: no answer.
//
//	a: web ── meshd ══ underlay, captured ══ meshd ── b: db
//	                        │
//	               s: a stranger, who heard it all
func TestStrangerGetsNoAnswer(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "s")
	a, b, s := hosts[0], hosts[1], hosts[2]
	seen := l.Capture()
	mesh(t, "mesh", a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)

	first := recorded(t, seen, 1, a)
	sealed := recorded(t, seen, 4, a)
	before := counted(a, isHandshake)
	conn := s.ListenUDP(netip.AddrPortFrom(s.IPv4, 0))
	sent := 0
	send := func(payload []byte) {
		if _, err := conn.WriteToUDPAddrPort(payload, netip.AddrPortFrom(a.IPv4, 7000)); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	send(nil)
	for _, n := range []int{1, 15, 16, 32, 64, 120, 148, 600, 1232, 1400} {
		for kind := range 10 {
			noise := make([]byte, n)
			rand.Read(noise)
			noise[0] = byte(kind)
			if n > 4 {
				clear(noise[1:4])
			}
			send(noise)
		}
	}
	for range 3 {
		send(first)
		send(sealed)
		send(first[:len(first)-1])
		send(append(append([]byte(nil), first...), 0))
	}

	// What goes through the same socket of a afterwards shows that all of it has been looked at.
	for range 3 {
		web.Reaches(db, waitMesh)
	}
	a.Until("what the stranger sent is counted", func() bool { return counted(a, isHandshake) > before }, func() string {
		return a.Output("meshctl", "status", "--json")
	})
	for _, p := range seen.Stop() {
		if p.Dst.Addr() == s.IPv4 || p.Dst.Addr() == s.IPv6 {
			t.Fatalf("a answered the stranger, after %d datagrams, with %x", sent, p.Payload)
		}
	}
}

func isHandshake(reason string) bool { return strings.Contains(reason, "handshake") }

// recorded returns the first captured datagram of a type (docs/protocol.md) to a host's meshd.
func recorded(t *testing.T, c *lab.Capture, kind byte, to *lab.Host) []byte {
	t.Helper()
	for _, p := range c.Packets() {
		here := p.Dst.Port() == 7000 && (p.Dst.Addr() == to.IPv4 || p.Dst.Addr() == to.IPv6)
		if here && len(p.Payload) > 0 && p.Payload[0] == kind {
			return p.Payload
		}
	}
	t.Fatalf("no datagram of type %d to %s was captured", kind, to.Name)
	return nil
}
