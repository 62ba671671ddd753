package answer

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// arp returns a frame that asks for, or says who has, an address.
func arp(dst, src MAC, op uint16, sender MAC, from, target netip.Addr) []byte {
	b := appendEthernet(nil, dst, src, etherTypeARP)
	b = binary.BigEndian.AppendUint16(append(b, 0, 1, 8, 0, 6, 4), op)
	b = append(append(b, sender[:]...), from.AsSlice()...)
	return append(append(b, make([]byte, 6)...), target.AsSlice()...)
}

func TestARP(t *testing.T) {
	zero := netip.IPv4Unspecified()
	for _, test := range []struct {
		name    string
		frame   []byte
		outcome Outcome
		from    MAC // of the answer; zero: none
		says    MAC
	}{
		{"for a container of another host", arp(broadcast, macWeb, arpRequest, macWeb, web4, api4), ARPAnswered, macAPI, macAPI},
		{"the same, from one that nobody knows", arp(broadcast, macStray, arpRequest, macStray, free4, api4), ARPAnswered, macAPI, macAPI},
		{"for a container here, which answers itself", arp(broadcast, macWeb, arpRequest, macWeb, web4, db4), ARPKept, MAC{}, MAC{}},
		{"for the gateway", arp(broadcast, macWeb, arpRequest, macWeb, web4, gateway4), ARPAnswered, macGateway, macGateway},
		{"for the gateway of another pool", arp(broadcast, macWeb, arpRequest, macWeb, web4, addr("10.99.0.1")), ARPAnswered, macGateway, macGateway},
		{"of the gateway alone", arp(macGateway, macWeb, arpRequest, macWeb, web4, gateway4), ARPAnswered, macGateway, macGateway},
		{"for nobody's address", arp(broadcast, macWeb, arpRequest, macWeb, web4, free4), Passed, MAC{}, MAC{}},
		{"of one station alone: is it still there?", arp(macAPI, macWeb, arpRequest, macWeb, web4, api4), Passed, MAC{}, MAC{}},
		{"answered by the one that was asked", arp(macAPI, macWeb, arpReply, macWeb, web4, api4), Passed, MAC{}, MAC{}},

		// RFC 5227, section 2.1.1: a probe has the sender's protocol address zero.
		{"probe for one's own", arp(broadcast, macWeb, arpRequest, macWeb, zero, web4), ARPKept, MAC{}, MAC{}},
		{"probe for one in use elsewhere", arp(broadcast, macStray, arpRequest, macStray, zero, api4), ARPAnswered, macAPI, macAPI},
		{"probe for one in use here", arp(broadcast, macStray, arpRequest, macStray, zero, web4), ARPAnswered, macGateway, macWeb},
		{"probe for the gateway's", arp(broadcast, macStray, arpRequest, macStray, zero, gateway4), ARPAnswered, macGateway, macGateway},
		{"probe for nobody's", arp(broadcast, macStray, arpRequest, macStray, zero, free4), Passed, MAC{}, MAC{}},
		{"announcement of one's own", arp(broadcast, macWeb, arpRequest, macWeb, web4, web4), ARPKept, MAC{}, MAC{}},
		{"announcement of one's own, as a reply", arp(broadcast, macWeb, arpReply, macWeb, web4, web4), ARPKept, MAC{}, MAC{}},
		{"announcement of nobody's", arp(broadcast, macStray, arpRequest, macStray, free4, free4), Passed, MAC{}, MAC{}},

		{"announcement of another's", arp(broadcast, macStray, arpRequest, macStray, api4, api4), ARPClaimed, MAC{}, MAC{}},
		{"reply with another's", arp(macDB, macStray, arpReply, macStray, api4, db4), ARPClaimed, MAC{}, MAC{}},
		{"request with another's", arp(broadcast, macWeb, arpRequest, macWeb, db4, api4), ARPClaimed, MAC{}, MAC{}},
		{"reply with the gateway's", arp(macDB, macStray, arpReply, macStray, gateway4, db4), ARPClaimed, MAC{}, MAC{}},
		// A machine that asked for its lease may be on another host by now, with its address.
		{"for a machine", arp(broadcast, macWeb, arpRequest, macWeb, web4, vm4), Passed, MAC{}, MAC{}},
		{"announcement of a machine", arp(broadcast, macVM, arpRequest, macVM, vm4, vm4), Passed, MAC{}, MAC{}},
		{"probe of a machine for its own", arp(broadcast, macVM, arpRequest, macVM, zero, vm4), Passed, MAC{}, MAC{}},
		{"probe for a machine's", arp(broadcast, macStray, arpRequest, macStray, zero, vm4), ARPAnswered, macGateway, macVM},
		{"announcement of a machine's", arp(broadcast, macStray, arpRequest, macStray, vm4, vm4), ARPClaimed, MAC{}, MAC{}},

		{"with the MAC of another", arp(broadcast, macStray, arpRequest, macWeb, web4, api4), ARPInvalid, MAC{}, MAC{}},
		{"from the gateway's MAC", arp(broadcast, macGateway, arpRequest, macGateway, web4, api4), GatewayClaimed, MAC{}, MAC{}},
		{"from a group", arp(broadcast, MAC{1}, arpRequest, MAC{1}, web4, api4), Passed, MAC{}, MAC{}},
		{"cut short", arp(broadcast, macWeb, arpRequest, macWeb, web4, api4)[:41], Passed, MAC{}, MAC{}},
		{"RARP's operation", arp(broadcast, macWeb, 3, macWeb, web4, api4), Passed, MAC{}, MAC{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := want(t, segment(), test.frame, test.outcome, test.from != MAC{})
			if (test.outcome == ARPClaimed || test.outcome == GatewayClaimed) && (r.Event.Kind != Claimed || r.Event.MAC != MAC(test.frame[6:])) {
				t.Errorf("event = %v, want a claim of %x", r.Event, test.frame[6:12])
			}
			if len(r.Reply) == 0 {
				return
			}
			p := r.Reply[14:]
			if MAC(r.Reply) != MAC(test.frame[6:]) || MAC(r.Reply[6:]) != test.from {
				t.Errorf("answer from %x to %x, want from %x to %x", r.Reply[6:12], r.Reply[:6], test.from, test.frame[6:12])
			}
			q := test.frame[14:]
			if p[7] != arpReply || MAC(p[8:]) != test.says || [4]byte(p[14:]) != [4]byte(q[24:]) || MAC(p[18:]) != MAC(q[8:]) || [4]byte(p[24:]) != [4]byte(q[14:]) {
				t.Errorf("answer %x to %x, want that %x has it", p, q, test.says)
			}
		})
	}
}

// Frames as they are on Ethernet, padded to 60 bytes, are answered like others.
func TestPadding(t *testing.T) {
	want(t, segment(), append(arp(broadcast, macWeb, arpRequest, macWeb, web4, api4), make([]byte, 18)...), ARPAnswered, true)
	want(t, segment(), append(solicit(macWeb, web6, api6, true), make([]byte, 6)...), NDAnswered, true)
	want(t, segment(), append(frame4(macWeb, discover(macWeb)), make([]byte, 6)...), DHCP4Answered, true)
}

// "Off: somebody else on the bridge does so": the gateway is not spoken for.
func TestOffSpeaksForNoGateway(t *testing.T) {
	s := segment()
	s.DHCP = Off
	want(t, s, arp(broadcast, macWeb, arpRequest, macWeb, web4, gateway4), Passed, false)
	want(t, s, solicit(macWeb, web6, gateway6, true), Passed, false)
	want(t, s, routerSolicit(macWeb, linkWeb, true), Passed, false)
	want(t, s, frame4(macWeb, discover(macWeb)), Passed, false)
	want(t, s, frame6(macWeb, linkWeb, solicit6(macWeb)), Passed, false)
	want(t, s, arp(broadcast, macWeb, arpRequest, macWeb, web4, api4), ARPAnswered, true)
	want(t, s, solicit(macWeb, web6, api6, true), NDAnswered, true)
}
