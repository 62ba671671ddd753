package offload

import "encoding/binary"

// Lengths in bytes and values of the headers that segments have.
const (
	ethernetLen = 14 // IEEE 802.3 without a tag
	tagLen      = 4  // IEEE 802.1Q
	maxTags     = 2  // IEEE 802.1ad
	ipv4Len     = 20 // RFC 791, without options
	ipv6Len     = 40 // RFC 8200
	tcpLen      = 20 // RFC 9293, without options
	udpLen      = 8  // RFC 768

	typeIPv4, typeIPv6 = 0x0800, 0x86dd
	typeVLAN, typeQinQ = 0x8100, 0x88a8

	protocolTCP, protocolUDP = 6, 17

	tcpChecksum, udpChecksum = 16, 6 // where in the header
)

const (
	// minSize is the smallest payload of a TCP segment that is taken: the kernel's own bound (TCP_MIN_SND_MSS,
	// include/net/tcp.h). A peer could have us cut 64 KB into single bytes.
	minSize = 48
	// maxUDPSegments is the kernel's bound (UDP_MAX_SEGMENTS, include/linux/udp.h).
	maxUDPSegments = 128
)

// Restore makes the header of a packet that a kernel has handed over what Check wants: a kernel says in HeadersLen how much of the
// frame lies in one piece of its memory, and may say that a checksum was verified.
func Restore(p []byte) {
	h := Parse(p)
	h.Flags &^= dataValid
	h.HeadersLen = 0
	if h.Kind == None {
		h.Size = 0
	} else if f := p[HeaderLen:]; h.Kind == UDP {
		h.HeadersLen = h.Start + udpLen
	} else if at := int(h.Start) + 12; at < len(f) {
		h.HeadersLen = h.Start + uint16(f[at]>>4)*4
	}
	h.Put(p)
}

// Check holds the header of packet p against its frame, whose segments may be of maxFrame bytes. It accepts no more than a kernel
// makes: TCP and UDP over IP, up to two VLAN tags, and checksums inside the frame.
func Check(p []byte, maxFrame int) error {
	h, f := Parse(p), p[HeaderLen:]
	if h.Flags&^NeedsChecksum != 0 {
		return ErrFlags
	}
	if h.Flags == 0 && (h.Start != 0 || h.Offset != 0) {
		return ErrChecksum
	}
	if h.Flags != 0 && (h.Start < ethernetLen || int(h.Start)+int(h.Offset)+2 > len(f)) {
		return ErrChecksum
	}
	if h.Kind == None {
		if h.HeadersLen != 0 || h.Size != 0 {
			return ErrHeaders
		}
		return nil
	}
	return h.checkSegments(f, maxFrame)
}

// checkSegments holds h, of a frame that is to be cut, against it.
func (h Header) checkSegments(f []byte, maxFrame int) error {
	var checksum uint16            // its place
	start, want := int(h.Start), 0 // want: length of the headers; in int, where nothing wraps
	switch h.Kind {
	case TCPv4, TCPv4 | ecn, TCPv6, TCPv6 | ecn:
		if start+tcpLen > len(f) || f[start+12]>>4*4 < tcpLen {
			return ErrHeaders
		}
		want, checksum = start+int(f[start+12]>>4)*4, tcpChecksum
	case UDP:
		want, checksum = start+udpLen, udpChecksum
	default:
		return ErrFlags
	}
	if h.Flags != NeedsChecksum || h.Offset != checksum {
		return ErrChecksum
	}
	l3, version, ok := network(f)
	if !ok || int(h.HeadersLen) != want || want > MaxHeaders || want >= len(f) || !h.matches(f, l3, version) {
		return ErrHeaders
	}
	payload := len(f) - want
	if h.Size == 0 || int(h.HeadersLen)+int(h.Size) > maxFrame {
		return ErrSize
	}
	if h.Kind == UDP && payload > maxUDPSegments*int(h.Size) || h.Kind != UDP && h.Size < minSize {
		return ErrSize
	}
	return nil
}

// matches reports whether the IP header at l3 of f is one of h's kind, and as long as h and f say.
func (h Header) matches(f []byte, l3, version int) bool {
	protocol := byte(protocolTCP)
	if h.Kind == UDP {
		protocol = protocolUDP
	}
	p := f[l3:]
	switch version {
	case 4:
		return h.Kind&^ecn != TCPv6 && len(p) >= ipv4Len && p[9] == protocol && int(h.Start) == l3+int(p[0]&0x0f)*4 &&
			int(h.Start) >= l3+ipv4Len && int(binary.BigEndian.Uint16(p[2:])) == len(p) && binary.BigEndian.Uint16(p[6:])&0x3fff == 0
	default:
		return h.Kind&^ecn != TCPv4 && len(p) >= ipv6Len && int(h.Start) >= l3+ipv6Len && upper(p, int(h.Start)-l3, protocol) &&
			int(binary.BigEndian.Uint16(p[4:])) == len(p)-ipv6Len
	}
}

// upper reports whether the IPv6 packet p has the header of protocol at byte at, behind extension headers that segments may all
// have: hop-by-hop options, routing, destination options (RFC 8200, section 4).
func upper(p []byte, at int, protocol byte) bool {
	next, i := p[6], ipv6Len
	for i < at && i+8 <= len(p) && (next == 0 || next == 43 || next == 60) {
		next, i = p[i], i+8+int(p[i+1])*8
	}
	return i == at && next == protocol
}

// Length returns how long packet p is, of which perhaps only the headers are there, by what its IP header says.
func Length(p []byte) (int, bool) {
	f := p[HeaderLen:]
	l3, version, ok := network(f)
	switch {
	case ok && version == 4 && len(f) >= l3+ipv4Len:
		return HeaderLen + l3 + int(binary.BigEndian.Uint16(f[l3+2:])), true
	case ok && version == 6 && len(f) >= l3+ipv6Len:
		return HeaderLen + l3 + ipv6Len + int(binary.BigEndian.Uint16(f[l3+4:])), true
	}
	return 0, false
}

// network returns where in frame f its IP packet begins, and the version.
func network(f []byte) (l3, version int, ok bool) {
	l3 = ethernetLen
	for range maxTags + 1 {
		if len(f) < l3+1 {
			return 0, 0, false
		}
		switch binary.BigEndian.Uint16(f[l3-2:]) {
		case typeVLAN, typeQinQ:
			l3 += tagLen
		case typeIPv4:
			return l3, 4, f[l3]>>4 == 4
		case typeIPv6:
			return l3, 6, f[l3]>>4 == 6
		default:
			return 0, 0, false
		}
	}
	return 0, 0, false
}
