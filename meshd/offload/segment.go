package offload

import (
	"encoding/binary"
	"math/bits"
)

// Segments returns into how many segments the frame of packet p, which Check has passed, is cut.
func Segments(p []byte) int {
	h := Parse(p)
	if h.Kind == None {
		return 1
	}
	payload := len(p) - HeaderLen - int(h.HeadersLen)
	return (payload + int(h.Size) - 1) / int(h.Size)
}

// Span returns where in packet p the payload of segments first to first+n-1 lies.
func (h Header) Span(first, n, length int) (from, to int) {
	from = HeaderLen + int(h.HeadersLen) + first*int(h.Size)
	return from, min(from+n*int(h.Size), length)
}

// Slice writes to dst the packet of n segments of packet p, which Check has passed, from segment first on, and returns it: the
// headers of p, made to fit, and the segments' payload. Of p it reads only the headers and that payload. dst has room for it.
func Slice(dst, p []byte, first, n int) []byte {
	h := Parse(p)
	last := first+n == Segments(p)
	from, to := h.Span(first, n, len(p))
	dst = append(dst[:0], p[:HeaderLen+int(h.HeadersLen)]...)
	dst = append(dst, p[from:to]...)
	f := dst[HeaderLen:]
	l3, version, _ := network(f)
	setLength(f[l3:], version, first)
	upper := f[h.Start:]
	if h.Kind == UDP {
		binary.BigEndian.PutUint16(upper[4:], uint16(len(upper)))
	} else {
		binary.BigEndian.PutUint32(upper[4:], binary.BigEndian.Uint32(upper[4:])+uint32(first)*uint32(h.Size))
		upper[13] = flagsOf(upper[13], first == 0, last)
	}
	binary.BigEndian.PutUint16(upper[h.Offset:], pseudo(f[l3:], version, len(upper), h.Kind))
	if first > 0 {
		h.Kind &^= ecn
	}
	if n == 1 {
		h.Kind, h.Size, h.HeadersLen = None, 0, 0
	}
	h.Put(dst)
	return dst
}

// TCP flags of which only some segments have them (RFC 9293, section 3.1; RFC 3168, section 6.1.2).
const (
	flagFIN = 1 << 0
	flagPSH = 1 << 3
	flagCWR = 1 << 7
)

// flagsOf returns the TCP flags of a part of a frame that has these.
func flagsOf(flags byte, first, last bool) byte {
	if !first {
		flags &^= flagCWR
	}
	if !last {
		flags &^= flagFIN | flagPSH
	}
	return flags
}

// setLength makes the IP header of packet p say how long p is, and with IPv4 counts on its identification by skip.
func setLength(p []byte, version, skip int) {
	if version == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6Len))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(skip))
	binary.BigEndian.PutUint16(p[10:], 0)
	header := p[:int(p[0]&0x0f)*4]
	binary.BigEndian.PutUint16(p[10:], ^sum(header, 0))
}

// pseudo returns the checksum of the pseudo header of IP packet p with length bytes of upper layer (RFC 9293, section 3.1;
// RFC 8200, section 8.1), not inverted: what a partial checksum holds. With a routing header the final destination would count; a
// kernel that has segments to make does not send one.
func pseudo(p []byte, version, length int, kind Kind) uint16 {
	protocol := uint64(protocolTCP)
	if kind == UDP {
		protocol = protocolUDP
	}
	start := protocol + uint64(length)
	if version == 4 {
		return sum(p[12:20], start)
	}
	return sum(p[8:40], start)
}

// Complete computes the checksum of packet p, which Check has passed and which is not to be cut, if that is to be done.
func Complete(p []byte) {
	h := Parse(p)
	if h.Flags&NeedsChecksum == 0 {
		return
	}
	f := p[HeaderLen:]
	at := f[int(h.Start)+int(h.Offset):]
	// The place of the checksum holds the pseudo header's, which is to be added: so it is summed like the rest.
	c := ^sum(f[h.Start:], 0)
	if c == 0 && h.Offset == udpChecksum {
		c = 0xffff // RFC 768: zero would say that there is none
	}
	binary.BigEndian.PutUint16(at, c)
	Header{}.Put(p)
}

// Segment calls emit with each plain packet that packet p, which Check has passed, is cut into; the packet is not to be kept. They are
// made in buf, which is as long as the longest of them (MaxPacket is always enough), or made longer.
func Segment(buf, p []byte, emit func(plain []byte)) {
	if Segmented(p) {
		for i := range Segments(p) {
			buf = Slice(buf, p, i, 1)
			Complete(buf)
			emit(buf)
		}
		return
	}
	Complete(p)
	emit(p)
}

// sum returns the ones' complement sum of b (RFC 1071) and start.
func sum(b []byte, start uint64) uint16 {
	s, carry := start, uint64(0)
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var tail [8]byte
	copy(tail[:], b)
	s, carry = bits.Add64(s, binary.BigEndian.Uint64(tail[:]), carry)
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
