package mesh

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/session"
)

// boundaryTests are named by what is said about the boundary: what "never crosses the mesh", and what does.
var boundaryTests = []struct {
	sentence string
	name     string
	frame    []byte
	want     drop
}{
	{"DHCP never crosses", "IPv4 client", eth(broadcast, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(68, 67))), dropDHCPv4},
	{"DHCP never crosses", "IPv4 server", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(67, 68))), dropDHCPv4},
	{"DHCP never crosses", "IPv4 relay", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(67, 67))), dropDHCPv4},
	{"DHCP never crosses", "IPv4 with options", eth(macB, macA, etherTypeIPv4, ipv4(17, 40, 0, udp(68, 67))), dropDHCPv4},
	{"DHCP never crosses", "IPv4 first fragment", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0x2000, udp(68, 67))), dropDHCPv4},
	{"DHCP never crosses", "IPv6 client", eth(macB, macA, etherTypeIPv6, ipv6(link6, host6, 17, udp(546, 547))), dropDHCPv6},
	{"DHCP never crosses", "IPv6 server", eth(macB, macA, etherTypeIPv6, ipv6(link6, host6, 17, udp(547, 546))), dropDHCPv6},
	{"DHCP never crosses", "IPv6 first fragment", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(17, 0, true), udp(546, 547))), dropDHCPv6},
	{"other UDP crosses", "IPv4", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(5353, 53))), passes},
	{"other UDP crosses", "IPv4 with the numbers of DHCPv6", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(546, 547))), passes},
	{"other UDP crosses", "IPv6", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 17, udp(5353, 53))), passes},
	{"TCP crosses", "IPv4 port 67", eth(macB, macA, etherTypeIPv4, ipv4(6, 0, 0, udp(67, 68))), passes},

	{"router advertisements never cross", "plain", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 58, icmp6(134, host6))), dropRouterAdvertisement},
	{"router advertisements never cross", "one byte of it", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 58, []byte{134})), dropRouterAdvertisement},
	{"router advertisements never cross", "behind extension headers", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 0, extension(60, 0), extension(43, 2), extension(51, 1), authentication(135), extension(139, 0),
			extension(140, 0), extension(58, 0), icmp6(134, host6))), dropRouterAdvertisement},
	{"router advertisements never cross", "first fragment", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(58, 0, true), icmp6(134, host6))), dropNDFragment},
	{"router advertisements never cross", "atomic fragment", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(60, 0, false), extension(58, 0), icmp6(134, host6))), dropNDFragment},
	{"router advertisements never cross", "header chain goes on in the next fragment", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(60, 0, true), extension(58, 3)[:8])), dropMalformed},
	{"router advertisements never cross", "nothing but the first fragment's header", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(58, 0, true))), dropMalformed},
	{"router solicitations ask this link's router", "to all routers", eth(MAC{0x33, 0x33, 0, 0, 0, 2}, macA, etherTypeIPv6,
		ipv6(link6, host6, 58, icmp6(133, host6))), dropRouterSolicitation},
	{"redirects speak for this link's router", "IPv6", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 58, icmp6(137, host6))), dropRedirect},
	{"redirects speak for this link's router", "IPv4", eth(macB, macA, etherTypeIPv4,
		ipv4(1, 0, 0, []byte{5, 1, 0, 0, 10, 77, 0, 1})), dropRedirect},
	{"other ICMP crosses", "IPv4 echo", eth(macB, macA, etherTypeIPv4, ipv4(1, 0, 0, []byte{8, 0, 0, 0})), passes},
	{"other ICMP crosses", "IPv6 echo", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 58, icmp6(128, host6))), passes},
	{"other ICMP crosses", "IPv6 echo in fragments", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 44, fragment(58, 0, true), icmp6(128, host6))), passes},
	{"other ICMP crosses", "multicast listener report", eth(MAC{0x33, 0x33, 0, 0, 0, 0x16}, macA, etherTypeIPv6,
		ipv6(link6, host6, 0, extension(58, 0), icmp6(143, host6))), passes},

	{"STP never crosses", "bridge group", eth(MAC{1, 0x80, 0xc2, 0, 0, 0}, macA, 38, []byte{0x42, 0x42, 3}), dropReserved},
	{"STP never crosses", "unicast", eth(macB, macA, 38, []byte{0x42, 0x42, 3}), dropSTP},
	{"STP never crosses", "one tree per VLAN", eth(pvst, macA, 50, []byte{0xaa, 0xaa, 3}), dropSTP},
	{"LLDP never crosses", "nearest bridge", eth(MAC{1, 0x80, 0xc2, 0, 0, 0x0e}, macA, etherTypeLLDP), dropReserved},
	{"LLDP never crosses", "unicast", eth(macB, macA, etherTypeLLDP, []byte{2, 7}), dropLLDP},
	{"what bridges keep on their link never crosses", "pause", eth(MAC{1, 0x80, 0xc2, 0, 0, 1}, macA, 0x8808), dropReserved},
	{"what bridges keep on their link never crosses", "LACP", eth(MAC{1, 0x80, 0xc2, 0, 0, 2}, macA, 0x8809), dropReserved},
	{"what bridges keep on their link never crosses", "last", eth(MAC{1, 0x80, 0xc2, 0, 0, 0x0f}, macA, 0x88b5), dropReserved},
	{"other groups cross", "after the last", eth(MAC{1, 0x80, 0xc2, 0, 0, 0x10}, macA, 0x88b5), passes},
	{"other groups cross", "IPv4 multicast", eth(MAC{1, 0, 0x5e, 0, 0, 0xfb}, macA, etherTypeIPv4, ipv4(17, 0, 0, udp(5353, 5353))), passes},
	{"other LLC crosses", "NetBIOS", eth(macB, macA, 3, []byte{0xf0, 0xf0, 3}), passes},
	{"other LLC crosses", "empty", eth(macB, macA, 0), passes},

	{"ARP for the gateway never crosses", "who has it", eth(broadcast, macA, etherTypeARP, arp(host4, gateway4)), dropGatewayARP},
	{"ARP for the gateway never crosses", "here it is", eth(macB, macA, etherTypeARP, arp(gateway4, host4)), dropGatewayARP},
	{"ARP for the gateway never crosses", "here it is, to all", eth(broadcast, macA, etherTypeARP, arp(gateway4, gateway4)), dropGatewayARP},
	{"other ARP crosses", "who has a container", eth(broadcast, macA, etherTypeARP, arp(host4, host4)), passes},
	{"other ARP crosses", "padded to the minimum frame", eth(broadcast, macA, etherTypeARP, arp(host4, host4), make([]byte, 18)), passes},
	{"ND for the gateway never crosses", "who has it", eth(MAC{0x33, 0x33, 0xff, 0, 0, 1}, macA, etherTypeIPv6,
		ipv6(host6, host6, 58, icmp6(135, gateway6))), dropGatewayND},
	{"ND for the gateway never crosses", "here it is", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 58, icmp6(136, gatewayULA))), dropGatewayND},
	{"ND for the gateway never crosses", "it asks", eth(MAC{0x33, 0x33, 0xff, 0, 0, 9}, macA, etherTypeIPv6,
		ipv6(gateway6, host6, 58, icmp6(135, host6))), dropGatewayND},
	{"ND for the gateway never crosses", "it is told", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, gateway6, 58, icmp6(136, host6))), dropGatewayND},
	{"ND for the gateway never crosses", "duplicate address detection", eth(MAC{0x33, 0x33, 0xff, 0, 0, 1}, macA, etherTypeIPv6,
		ipv6(netip.IPv6Unspecified(), host6, 58, icmp6(135, gatewayULA))), dropGatewayND},
	{"other ND crosses", "who has a container", eth(MAC{0x33, 0x33, 0xff, 0, 0, 9}, macA, etherTypeIPv6,
		ipv6(link6, host6, 58, icmp6(135, host6))), passes},
	{"fragmented ND is ignored by everyone", "who has a container", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(58, 0, true), icmp6(135, host6))), dropNDFragment},
	{"fragmented ND is ignored by everyone", "certification path solicitation", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(58, 0, true), icmp6(148, host6))), dropNDFragment},

	{"ND has no extension headers", "neighbour advertisement behind destination options", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 60, extension(58, 0), icmp6(136, host6))), dropNDExtension},
	{"ND has no extension headers", "neighbour advertisement behind hop-by-hop options", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 0, extension(58, 0), icmp6(136, host6))), dropNDExtension},
	{"ND has no extension headers", "neighbour solicitation behind an authentication header", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 51, authentication(58), icmp6(135, host6))), dropNDExtension},
	{"ARP on an Ethernet is for Ethernet", "IEEE 802", eth(broadcast, macA, etherTypeARP, append([]byte{0, 6}, arp(host4, host4)[2:]...)), dropARPHardware},
	{"ARP on an Ethernet is for Ethernet", "none", eth(broadcast, macA, etherTypeARP, append([]byte{0, 0}, arp(host4, host4)[2:]...)), dropARPHardware},

	{"frames to or from the gateway's MAC never cross", "from", eth(macB, gatewayMAC, etherTypeIPv4, ipv4(6, 0, 0, nil)), dropGatewayMAC},
	{"frames to or from the gateway's MAC never cross", "to", eth(gatewayMAC, macA, 0x88b5), dropGatewayMAC},

	{"later fragments cross, for nothing", "IPv4", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 1, udp(68, 67))), passes},
	{"later fragments cross, for nothing", "IPv6", eth(macB, macA, etherTypeIPv6,
		ipv6(link6, host6, 44, fragment(58, 1, false), icmp6(134, host6))), passes},

	{"what cannot be read to its end never crosses", "IPv4 header cut short", eth(macB, macA, etherTypeIPv4, make([]byte, 19)), dropMalformed},
	{"what cannot be read to its end never crosses", "IPv4 options cut short", eth(macB, macA, etherTypeIPv4, ipv4(17, 8, 0, nil)[:24]), dropMalformed},
	{"what cannot be read to its end never crosses", "IPv4 header shorter than it can be", eth(macB, macA, etherTypeIPv4,
		append([]byte{0x44}, make([]byte, 30)...)), dropMalformed},
	{"what cannot be read to its end never crosses", "IPv4 of another version", eth(macB, macA, etherTypeIPv4,
		ipv6(host6, host6, 59)), dropMalformed},
	{"what cannot be read to its end never crosses", "UDP ports cut short", eth(macB, macA, etherTypeIPv4, ipv4(17, 0, 0, []byte{0, 68, 0})), dropMalformed},
	{"what cannot be read to its end never crosses", "no ICMP type", eth(macB, macA, etherTypeIPv4, ipv4(1, 0, 0, nil)), dropMalformed},
	{"what cannot be read to its end never crosses", "IPv6 header cut short", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 59)[:39]), dropMalformed},
	{"what cannot be read to its end never crosses", "extension header of one byte", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 0, []byte{58})), dropMalformed},
	{"what cannot be read to its end never crosses", "authentication header cut short", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 51, authentication(58)[:20])), dropMalformed},
	{"what cannot be read to its end never crosses", "fragment header cut short", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 44, fragment(58, 1, true)[:7])), dropMalformed},
	{"what cannot be read to its end never crosses", "no ICMPv6 type", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 58)), dropMalformed},
	{"what cannot be read to its end never crosses", "ND target cut short", eth(macB, macA, etherTypeIPv6,
		ipv6(host6, host6, 58, icmp6(135, host6)[:23])), dropMalformed},
	{"what cannot be read to its end never crosses", "ARP cut short", eth(broadcast, macA, etherTypeARP, arp(host4, host4)[:27]), dropMalformed},
	{"what cannot be read to its end never crosses", "ARP for other addresses", eth(broadcast, macA, etherTypeARP,
		[]byte{0, 1, 8, 0, 8, 4}, make([]byte, 40)), dropMalformed},

	{"upper layers and EtherTypes that are not known cross", "SCTP", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 132)), passes},
	{"upper layers and EtherTypes that are not known cross", "ESP", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 50, icmp6(134, host6))), passes},
	{"upper layers and EtherTypes that are not known cross", "no next header", eth(macB, macA, etherTypeIPv6, ipv6(host6, host6, 59)), passes},
	{"upper layers and EtherTypes that are not known cross", "EtherType", plain(macB, macA, 60, 0), passes},
}

// TestBoundary holds each frame against the boundary as it is and through VLAN tags, in both directions.
func TestBoundary(t *testing.T) {
	for _, test := range boundaryTests {
		t.Run(test.sentence+"/"+test.name, func(t *testing.T) {
			testCrosses(t, "untagged", test.frame, test.want)
			testCrosses(t, "in a VLAN", tagged(etherTypeVLAN, test.frame), test.want)
			testCrosses(t, "in two VLANs", tagged(etherTypeQinQ, tagged(etherTypeVLAN, test.frame)), test.want)
		})
	}
}

// testCrosses holds b against the boundary in both directions.
func testCrosses(t *testing.T, name string, b []byte, want drop) {
	t.Helper()
	sw := New(Config{Self: self, MTU: 1500, Boundary: testBoundary, Report: discard{}})
	now := time.Now()
	outbound := want
	if want == passes {
		outbound = dropNoPeers // it got as far as it can
	}
	if got := newOutbound(sw, 0, nil).packet(now, packets(b)[0]); got != outbound {
		t.Errorf("%s, from the TAP: drop = %v, want %v", name, got, outbound)
	}
	if got := sw.NewInbound(nil).judge(&peer{}, packets(b)[0]); got != want {
		t.Errorf("%s, from a peer: drop = %v, want %v", name, got, want)
	}
}

func TestNoGatewayMatchesNothing(t *testing.T) {
	none := newBoundary(Boundary{})
	for _, b := range [][]byte{
		plain(MAC{}, macA, 60, 0),
		eth(broadcast, macA, etherTypeARP, arp(netip.IPv4Unspecified(), host4)),
		eth(macB, macA, etherTypeIPv6, ipv6(netip.IPv6Unspecified(), host6, 58, icmp6(135, host6))),
	} {
		f, _ := parseFrame(b, len(b))
		if got := none.judge(f); got != passes {
			t.Errorf("judge(%x) without a gateway = %v, want %v", b, got, passes)
		}
	}
}

// FuzzBoundary holds any frame against the boundary. Its verdict must not depend on VLAN tags, and no chain of extension
// headers that leads to a router or neighbour advertisement may let it cross.
func FuzzBoundary(f *testing.F) {
	for _, test := range boundaryTests {
		f.Add(test.frame, []byte{0, 0, 1, 2, 44, 0})
	}
	bound := newBoundary(testBoundary)
	judge := func(b []byte) drop {
		frame, why := parseFrame(b, 1<<17)
		if why == passes {
			why = bound.judge(frame)
		}
		return why
	}
	f.Fuzz(func(t *testing.T, b, headers []byte) {
		want := judge(b)
		if len(b) >= ethernetHeaderLen && [2]byte(b[12:14]) != [2]byte{0x81, 0x00} && [2]byte(b[12:14]) != [2]byte{0x88, 0xa8} {
			if got := judge(tagged(etherTypeQinQ, tagged(etherTypeVLAN, b))); got != want {
				t.Errorf("judge(tagged %x) = %v, untagged %v", b, got, want)
			}
		}
		for _, kind := range []byte{icmp6RouterAdvertisement, icmp6NeighborAdvertisement} {
			next, chain := extended(headers, icmp6(kind, host6))
			got := judge(eth(macB, macA, etherTypeIPv6, ipv6(link6, host6, next, chain)))
			if got == passes && (kind == icmp6RouterAdvertisement || next != protocolICMPv6) {
				t.Errorf("an ICMPv6 message of type %d behind the extension headers %x crosses", kind, headers)
			}
		}
	})
}

// extended returns an ICMPv6 message behind the extension headers that two bytes each say, the last first, and the first's type.
func extended(headers, message []byte) (next byte, chain []byte) {
	next, chain = protocolICMPv6, message
	for i := 0; i+1 < len(headers) && i < 64; i += 2 {
		var header []byte
		switch t := headers[i]; t {
		case headerHopByHop, headerRouting, headerDestination, headerMobility, headerHIP, headerShim6:
			header = extension(next, int(headers[i+1]))
		case headerAuth:
			header = authentication(next)
		case headerFragment:
			header = fragment(next, 0, headers[i+1]&1 != 0)
		default:
			continue
		}
		next, chain = headers[i], append(header, chain...)
	}
	return next, chain
}

// discard is a Report that takes everything.
type discard struct{}

func (discard) Learn(MAC, session.NodeID) bool { return true }
