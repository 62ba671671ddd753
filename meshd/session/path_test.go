package session

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// "A Probe is no data, and does not count as sent": nobody looks for the peer because it is not answered, and the peer still hears a
// keepalive.
func TestProbesAreNoData(t *testing.T) {
	l, a, b := established(t)
	first, keepalives := l.record(wire.TypeHandshake1), l.record(wire.TypeKeepalive)
	k := a.Session(b.id()).Keypair()
	before := a.Session(b.id()).Traffic()
	for range 20 {
		k.Probed(1472)
		l.run(time.Second)
	}
	if n := len(*first); n != 0 {
		t.Errorf("%d handshakes after probes that were not answered, want none", n)
	}
	if tr := a.Session(b.id()).Traffic(); tr.TxDatagrams-before.TxDatagrams != 20 || tr.TxBytes-before.TxBytes != 20*1472 {
		t.Errorf("traffic went from %+v to %+v, want 20 datagrams of 1472 bytes more", before, tr)
	}
	for range 40 {
		k.Probed(1472)
		l.run(time.Second)
	}
	from := map[netip.AddrPort]int{}
	for _, d := range *keepalives {
		from[d.from]++
	}
	if from[a.addr] != 2 {
		t.Errorf("keepalives in 60 s beside probes = %d, want 2", from[a.addr])
	}
}

// "What was known of the path to another endpoint is of no use": roaming goes back to what every path carries.
func TestMovedEndpointForgetsThePathMTU(t *testing.T) {
	l, a, b := established(t)
	s := a.Session(b.id())
	base := PathMTU{Datagram: wire.MaxDatagram}
	if got := s.PathMTU(); got != base || s.MaxPayload() != wire.MaxPayload {
		t.Errorf("at first PathMTU() = %+v, MaxPayload() = %d", got, s.MaxPayload())
	}
	known := PathMTU{Datagram: 1472, Packet: 1500}
	s.SetPathMTU(known)
	a.Roamed(l.now, s.Keypair(), s.Endpoint())
	if got := s.PathMTU(); got != known || s.MaxPayload() != 1472-wire.Overhead {
		t.Errorf("at the same endpoint PathMTU() = %+v, MaxPayload() = %d, want %+v", got, s.MaxPayload(), known)
	}
	l.run(3 * time.Minute) // a rekey
	if got := s.PathMTU(); got != known {
		t.Errorf("after a rekey PathMTU() = %+v, want %+v", got, known)
	}
	a.Roamed(l.now, s.Keypair(), wire.Endpoint{Addr: netip.MustParseAddrPort("203.0.113.7:7000"), Socket: 1})
	if got := s.PathMTU(); got != base {
		t.Errorf("at another endpoint PathMTU() = %+v, want %+v", got, base)
	}
}

// "Up to probeBurst of them at once and one each probeInterval in the long run", however long the peer was silent.
func TestTakeProbe(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newSession(now, NodeID{}, 1, wire.Endpoint{})
	for _, pause := range []time.Duration{0, time.Hour} {
		now = now.Add(pause)
		taken := 0
		for range 2 * probeBurst {
			if s.TakeProbe(now) {
				taken++
			}
		}
		if taken != probeBurst {
			t.Errorf("after %v: %d taken at once, want %d", pause, taken, probeBurst)
		}
		taken = 0
		for range 1000 {
			if now = now.Add(probeInterval / 10); s.TakeProbe(now) {
				taken++
			}
		}
		if taken < 99 || taken > 100 {
			t.Errorf("after %v: %d taken of a peer that sends ten times too many, want 100", pause, taken)
		}
	}
}
