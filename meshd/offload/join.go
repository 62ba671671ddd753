package offload

import (
	"bytes"
	"encoding/binary"
)

const (
	// maxJoined is how many datagrams Join makes one packet of: what every kernel takes (UDP_MAX_SEGMENTS before Linux 6.9).
	maxJoined = 64
	// maxJoinedLen bounds such a packet, in bytes.
	maxJoinedLen = 60 << 10
)

// Join writes to dst one packet of UDP segments that stands for as many packets from the front of ps as it can, and returns it and
// their number; nil and 1 if the first stands alone. They are of one flow and one length, the last possibly shorter, with a checksum
// that is still to be computed, and no fragments; what is cut from the packet later are the same datagrams, but for the identification of IPv4,
// which means nothing in a packet that must not be fragmented (RFC 6864, section 4). dst has room for MaxPacket bytes.
func Join(dst []byte, ps [][]byte) (joined []byte, n int) {
	first, ok := parseDatagram(ps[0])
	if !ok || len(ps) < 2 {
		return nil, 1
	}
	n = 1
	for total := len(ps[0]); n < min(len(ps), maxJoined); n++ {
		next, ok := parseDatagram(ps[n])
		if !ok || !first.sameFlow(next) || next.size() > first.size() || total+next.size() > maxJoinedLen {
			break
		}
		if n == 1 {
			dst = append(dst[:0], ps[0]...)
		}
		dst = append(dst, next.p[next.payload:]...)
		total += next.size()
		if next.size() < first.size() {
			n++
			break
		}
	}
	if n == 1 {
		return nil, 1
	}
	f := dst[HeaderLen:]
	h := Parse(dst)
	h.Kind, h.HeadersLen, h.Size = UDP, h.Start+udpLen, uint16(first.size())
	setLength(f[first.l3:], first.version, 0)
	upper := f[h.Start:]
	binary.BigEndian.PutUint16(upper[4:], uint16(len(upper)))
	binary.BigEndian.PutUint16(upper[udpChecksum:], pseudo(f[first.l3:], first.version, len(upper), UDP))
	h.Put(dst)
	return dst, n
}

// datagram is a packet with one UDP datagram in an IP packet without options, whose checksum is still to be computed.
type datagram struct {
	p           []byte
	l3, version int // of the frame
	payload     int // of p
}

func (d datagram) size() int { return len(d.p) - d.payload }

func parseDatagram(p []byte) (d datagram, ok bool) {
	if len(p) < HeaderLen || p[0] != NeedsChecksum || p[1] != byte(None) {
		return d, false
	}
	h, f := Parse(p), p[HeaderLen:]
	d = datagram{p: p, payload: HeaderLen + int(h.Start) + udpLen}
	if d.l3, d.version, ok = network(f); !ok || h.Offset != udpChecksum || d.payload >= len(p) {
		return d, false
	}
	ip := f[d.l3:]
	switch d.version {
	case 4:
		const dontFragment = 0x4000
		ok = int(h.Start) == d.l3+ipv4Len && ip[0] == 0x45 && ip[9] == protocolUDP && binary.BigEndian.Uint16(ip[6:]) == dontFragment &&
			int(binary.BigEndian.Uint16(ip[2:])) == len(ip)
	default:
		ok = int(h.Start) == d.l3+ipv6Len && ip[6] == protocolUDP && int(binary.BigEndian.Uint16(ip[4:])) == len(ip)-ipv6Len
	}
	return d, ok && int(binary.BigEndian.Uint16(f[int(h.Start)+4:])) == len(f)-int(h.Start)
}

// sameFlow reports whether the headers of d and e are the same but for lengths, checksums and IPv4's identification.
func (d datagram) sameFlow(e datagram) bool {
	if d.l3 != e.l3 || d.version != e.version || d.payload != e.payload {
		return false
	}
	a, b := d.p[HeaderLen:], e.p[HeaderLen:]
	ports := d.payload - HeaderLen - udpLen
	if !bytes.Equal(a[ports:ports+4], b[ports:ports+4]) {
		return false
	}
	if d.version == 4 {
		return bytes.Equal(a[:d.l3+2], b[:d.l3+2]) && bytes.Equal(a[d.l3+6:d.l3+10], b[d.l3+6:d.l3+10]) &&
			bytes.Equal(a[d.l3+12:d.l3+ipv4Len], b[d.l3+12:d.l3+ipv4Len])
	}
	return bytes.Equal(a[:d.l3+4], b[:d.l3+4]) && bytes.Equal(a[d.l3+6:d.l3+ipv6Len], b[d.l3+6:d.l3+ipv6Len])
}
