package wire

import (
	"encoding/binary"
	"net/netip"
)

// Version is the protocol version in Payload1.
const Version = 1

// Capabilities are the bits that an initiator says about itself. Unknown bits are ignored.
type Capabilities uint8

// CapAES says that AES-256-GCM is fast on this host: its CPU has AES instructions.
const CapAES Capabilities = 1 << 0

// Cipher names the AEAD of the transport keys.
type Cipher uint8

// The ciphers that a responder can choose.
const (
	AES256GCM        Cipher = 1
	ChaCha20Poly1305 Cipher = 2
)

// String returns the cipher's name as its RFC spells it.
func (c Cipher) String() string {
	switch c {
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return "unknown cipher"
}

// Payload1 is the Noise payload of Handshake1.
//
//	0      version = 1
//	1      capabilities
//	2..5   sender index
//	6..13  timestamp
type Payload1 struct {
	Capabilities Capabilities
	Sender       uint32 // the index that the initiator wants to be addressed by
	Timestamp    int64  // initiator's clock: nanoseconds since 1970-01-01 UTC
}

// Append appends the Payload1Len bytes of p to dst.
func (p Payload1) Append(dst []byte) []byte {
	dst = append(dst, Version, byte(p.Capabilities))
	dst = binary.BigEndian.AppendUint32(dst, p.Sender)
	return binary.BigEndian.AppendUint64(dst, uint64(p.Timestamp))
}

// ParsePayload1 reads the payload of Handshake1; longer input is accepted. The error is ErrShort or ErrVersion.
func ParsePayload1(b []byte) (Payload1, error) {
	if len(b) < Payload1Len {
		return Payload1{}, ErrShort
	}
	// Version (1).
	if b[0] != Version {
		return Payload1{}, ErrVersion
	}
	return Payload1{
		// Capabilities (1).
		Capabilities: Capabilities(b[1]),
		// Sender Index (4).
		Sender: binary.BigEndian.Uint32(b[2:]),
		// Timestamp (8).
		Timestamp: int64(binary.BigEndian.Uint64(b[6:])),
	}, nil
}

// Payload2 is the Noise payload of Handshake2.
//
//	0       cipher
//	1..4    sender index
//	5..12   instance
//	13..30  observed endpoint
type Payload2 struct {
	Cipher   Cipher
	Sender   uint32         // the index that the responder wants to be addressed by
	Instance uint64         // start of the responder's meshd: grows with each start
	Observed netip.AddrPort // where the responder saw Handshake1 come from; zero if unknown
}

// Append appends the Payload2Len bytes of p to dst.
func (p Payload2) Append(dst []byte) []byte {
	dst = append(dst, byte(p.Cipher))
	dst = binary.BigEndian.AppendUint32(dst, p.Sender)
	dst = binary.BigEndian.AppendUint64(dst, p.Instance)
	return appendEndpoint(dst, p.Observed)
}

// ParsePayload2 reads the payload of Handshake2; longer input is accepted. The error is ErrShort or ErrCipher.
func ParsePayload2(b []byte) (Payload2, error) {
	if len(b) < Payload2Len {
		return Payload2{}, ErrShort
	}
	// Cipher (1).
	c := Cipher(b[0])
	if c != AES256GCM && c != ChaCha20Poly1305 {
		return Payload2{}, ErrCipher
	}
	return Payload2{
		Cipher: c,
		// Sender Index (4).
		Sender: binary.BigEndian.Uint32(b[1:]),
		// Instance (8).
		Instance: binary.BigEndian.Uint64(b[5:]),
		// Observed Endpoint (18).
		Observed: parseEndpoint(b[13:]),
	}, nil
}

// Payload3 is the Noise payload of Handshake3.
//
//	0..7   instance
//	8..25  observed endpoint
type Payload3 struct {
	Instance uint64         // start of the initiator's meshd: grows with each start
	Observed netip.AddrPort // where the initiator saw Handshake2 come from; zero if unknown
}

// Append appends the Payload3Len bytes of p to dst.
func (p Payload3) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.Instance)
	return appendEndpoint(dst, p.Observed)
}

// ParsePayload3 reads the payload of Handshake3; longer input is accepted. The error is ErrShort.
func ParsePayload3(b []byte) (Payload3, error) {
	if len(b) < Payload3Len {
		return Payload3{}, ErrShort
	}
	return Payload3{
		// Instance (8).
		Instance: binary.BigEndian.Uint64(b),
		// Observed Endpoint (18).
		Observed: parseEndpoint(b[8:]),
	}, nil
}

const endpointLen = 16 + 2

// appendEndpoint appends a 16-byte IP address, IPv4 as IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2), and a port. The
// zero AddrPort is 18 zero bytes. A zone is not sent: it means nothing on another host.
func appendEndpoint(dst []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(dst, make([]byte, endpointLen)...)
	}
	ip := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(dst, ip[:]...), a.Port())
}

// parseEndpoint undoes appendEndpoint. An unspecified address or port 0 is "unknown": the zero AddrPort.
func parseEndpoint(b []byte) netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(b[:16])).Unmap()
	port := binary.BigEndian.Uint16(b[16:])
	if ip.IsUnspecified() || port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, port)
}
