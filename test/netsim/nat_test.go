package netsim

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
)

// The mappings and filters of RFC 4787, section 4 and 5, by the names of RFC 3489, section 5.
func TestTranslator(t *testing.T) {
	inside := netip.MustParseAddrPort("10.0.0.2:7000")
	friend, stranger := netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("192.0.2.9:7000")
	sibling := netip.AddrPortFrom(friend.Addr(), 7001)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		kind                   NATKind
		friend, sibling, other bool // who is let in after something was sent to friend
		same                   bool // another destination sees the same port
	}{
		{FullCone, true, true, true, true},
		{AddressRestricted, true, true, false, true},
		{PortRestricted, true, false, false, true},
		{Symmetric, true, false, false, false},
	} {
		n := newTranslator(test.kind, netip.MustParseAddr("198.51.100.1"), time.Minute)
		seen := n.outward(now, inside, friend)
		for _, from := range []struct {
			addr netip.AddrPort
			want bool
		}{{friend, test.friend}, {sibling, test.sibling}, {stranger, test.other}} {
			got, ok := n.inward(now.Add(59*time.Second), from.addr, seen.Port())
			if ok != from.want || ok && got != inside {
				t.Errorf("%v: from %v to %v, %v, want %v", test.kind, from.addr, got, ok, from.want)
			}
			if _, ok := n.inward(now.Add(time.Minute), from.addr, seen.Port()); ok {
				t.Errorf("%v: from %v is let in after the timeout", test.kind, from.addr)
			}
		}
		if got := n.outward(now, inside, stranger) == seen; got != test.same {
			t.Errorf("%v: another destination sees the same port: %v, want %v", test.kind, got, test.same)
		}
		if again := n.outward(now.Add(2*time.Minute), inside, friend); again == seen {
			t.Errorf("%v: the port is the same after the timeout", test.kind)
		}
		n.forget()
		if _, ok := n.inward(now, friend, seen.Port()); ok {
			t.Errorf("%v: let in after forget", test.kind)
		}
	}
}

func TestNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(1)
		public := net.Host("192.0.2.1:7000")
		nat := net.NAT(PortRestricted, "198.51.100.1")
		a, b := nat.Host("10.0.0.2:7000"), nat.Host("10.0.0.3:7000")
		deep := nat.NAT(Symmetric, "10.0.0.4").Host("10.1.0.2:7000")
		for _, h := range []*Host{public, a, b, deep} {
			defer h.Close()
		}
		receive := func(h *Host) (from netip.AddrPort, ok bool) {
			ds := make([]wire.Datagram, 1)
			n, err := h.ReadBatch(ds, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return ds[0].Endpoint.Addr, n == 1
		}
		send := func(h *Host, to netip.AddrPort) {
			if _, err := h.WriteBatch([]wire.Datagram{{Buf: []byte("x"), Endpoint: wire.Endpoint{Addr: to}}}); err != nil {
				t.Fatal(err)
			}
		}
		// Two hosts behind one NAT are two ports of it, and each gets what is for it.
		for _, h := range []*Host{a, b, deep} {
			send(h, public.LocalAddr())
			from, ok := receive(public)
			if !ok || from.Addr() != netip.MustParseAddr("198.51.100.1") {
				t.Fatalf("from %v, %v, want the NAT's address", from, ok)
			}
			send(public, from)
			if back, ok := receive(h); !ok || back != public.LocalAddr() {
				t.Errorf("%v: answer from %v, %v", h.LocalAddr(), back, ok)
			}
		}
		// They see each other's own addresses, which nobody else can use.
		send(a, b.LocalAddr())
		if from, ok := receive(b); !ok || from != a.LocalAddr() {
			t.Errorf("from %v, %v, want the neighbour's own address", from, ok)
		}
		send(public, a.LocalAddr())
		send(public, netip.MustParseAddrPort("198.51.100.1:20999"))
		if from, ok := receive(a); ok {
			t.Errorf("from %v, want nothing from outside", from)
		}
		if s := net.Stats(); s.Filtered != 1 || s.Unreachable != 1 {
			t.Errorf("%+v, want one filtered and one unreachable", s)
		}
		// After a restart of the NAT the old port leads nowhere, and there is a new one.
		send(a, public.LocalAddr())
		old, _ := receive(public)
		nat.Rebind()
		send(public, old)
		if from, ok := receive(a); ok {
			t.Errorf("from %v, want nothing through a forgotten port", from)
		}
		send(a, public.LocalAddr())
		if from, ok := receive(public); !ok || from == old {
			t.Errorf("from %v, %v, want another port than %v", from, ok, old)
		}
	})
}
