package mesh

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Boundary says what belongs to one host's link and never crosses the mesh, in either direction:
//
//   - DHCP for IPv4 and IPv6, and router advertisements: each host answers its own containers;
//   - router solicitations: they ask for the router of this link, which is this host, and any answer would be an
//     advertisement;
//   - redirects: they speak for the router of this link;
//   - STP, LLDP and everything else to the group addresses that bridges do not forward: the mesh is no cable;
//   - ARP and ND about the gateway's addresses, and frames from or to its MAC: every host has the same ones;
//   - ARP and ND of forms that no host sends and some receivers take: they go around those that answer and judge them.
//
// The boundary looks through two VLAN tags and all IPv6 extension headers. Where it cannot read on it drops: what is
// cut short no receiver could use, and only an attacker hides a header (RFC 7113, section 3). EtherTypes and upper
// layers that it does not know pass: this is an Ethernet.
type Boundary struct {
	GatewayMAC MAC          // of every host; zero if there is no gateway
	Gateways   []netip.Addr // the gateway's addresses, IPv4 and IPv6
}

// boundary is a Boundary as the frame path reads it. It does not change.
type boundary struct {
	mac        MAC
	hasGateway bool // mac is set
	v4         [][4]byte
	v6         [][16]byte
}

func newBoundary(b Boundary) boundary {
	c := boundary{mac: b.GatewayMAC, hasGateway: b.GatewayMAC != MAC{}}
	for _, a := range b.Gateways {
		switch a = a.Unmap(); {
		case a.Is4():
			c.v4 = append(c.v4, a.As4())
		case a.Is6():
			c.v6 = append(c.v6, a.As16())
		}
	}
	return c
}

// Groups that belong to one link. pvst is the group of Cisco's spanning tree per VLAN.
var (
	reservedGroup = [5]byte{0x01, 0x80, 0xc2, 0x00, 0x00} // 01-80-C2-00-00-00 to -0F: IEEE 802.1Q, table 8-1
	pvst          = MAC{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd}
)

// llcSTP is the LLC service access point of BPDUs (IEEE 802.1D, clause 9.2).
const llcSTP = 0x42

// judge returns passes if f may cross.
func (b *boundary) judge(f frame) drop {
	if f.dst.group() {
		if [5]byte(f.dst[:5]) == reservedGroup && f.dst[5] <= 0x0f {
			return dropReserved
		}
		if f.dst == pvst {
			return dropSTP
		}
	}
	if b.hasGateway && (f.src == b.mac || f.dst == b.mac) {
		return dropGatewayMAC
	}
	switch f.etherType {
	case etherTypeIPv4:
		return b.judgeIPv4(f.payload)
	case etherTypeIPv6:
		return b.judgeIPv6(f.payload)
	case etherTypeARP:
		return b.judgeARP(f.payload)
	case etherTypeLLDP:
		return dropLLDP
	}
	if f.etherType < etherTypeMin && len(f.payload) > 0 && f.payload[0] == llcSTP {
		return dropSTP
	}
	return passes
}

// hardwareEthernet is the hardware type of all ARP on an Ethernet (IANA, "Address Resolution Protocol (ARP) Parameters").
const hardwareEthernet = 1

// judgeARP judges an ARP packet (RFC 826). Packets for other address lengths than Ethernet's and IPv4's have no
// receiver (arp_rcv in net/ipv4/arp.c), so they count as malformed.
func (b *boundary) judgeARP(p []byte) drop {
	const packetLen = 28
	if len(p) < packetLen {
		return dropMalformed
	}
	// Hardware Type (2), Protocol Type (2), Hardware Length (1), Protocol Length (1).
	if p[4] != 6 || p[5] != 4 {
		return dropMalformed
	}
	if binary.BigEndian.Uint16(p) != hardwareEthernet { // Linux takes type 6, IEEE 802, as well (arp_process)
		return dropARPHardware
	}
	// Operation (2), Sender Hardware Address (6), Sender Protocol Address (4).
	sender := [4]byte(p[14:18])
	// Target Hardware Address (6), Target Protocol Address (4).
	target := [4]byte(p[24:28])
	if slices.Contains(b.v4, sender) || slices.Contains(b.v4, target) {
		return dropGatewayARP
	}
	return passes
}

// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers").
const (
	protocolICMP   = 1
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// UDP ports (IANA, "Service Name and Transport Protocol Port Number Registry").
const (
	portDHCPv4Server = 67
	portDHCPv4Client = 68
	portDHCPv6Client = 546
	portDHCPv6Server = 547
)

// icmpRedirect is the ICMP type of a redirect (RFC 792).
const icmpRedirect = 5

// judgeIPv4 judges an IPv4 packet (RFC 791, section 3.1).
func (b *boundary) judgeIPv4(p []byte) drop {
	const minHeaderLen = 20
	if len(p) < minHeaderLen {
		return dropMalformed
	}
	// Version (4 bits), IHL (4 bits, in words of 4 bytes).
	headerLen := int(p[0]&0x0f) * 4
	if p[0]>>4 != 4 || headerLen < minHeaderLen || len(p) < headerLen {
		return dropMalformed
	}
	// Flags (3 bits), Fragment Offset (13 bits). A later fragment has no ports, and is nothing without the first.
	if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
		return passes
	}
	// Protocol (1).
	switch upper := p[headerLen:]; p[9] {
	case protocolUDP:
		return judgeUDP(upper, portDHCPv4Server, portDHCPv4Client, dropDHCPv4)
	case protocolICMP:
		if len(upper) < 1 {
			return dropMalformed
		}
		if upper[0] == icmpRedirect {
			return dropRedirect
		}
	}
	return passes
}

// judgeUDP returns why if either port of the UDP header (RFC 768) is p1 or p2.
func judgeUDP(header []byte, p1, p2 uint16, why drop) drop {
	// Source Port (2), Destination Port (2).
	if len(header) < 4 {
		return dropMalformed
	}
	src, dst := binary.BigEndian.Uint16(header), binary.BigEndian.Uint16(header[2:])
	if src == p1 || src == p2 || dst == p1 || dst == p2 {
		return why
	}
	return passes
}
