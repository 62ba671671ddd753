package offload

import (
	"encoding/binary"
	"errors"
)

// Lengths in bytes.
const (
	HeaderLen = 10 // of a Header

	// MaxHeaders is the longest HeadersLen: Ethernet with two tags, IPv6 with options, and TCP need no more.
	MaxHeaders = 240
	// TailLen is room for a Header and the headers of a frame.
	TailLen = HeaderLen + MaxHeaders
	// MaxPacket is the longest packet: a Header, Ethernet with two tags, and an IP packet of 64 KB.
	MaxPacket = HeaderLen + ethernetLen + maxTags*tagLen + 65536
)

// Flags of a Header (include/uapi/linux/virtio_net.h).
const (
	NeedsChecksum = 1 << 0 // the checksum at Start+Offset covers the pseudo header only: the bytes from Start on are to be added
	dataValid     = 1 << 1 // the sender's kernel has verified the checksum
)

// Kind is how a frame is to be cut into segments: gso_type.
type Kind uint8

// The kinds of segments (include/uapi/linux/virtio_net.h).
const (
	None  Kind = 0 // the frame is one
	TCPv4 Kind = 1
	TCPv6 Kind = 4
	UDP   Kind = 5 // UDP_L4: of one flow, not fragments

	ecn Kind = 0x80 // with TCP: the first segment has CWR set, no other may
)

// Header says what is still to be done to the frame behind it. Its bytes are those of struct virtio_net_hdr, little-endian:
//
//	0     flags
//	1     kind of segments
//	2..3  length of the headers that each segment gets
//	4..5  bytes of payload in a segment
//	6..7  where the checksum begins
//	8..9  where it is stored, from there
type Header struct {
	Flags      uint8
	Kind       Kind
	HeadersLen uint16 // bytes, of the frame: Ethernet, IP, and TCP or UDP
	Size       uint16 // bytes of payload in each segment but the last; 0 if Kind is None
	Start      uint16 // byte of the frame
	Offset     uint16 // bytes
}

// Parse reads the header at the start of packet p, which must be there.
func Parse(p []byte) Header {
	_ = p[HeaderLen-1]
	return Header{
		Flags:      p[0],
		Kind:       Kind(p[1]),
		HeadersLen: binary.LittleEndian.Uint16(p[2:]),
		Size:       binary.LittleEndian.Uint16(p[4:]),
		Start:      binary.LittleEndian.Uint16(p[6:]),
		Offset:     binary.LittleEndian.Uint16(p[8:]),
	}
}

// Put writes h into the first HeaderLen bytes of p.
func (h Header) Put(p []byte) {
	_ = p[HeaderLen-1]
	p[0], p[1] = h.Flags, byte(h.Kind)
	binary.LittleEndian.PutUint16(p[2:], h.HeadersLen)
	binary.LittleEndian.PutUint16(p[4:], h.Size)
	binary.LittleEndian.PutUint16(p[6:], h.Start)
	binary.LittleEndian.PutUint16(p[8:], h.Offset)
}

// Plain reports whether the header of packet p says nothing.
func Plain(p []byte) bool {
	return binary.NativeEndian.Uint64(p) == 0 && binary.NativeEndian.Uint16(p[8:]) == 0
}

// Segmented reports whether the frame of packet p is to be cut.
func Segmented(p []byte) bool { return p[1] != 0 }

// The errors of Check. They are bare: the frame path counts them.
var (
	ErrFlags    = errors.New("offload header with unknown flags or kind")
	ErrChecksum = errors.New("offload header with a checksum outside the frame")
	ErrHeaders  = errors.New("offload header that contradicts the headers of the frame")
	ErrSize     = errors.New("offload header with segments that are too small, too large or too many")
)
