package node_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"meshnet/meshd/answer"
)

// unicast returns a frame from one station to another of which nothing is judged.
func unicast(dst, src [6]byte) []byte {
	return append(append(append(append([]byte{}, dst[:]...), src[:]...), 0x88, 0xb5), make([]byte, 46)...)
}

// passes reports whether frame, put into from's bridge, comes out of to's.
func passes(from, to *member, frame []byte) bool {
	to.tap.Frames()
	from.tap.Inject(frame)
	time.Sleep(time.Second)
	for _, f := range to.tap.Frames() {
		if bytes.Equal(f, frame) {
			return true
		}
	}
	return false
}

// "The MAC of a temporary lease is learned, as on any switch": who asks in the name of a machine on another host takes nothing from it.
func TestAskingInTheNameOfAMachine(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		web, err := a.node.Attach(t.Context(), request("web"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if !passes(b, a, unicast(web.MAC, stray)) || !passes(a, b, unicast(stray, web.MAC)) {
			t.Fatal("web and the machine on b do not reach each other to begin with")
		}
		if a.asks(dhcp(dhcpv4.MessageTypeDiscover)) == nil {
			t.Fatal("the one on a gets no offer")
		}
		if !passes(b, a, unicast(web.MAC, stray)) {
			t.Error("what the machine on b sends does not cross any more")
		}
		if !passes(a, b, unicast(stray, web.MAC)) {
			t.Error("what is sent to the machine on b does not cross any more")
		}
		if n := b.node.Counters()["mesh_source_remote"]; n != 0 {
			t.Errorf("b dropped %d frames of the machine for their source, want 0", n)
		}
		if offer := b.asks(dhcp(dhcpv4.MessageTypeDiscover)); offer == nil {
			t.Error("the machine on b gets no offer")
		}
	})
}

// A machine that moves gets a lease where it is now; the one where it was ends when nobody renews it there, and not before anybody who is
// still there would have.
func TestAMachineMoves(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		first := a.mustAsk()
		time.Sleep(time.Minute)
		second := b.mustAsk()
		if first == second {
			t.Fatalf("both hosts gave %v", first)
		}
		time.Sleep(answer.TemporaryLeaseTime/2 + time.Minute)
		if _, ok := a.strayLease(); !ok {
			t.Error("the lease where it was ended before it could have been renewed there")
		}
		b.renew(second)
		time.Sleep(answer.TemporaryLeaseTime/2 + time.Minute)
		if l, ok := a.strayLease(); ok {
			t.Errorf("lease %v is there an hour after its holder moved away", l)
		}
		if l, ok := b.strayLease(); !ok || l.IPv4 != second {
			t.Errorf("the lease where it is now = %v, want %v", l, second)
		}
	})
}

// Nobody takes a lease from a machine that renews it by asking in its name elsewhere.
func TestAMachineThatStays(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		time.Sleep(time.Minute)
		for range 3 {
			if b.asks(dhcp(dhcpv4.MessageTypeDiscover)) == nil {
				t.Fatal("the one on b gets no offer")
			}
			time.Sleep(answer.TemporaryLeaseTime / 2)
			a.renew(addr)
		}
	})
}

// Who wants the address of a machine with a temporary lease asks every host, and the machine may say where it is.
func TestMachinesAreAskedForEverywhere(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		time.Sleep(5 * time.Second)
		here := netip.MustParseAddr("10.77.200.1")
		for name, from := range map[string]*member{"the host that gave it": a, "another": b} {
			to := a
			if from == a {
				to = b
			}
			if !passes(from, to, arp([6]byte{2, 0xbb, 1}, here, addr)) {
				t.Errorf("on %s, who asks for it does not ask everybody", name)
			}
			if !passes(from, to, arp(stray, addr, addr)) {
				t.Errorf("on %s, the machine does not tell everybody that it is there", name)
			}
		}
	})
}
