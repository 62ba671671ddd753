package wire

import (
	"errors"
	"fmt"
)

// Sizes in bytes (docs/protocol.md, "Datagrams").
const (
	HeaderLen = 16                 // header of a sealed message
	TagLen    = 16                 // AEAD tag of AES-256-GCM and of ChaCha20-Poly1305
	Overhead  = HeaderLen + TagLen // what sealing adds to a payload

	// MaxDatagram is the largest UDP payload that is sent without knowledge of the path: the IPv6 minimum MTU of 1280
	// (RFC 8200, section 5) less an IPv6 header of 40 and a UDP header of 8. Probes and pieces of frames alone may be longer.
	MaxDatagram = 1280 - 40 - 8
	MaxPayload  = MaxDatagram - Overhead // plaintext of the largest such sealed message
)

// MaxLanes is how many lanes a path may have (docs/protocol.md, "Lanes").
const MaxLanes = 4

// Type is the first byte of a datagram.
type Type uint8

// The types of datagram. Types 4 to 13 are sealed messages.
const (
	TypeHandshake1 Type = 1 // initiator's first message
	TypeHandshake2 Type = 2 // responder's answer
	TypeHandshake3 Type = 3 // initiator's second message
	TypeFrame      Type = 4 // a piece of an Ethernet frame
	TypeKeepalive  Type = 5 // empty payload
	TypeGossip     Type = 6 // one membership packet
	TypeStream     Type = 7 // one QUIC packet
	TypeClose      Type = 8 // one byte: CloseReason
	TypeProbe      Type = 9 // a path MTU probe, padded to its size
	TypeProbeAck   Type = 10
	TypeRelay      Type = 11 // a datagram for another peer of the receiver
	TypeRelayed    Type = 12 // a datagram of another peer of the sender
	TypePunch      Type = 13 // empty payload: the sender tries to reach the receiver directly now
)

// Sealed reports whether t is the type of a sealed message.
func (t Type) Sealed() bool { return t >= TypeFrame && t <= TypePunch }

// String returns the name of t in docs/protocol.md, or "type N".
func (t Type) String() string {
	switch t {
	case TypeHandshake1:
		return "handshake1"
	case TypeHandshake2:
		return "handshake2"
	case TypeHandshake3:
		return "handshake3"
	case TypeFrame:
		return "frame"
	case TypeKeepalive:
		return "keepalive"
	case TypeGossip:
		return "gossip"
	case TypeStream:
		return "stream"
	case TypeClose:
		return "close"
	case TypeProbe:
		return "probe"
	case TypeProbeAck:
		return "probe ack"
	case TypeRelay:
		return "relay"
	case TypeRelayed:
		return "relayed"
	case TypePunch:
		return "punch"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// The errors of the parsers. A receiver drops the datagram and counts the reason.
var (
	ErrShort    = errors.New("datagram too short")
	ErrType     = errors.New("unexpected message type")
	ErrReserved = errors.New("reserved bits set")
	ErrVersion  = errors.New("unknown protocol version")
	ErrCipher   = errors.New("unknown cipher")
	ErrSize     = errors.New("impossible size of a probe")
)

// ErrTooLong is wrapped by the error of whoever sends a probe that is longer than the MTU of this host's own network device. (What
// is too long for a device further on is lost.)
var ErrTooLong = errors.New("longer than the device's MTU")

// Datagram is one UDP payload and the endpoint that it goes to or came from.
type Datagram struct {
	Buf      []byte
	Endpoint Endpoint
	Lane     uint8 // by which it is sent; that of a datagram that came is in its Header
}
