package answer

import (
	"encoding/binary"
	"net/netip"
)

// ICMPv6 types (RFC 4861, section 4).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

// Options of neighbour discovery (RFC 4861, section 4.6; RFC 8106).
const (
	optionSourceLink  = 1
	optionTargetLink  = 2
	optionPrefix      = 3
	optionMTU         = 5
	optionRDNSS       = 25
	optionDNSSL       = 31
	infiniteLifetime  = 0xffff_ffff // seconds
	hopLimitDiscovery = 255         // who got here with it came over no router
)

// Flags of a neighbour advertisement (RFC 4861, section 4.4).
const (
	flagSolicited = 1 << 6
	flagOverride  = 1 << 5
)

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = MAC{0x33, 0x33, 0, 0, 0, 1}
)

// icmp6 answers neighbour discovery. What is not valid is dropped: no receiver may take it (RFC 4861, sections 6.1 and 7.1).
func (s *Segment) icmp6(t *Tables, q *query, dst []byte) Result {
	p, ok := parseIPv6(q.payload)
	if !ok || len(p.upper) < 8 {
		return Result{Outcome: NDInvalid}
	}
	// Type (1), Code (1), Checksum (2).
	m := p.upper
	switch {
	case m[0] == routerAdvertisement:
		if s.DHCP == Off {
			return Result{} // another router's, which the boundary holds back
		}
		return Result{Outcome: RogueRouter, Event: Event{Kind: RogueRA, MAC: q.src}}
	case p.hopLimit != hopLimitDiscovery || m[1] != 0 || p.checksum(protocolICMPv6, m) != 0:
		return Result{Outcome: NDInvalid}
	case m[0] == routerSolicitation:
		return s.solicited(q, &p, dst)
	case len(m) < 24:
		return Result{Outcome: NDInvalid}
	}
	// Flags and Reserved (4), Target Address (16), Options.
	target := netip.AddrFrom16([16]byte(m[8:]))
	links, ok := parseOptions(m[24:])
	if !ok || target.IsMulticast() {
		return Result{Outcome: NDInvalid}
	}
	if m[0] == neighborAdvertisement {
		return s.advertised(t, q, &p, target, links.target)
	}
	return s.neighbor(t, q, &p, target, links.source, dst)
}

// links are the link-layer addresses in the options of a message; zero if there is none.
type links struct{ source, target MAC }

// parseOptions reads options (RFC 4861, section 4.6): Type (1), Length (1, in units of 8 bytes).
func parseOptions(b []byte) (l links, ok bool) {
	for len(b) > 0 {
		if len(b) < 8 || b[1] == 0 || len(b) < int(b[1])*8 {
			return links{}, false
		}
		switch b[0] {
		case optionSourceLink:
			l.source = MAC(b[2:])
		case optionTargetLink:
			l.target = MAC(b[2:])
		}
		b = b[int(b[1])*8:]
	}
	return l, true
}

// neighbor answers a neighbour solicitation for target. From the unspecified address it asks whether target is in use, for duplicate
// address detection (RFC 4862, section 5.4).
func (s *Segment) neighbor(t *Tables, q *query, p *packet, target netip.Addr, link MAC, dst []byte) Result {
	probe := p.src.IsUnspecified()
	switch {
	case probe && (link != MAC{} || p.dst != solicitedNode(target)), link != MAC{} && link != q.src:
		return Result{Outcome: NDInvalid}
	case !probe && s.claims(t, q.src, p.src):
		return Result{Outcome: NDClaimed, Event: Event{Claimed, q.src, p.src}}
	}
	from, to, outcome := s.resolve(t, q, target, probe)
	switch outcome {
	case pass:
		return Result{}
	case keep:
		return Result{Outcome: NDKept}
	}
	flags, ip, mac := byte(flagSolicited), p.src, q.src
	if probe {
		flags, ip, mac = 0, allNodes, allNodesMAC // RFC 4861, section 7.2.4
	}
	if to != s.MAC { // an anycast address, which is the gateway's, does not override (RFC 4861, section 7.2.7)
		flags |= flagOverride
	}
	b := appendEthernet(dst, mac, from, etherTypeIPv6)
	return Result{Outcome: NDAnswered, Reply: appendAdvertisement(b, target, ip, flags, to)}
}

// appendAdvertisement appends the packet of a neighbour advertisement (RFC 4861, section 4.4): link has target.
func appendAdvertisement(b []byte, target, to netip.Addr, flags byte, link MAC) []byte {
	a := target.As16()
	m := append(make([]byte, 0, 32), neighborAdvertisement, 0, 0, 0, flags, 0, 0, 0)
	m = append(append(m, a[:]...), optionTargetLink, 1)
	return appendICMPv6(b, target, to, append(m, link[:]...))
}

// advertised judges a neighbour advertisement: who says that it has target may.
func (s *Segment) advertised(t *Tables, q *query, p *packet, target netip.Addr, link MAC) Result {
	if link == (MAC{}) {
		link = q.src
	}
	switch {
	case p.dst.IsMulticast() && p.upper[4]&flagSolicited != 0:
		return Result{Outcome: NDInvalid}
	case s.claims(t, link, target), s.claims(t, q.src, target):
		return Result{Outcome: NDClaimed, Event: Event{Claimed, q.src, target}}
	}
	if holder, held := t.Holders[target]; held && !holder.Temporary && q.multicast() {
		return Result{Outcome: NDKept} // the neighbour table has told everybody
	}
	return Result{}
}

// solicitedNode returns the group in which target is asked for (RFC 4291, section 2.7.1).
func solicitedNode(target netip.Addr) netip.Addr {
	a := target.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: a[13], a[14], a[15]})
}

// appendICMPv6 appends an IPv6 packet with m, of which the checksum is zero.
func appendICMPv6(b []byte, src, dst netip.Addr, m []byte) []byte {
	p := packet{src: src, dst: dst}
	binary.BigEndian.PutUint16(m[2:], p.checksum(protocolICMPv6, m))
	return append(appendIPv6(b, src, dst, protocolICMPv6, hopLimitDiscovery, len(m)), m...)
}
