package wire

import (
	"encoding/binary"
	"fmt"
)

const (
	flagMore    = 1 << 0 // more pieces of the same frame follow
	flagOffload = 1 << 1 // the frame is preceded by an offload header
	flags       = flagMore | flagOffload
)

// LaneOffset is where in a sealed message the lane stands: the kernel hands what comes to the socket of its lane by it.
const LaneOffset = 3

// Header is the header of a sealed message; its 16 bytes are the additional data of the AEAD.
//
//	0      type
//	1      piece index                 (Frame only, else 0)
//	2      flags: bit 0 = more pieces, bit 1 = offload header (Frame only, else 0)
//	3      lane                        (Frame and Probe only, else 0)
//	4..7   receiver index
//	8..15  counter
//
// The pieces of one frame have consecutive counters, so Counter - Piece names the frame.
type Header struct {
	Type     Type
	Piece    uint8  // position of this piece in its frame, from 0
	More     bool   // this is not the frame's last piece
	Offload  bool   // the frame's pieces begin with an offload header
	Lane     uint8  // what it was sent by; below MaxLanes
	Receiver uint32 // the receiver's name for the keypair
	Counter  uint64 // position in the keypair's stream of messages: the nonce
}

// Append appends the HeaderLen bytes of h to dst.
func (h Header) Append(dst []byte) []byte {
	var b [HeaderLen]byte
	PutHeader(b[:], h)
	return append(dst, b[:]...)
}

// PutHeader writes h into the first HeaderLen bytes of dst, which must be there.
func PutHeader(dst []byte, h Header) {
	_ = dst[HeaderLen-1]
	dst[0] = byte(h.Type)
	dst[1] = h.Piece
	dst[2] = 0
	if h.More {
		dst[2] |= flagMore
	}
	if h.Offload {
		dst[2] |= flagOffload
	}
	dst[LaneOffset] = h.Lane
	binary.BigEndian.PutUint32(dst[4:], h.Receiver)
	binary.BigEndian.PutUint64(dst[8:], h.Counter)
}

// ParseHeader reads the header of a sealed message from the start of datagram b, which must have room for a tag too.
// Nothing in the result is authentic until the message has been opened. The error is ErrShort, ErrType or ErrReserved.
func ParseHeader(b []byte) (Header, error) {
	// Shortest sealed message: header, empty ciphertext, tag.
	if len(b) < Overhead {
		return Header{}, ErrShort
	}
	// Type (1).
	t := Type(b[0])
	if !t.Sealed() {
		return Header{}, ErrType
	}
	// Piece (1), Flags (1): only in pieces of frames.
	if b[2]&^flags != 0 || t != TypeFrame && (b[1] != 0 || b[2] != 0) {
		return Header{}, ErrReserved
	}
	// Lane (1): the other types go by the first.
	lane := b[LaneOffset]
	if lane >= MaxLanes || lane != 0 && t != TypeFrame && t != TypeProbe {
		return Header{}, ErrReserved
	}
	return Header{
		Type:    t,
		Piece:   b[1],
		More:    b[2]&flagMore != 0,
		Offload: b[2]&flagOffload != 0,
		Lane:    lane,
		// Receiver (4).
		Receiver: binary.BigEndian.Uint32(b[4:]),
		// Counter (8).
		Counter: binary.BigEndian.Uint64(b[8:]),
	}, nil
}

// CloseReason is the payload of a Close message: why the sender ends the session.
type CloseReason uint8

// The reasons of a Close message (docs/protocol.md, "Close").
const (
	CloseLeaving   CloseReason = 1 // the sender leaves the network or stops
	CloseDuplicate CloseReason = 2 // a later-started instance of the receiver's identity is a member
	CloseRemoved   CloseReason = 3 // reserved: the receiver has been removed from the network
)

// String returns the reason in words.
func (r CloseReason) String() string {
	switch r {
	case CloseLeaving:
		return "leaving"
	case CloseDuplicate:
		return "duplicate identity"
	case CloseRemoved:
		return "removed"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Append appends the payload of a Close message with this reason to dst.
func (r CloseReason) Append(dst []byte) []byte { return append(dst, byte(r)) }

// ParseClose reads the payload of a Close message. Unknown reasons are returned as they are. The error is ErrShort.
func ParseClose(payload []byte) (CloseReason, error) {
	if len(payload) < 1 {
		return 0, ErrShort
	}
	return CloseReason(payload[0]), nil
}
