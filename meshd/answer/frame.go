package answer

import (
	"encoding/binary"
	"net/netip"
)

// Lengths in bytes.
const (
	ethernetLen = 14 // IEEE 802.3 without a tag
	tagLen      = 4  // IEEE 802.1Q: TPID (2), TCI (2)
	ipv4Len     = 20 // RFC 791, without options
	ipv6Len     = 40 // RFC 8200
	udpLen      = 8  // RFC 768

	// MaxAnswer is room for any answer but a DHCP server's.
	MaxAnswer = 512
)

// EtherTypes (IANA, "IEEE 802 Numbers").
const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeVLAN = 0x8100 // IEEE 802.1Q
	etherTypeIPv6 = 0x86dd
	etherTypeQinQ = 0x88a8 // IEEE 802.1ad
)

// maxTags is how many tags may be in front of what a frame asks. With more it does not leave the host.
const maxTags = 2

// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers").
const (
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// UDP ports (IANA, "Service Name and Transport Protocol Port Number Registry").
const (
	port4Server, port4Client = 67, 68
	port6Client, port6Server = 546, 547
)

var broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Asks reports whether Answer may have something to say to a frame. It is a quick look, for every frame.
func Asks(frame []byte) bool {
	if len(frame) < ethernetLen+ipv4Len {
		return false
	}
	switch etherType, p := untag(frame); etherType {
	case etherTypeARP:
		return true
	case etherTypeIPv4:
		if len(p) < ipv4Len {
			return false
		}
		at := int(p[0]&0x0f) * 4
		if p[9] != protocolUDP || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 || len(p) < at+4 {
			return false
		}
		from, to := binary.BigEndian.Uint16(p[at:]), binary.BigEndian.Uint16(p[at+2:])
		return to == port4Server || to == port4Client || from == port4Server
	case etherTypeIPv6:
		if len(p) < ipv6Len+4 {
			return false
		}
		switch upper := p[ipv6Len:]; p[6] {
		case protocolICMPv6:
			return upper[0] >= routerSolicitation && upper[0] <= neighborAdvertisement
		case protocolUDP:
			from, to := binary.BigEndian.Uint16(upper), binary.BigEndian.Uint16(upper[2:])
			return to == port6Server || to == port6Client || from == port6Server
		}
	}
	return false
}

// untag returns the EtherType and payload of a frame that has at least a header. Tags of VLAN 0 are looked through: they give a frame
// a priority and no VLAN (IEEE 802.1Q, section 6.9.1), and receivers take it as untagged, however many there are. Other VLANs are links of their own.
func untag(frame []byte) (etherType uint16, payload []byte) {
	etherType, payload = binary.BigEndian.Uint16(frame[12:]), frame[ethernetLen:]
	if etherType == etherTypeVLAN || etherType == etherTypeQinQ {
		return untagged(etherType, payload)
	}
	return etherType, payload
}

// untagged returns what is behind the tag of type tpid, of which p begins with the rest, and behind further ones.
func untagged(tpid uint16, p []byte) (etherType uint16, payload []byte) {
	for range maxTags {
		// Priority (3 bits), Drop Eligible (1 bit), VLAN (12 bits), then the next type (2).
		if tpid != etherTypeVLAN && tpid != etherTypeQinQ || len(p) < tagLen || binary.BigEndian.Uint16(p)&0xfff != 0 {
			break
		}
		tpid, p = binary.BigEndian.Uint16(p[2:]), p[tagLen:]
	}
	return tpid, p
}

// query is a frame that came from the TAP.
type query struct {
	dst, src  MAC
	etherType uint16
	payload   []byte
	partial   bool // the UDP checksum is still to be computed
}

// multicast reports whether the frame is for more than one station.
func (q *query) multicast() bool { return q.dst[0]&1 != 0 }

func parseFrame(b []byte) (q query, ok bool) {
	if !Asks(b) {
		return query{}, false
	}
	// Destination (6), Source (6), tags, Type (2).
	q = query{dst: MAC(b), src: MAC(b[6:])}
	q.etherType, q.payload = untag(b)
	return q, q.src[0]&1 == 0 && q.src != MAC{}
}

// appendEthernet appends a header.
func appendEthernet(b []byte, dst, src MAC, etherType uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append(b, dst[:]...), src[:]...), etherType)
}

// packet is an IP packet's addresses and what is in it, without padding.
type packet struct {
	src, dst netip.Addr
	hopLimit byte
	upper    []byte
}

// parseIPv4 reads a packet (RFC 791, section 3.1) that is whole, and whose header checksum is right.
func parseIPv4(b []byte) (p packet, ok bool) {
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return packet{}, false
	}
	// IHL (4 bits, in words of 4 bytes), Total Length (2), Flags (3 bits), Fragment Offset (13 bits).
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4Len || total < header || total > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return packet{}, false
	}
	if checksum(0, b[:header]) != 0 {
		return packet{}, false
	}
	// Time to Live (1), Source Address (4), Destination Address (4).
	return packet{
		src: netip.AddrFrom4([4]byte(b[12:])), dst: netip.AddrFrom4([4]byte(b[16:])), hopLimit: b[8], upper: b[header:total],
	}, true
}

// parseIPv6 reads a packet (RFC 8200, section 3) without extension headers.
func parseIPv6(b []byte) (p packet, ok bool) {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return packet{}, false
	}
	// Payload Length (2), Hop Limit (1), Source Address (16), Destination Address (16).
	n := int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < ipv6Len+n {
		return packet{}, false
	}
	return packet{
		src: netip.AddrFrom16([16]byte(b[8:])), dst: netip.AddrFrom16([16]byte(b[24:])), hopLimit: b[7], upper: b[ipv6Len : ipv6Len+n],
	}, true
}

// nextHeader returns that of an IPv6 packet, of which at least the header is there.
func nextHeader(b []byte) byte { return b[6] }

// udp returns the ports and payload of a datagram (RFC 768) whose checksum is right. IPv4 allows none.
func (p *packet) udp(partial bool) (from, to uint16, payload []byte, ok bool) {
	b := p.upper
	if len(b) < udpLen {
		return 0, 0, nil, false
	}
	// Source Port (2), Destination Port (2), Length (2), Checksum (2).
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < udpLen || n > len(b) {
		return 0, 0, nil, false
	}
	b = b[:n]
	if sum := binary.BigEndian.Uint16(b[6:]); !partial && (sum != 0 || p.src.Is6()) && (sum == 0 || p.checksum(protocolUDP, b) != 0) {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[udpLen:], true
}

// checksum returns that of an upper layer b of p: 0 if b has the right one in it.
func (p *packet) checksum(protocol byte, b []byte) uint16 {
	src, dst := p.src.As16(), p.dst.As16()
	s, d := src[:], dst[:]
	if p.src.Is4() {
		s, d = s[12:], d[12:]
	}
	return checksum(sum(sum(uint32(protocol)+uint32(len(b)), s), d), b)
}

// sum adds b to a sum of 16-bit words (RFC 1071). The sum has room for 64 KB.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// checksum is the complement of the sum, in 16 bits.
func checksum(s uint32, b []byte) uint16 {
	s = sum(s, b)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// appendUDP appends an IP packet with a UDP datagram.
func appendUDP(b []byte, src, dst netip.AddrPort, payload []byte) []byte {
	u := make([]byte, udpLen, udpLen+len(payload))
	binary.BigEndian.PutUint16(u, src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(udpLen+len(payload)))
	u = append(u, payload...)
	p := packet{src: src.Addr(), dst: dst.Addr()}
	c := p.checksum(protocolUDP, u)
	if c == 0 {
		c = 0xffff // zero says that there is none
	}
	binary.BigEndian.PutUint16(u[6:], c)
	if p.src.Is4() {
		b = appendIPv4(b, p.src, p.dst, len(u))
	} else {
		b = appendIPv6(b, p.src, p.dst, protocolUDP, 64, len(u))
	}
	return append(b, u...)
}

// appendIPv4 appends the header of a UDP packet that is not to be fragmented.
func appendIPv4(b []byte, src, dst netip.Addr, length int) []byte {
	at := len(b)
	b = append(b, 0x45, 0xc0) // network control (RFC 2474)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+length))
	b = append(b, 0, 0, 0x40, 0, 64, protocolUDP, 0, 0)
	s, d := src.As4(), dst.As4()
	b = append(append(b, s[:]...), d[:]...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(0, b[at:]))
	return b
}

// appendIPv6 appends a header.
func appendIPv6(b []byte, src, dst netip.Addr, protocol, hopLimit byte, length int) []byte {
	b = append(b, 0x60, 0, 0, 0)
	b = append(binary.BigEndian.AppendUint16(b, uint16(length)), protocol, hopLimit)
	s, d := src.As16(), dst.As16()
	return append(append(b, s[:]...), d[:]...)
}
