package answer

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
)

// Flags of a router advertisement (RFC 4861, section 4.2) and of its prefix option (section 4.6.2).
const (
	flagManaged = 1 << 7 // addresses are to be had by DHCPv6
	flagOther   = 1 << 6 // and so is other configuration
	flagOnLink  = 1 << 7
)

// AdvertiseInterval is the time between advertisements that nobody asked for: MaxRtrAdvInterval (RFC 4861, section 6.2.1).
const AdvertiseInterval = 10 * time.Minute

// routerLifetime is how long what an advertisement says holds: AdvDefaultLifetime.
const routerLifetime = 3 * AdvertiseInterval

// solicited answers a router solicitation (RFC 4861, section 6.1.1).
func (s *Segment) solicited(q *query, p *packet, dst []byte) Result {
	links, ok := parseOptions(p.upper[8:])
	switch {
	case !ok, p.src.IsUnspecified() && links.source != MAC{}, links.source != MAC{} && links.source != q.src:
		return Result{Outcome: RSInvalid}
	case s.DHCP == Off:
		return Result{}
	case p.src.IsUnspecified():
		return Result{Outcome: RSAnswered, Reply: s.advertise(dst, q.src, allNodes)}
	}
	return Result{Outcome: RSAnswered, Reply: s.advertise(dst, q.src, p.src)}
}

// Advertise appends the frame of a router advertisement for all containers, which is to be sent every AdvertiseInterval.
func (s *Segment) Advertise(dst []byte) []byte { return s.advertise(dst, allNodesMAC, allNodes) }

// advertise appends a router advertisement (RFC 4861, section 4.2): the prefix is on the link, addresses come by DHCPv6.
func (s *Segment) advertise(dst []byte, mac MAC, to netip.Addr) []byte {
	lifetime := uint16(0) // not a default router
	if s.Router {
		lifetime = uint16(routerLifetime / time.Second)
	}
	// Type (1), Code (1), Checksum (2), Cur Hop Limit (1), Flags (1), Router Lifetime (2), Reachable Time (4), Retrans Timer (4).
	m := make([]byte, 0, MaxAnswer)
	m = append(m, routerAdvertisement, 0, 0, 0, 64, flagManaged|flagOther)
	m = append(binary.BigEndian.AppendUint16(m, lifetime), 0, 0, 0, 0, 0, 0, 0, 0)
	m = append(append(m, optionSourceLink, 1), s.MAC[:]...)
	m = binary.BigEndian.AppendUint32(append(m, optionMTU, 1, 0, 0), uint32(s.MTU))
	// Prefix Length (1), Flags (1), Valid Lifetime (4), Preferred Lifetime (4), Reserved (4), Prefix (16).
	m = append(m, optionPrefix, 4, byte(s.Prefix.Bits()), flagOnLink)
	m = binary.BigEndian.AppendUint32(m, infiniteLifetime)
	m = append(binary.BigEndian.AppendUint32(m, infiniteLifetime), 0, 0, 0, 0)
	m = append(m, s.Prefix.Masked().Addr().AsSlice()...)
	m = s.appendDNS(m)
	b := appendEthernet(dst, mac, s.source(), etherTypeIPv6)
	return appendICMPv6(b, s.LinkLocal(), to, m)
}

// appendDNS appends the options RDNSS and DNSSL (RFC 8106, section 5).
func (s *Segment) appendDNS(m []byte) []byte {
	const lifetime = uint32(routerLifetime / time.Second)
	if servers := s.servers(netip.Addr.Is6); len(servers) > 0 {
		m = append(m, optionRDNSS, byte(1+2*len(servers)), 0, 0)
		m = binary.BigEndian.AppendUint32(m, lifetime)
		for _, a := range servers {
			m = append(m, a.AsSlice()...)
		}
	}
	if s.Domain == "" {
		return m
	}
	var name []byte
	for label := range strings.SplitSeq(s.Domain, ".") {
		name = append(append(name, byte(len(label))), label...)
	}
	name = append(name, make([]byte, 8-len(name)%8)...) // the root label, and padding
	m = append(m, optionDNSSL, byte(1+len(name)/8), 0, 0)
	return append(binary.BigEndian.AppendUint32(m, lifetime), name...)
}

// servers returns the DNS servers of a family.
func (s *Segment) servers(is func(netip.Addr) bool) []netip.Addr {
	var servers []netip.Addr
	for _, a := range s.DNS {
		if is(a) {
			servers = append(servers, a)
		}
	}
	return servers
}
