package wire

import "encoding/binary"

// Lengths in bytes of what precedes the Noise message in a handshake datagram, and of the Noise payloads
// (docs/protocol.md, "Handshake messages").
const (
	Handshake1HeaderLen = 4
	Handshake2HeaderLen = 8
	Handshake3HeaderLen = 8

	Payload1Len = 1 + 1 + 4 + 8
	Payload2Len = 1 + 4 + 8 + endpointLen
	Payload3Len = 8 + endpointLen

	// The Noise messages of XXpsk0 with the payloads of this version: e (32), s (32 + tag), payload (+ tag).
	Noise1Len = 32 + Payload1Len + TagLen
	Noise2Len = 32 + 32 + TagLen + Payload2Len + TagLen
	Noise3Len = 32 + TagLen + Payload3Len + TagLen
)

// HandshakeHeader is what is in clear before the Noise message of a handshake datagram.
//
//	0      type
//	1..3   0
//	4..7   receiver index   (Handshake2 and Handshake3 only)
type HandshakeHeader struct {
	Type     Type   // Handshake1, Handshake2 or Handshake3
	Receiver uint32 // index that the receiver of this message chose for the handshake; 0 in Handshake1
}

// Append appends the header to dst: 4 bytes for Handshake1, else 8. The Noise message follows it.
func (h HandshakeHeader) Append(dst []byte) []byte {
	dst = append(dst, byte(h.Type), 0, 0, 0)
	if h.Type == TypeHandshake1 {
		return dst
	}
	return binary.BigEndian.AppendUint32(dst, h.Receiver)
}

// ParseHandshake splits handshake datagram b into its header and its Noise message, which is part of b and at least as
// long as this version's. The error is ErrShort, ErrType or ErrReserved.
func ParseHandshake(b []byte) (HandshakeHeader, []byte, error) {
	if len(b) < Handshake1HeaderLen {
		return HandshakeHeader{}, nil, ErrShort
	}
	// Type (1).
	h := HandshakeHeader{Type: Type(b[0])}
	var headerLen, noiseLen int
	switch h.Type {
	case TypeHandshake1:
		headerLen, noiseLen = Handshake1HeaderLen, Noise1Len
	case TypeHandshake2:
		headerLen, noiseLen = Handshake2HeaderLen, Noise2Len
	case TypeHandshake3:
		headerLen, noiseLen = Handshake3HeaderLen, Noise3Len
	default:
		return HandshakeHeader{}, nil, ErrType
	}
	// Reserved (3).
	if b[1] != 0 || b[2] != 0 || b[3] != 0 {
		return HandshakeHeader{}, nil, ErrReserved
	}
	if len(b) < headerLen+noiseLen {
		return HandshakeHeader{}, nil, ErrShort
	}
	// Receiver (4).
	if h.Type != TypeHandshake1 {
		h.Receiver = binary.BigEndian.Uint32(b[4:])
	}
	return h, b[headerLen:], nil
}

// Receiver reads the receiver index of datagram b, a sealed message or a Handshake2 or 3, and says which it is. It is
// all that a demultiplexer needs and checks nothing else: the parser of the message still has to. A Handshake1 names no
// receiver: ErrType. The other error is ErrShort.
func Receiver(b []byte) (index uint32, handshake bool, err error) {
	if len(b) < Handshake2HeaderLen {
		return 0, false, ErrShort
	}
	// Type (1).
	t := Type(b[0])
	handshake = t == TypeHandshake2 || t == TypeHandshake3
	if !handshake && !t.Sealed() {
		return 0, false, ErrType
	}
	// Receiver Index (4).
	return binary.BigEndian.Uint32(b[4:]), handshake, nil
}
