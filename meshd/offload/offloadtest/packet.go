// Package offloadtest makes packets for the tests of what carries them.
package offloadtest

import (
	"encoding/binary"
	"math/rand/v2"

	"meshnet/meshd/offload"
)

// Packet says which packet to make.
type Packet struct {
	Dst, Src [6]byte
	Kind     offload.Kind
	Tags     int // VLAN tags
	Options  int // bytes of TCP options or, with UDP over IPv6, of a hop-by-hop header; multiples of 8
	IPv6     bool
	Payload  int // bytes
	Size     int // bytes of a segment's payload
	Seed     uint64
}

// Make returns the packet as a kernel hands it over, with partial checksum. With room for offload.TailLen bytes behind.
func (c Packet) Make() []byte {
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	f := append(append([]byte{}, c.Dst[:]...), c.Src[:]...)
	for range c.Tags {
		f = append(f, 0x81, 0, 0, 5)
	}
	udp := c.Kind == offload.UDP
	protocol, l4 := byte(6), 20+c.Options
	if udp {
		protocol, l4 = 17, 8
	}
	hop := 0
	if udp && c.IPv6 {
		hop = c.Options
	}
	l3 := len(f) + 2
	if c.IPv6 {
		f = append(f, 0x86, 0xdd)
		ip := make([]byte, 40+hop)
		ip[0], ip[6], ip[7] = 0x60, protocol, 64
		if hop > 0 {
			ip[6], ip[40], ip[41] = 0, protocol, byte(hop/8-1)
		}
		binary.BigEndian.PutUint16(ip[4:], uint16(hop+l4+c.Payload))
		for i := 8; i < 40; i++ {
			ip[i] = byte(rng.Uint32())
		}
		f = append(f, ip...)
	} else {
		f = append(f, 0x08, 0x00)
		ip := make([]byte, 20)
		ip[0], ip[8], ip[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(ip[2:], uint16(20+l4+c.Payload))
		binary.BigEndian.PutUint16(ip[4:], uint16(rng.Uint32()))
		ip[6] = 0x40 // DF
		binary.BigEndian.PutUint32(ip[12:], rng.Uint32())
		binary.BigEndian.PutUint32(ip[16:], rng.Uint32())
		binary.BigEndian.PutUint16(ip[10:], ^Sum(ip))
		f = append(f, ip...)
	}
	start := len(f)
	header := make([]byte, l4)
	binary.BigEndian.PutUint16(header[0:], 40000)
	binary.BigEndian.PutUint16(header[2:], 5201)
	offset := 16
	if udp {
		binary.BigEndian.PutUint16(header[4:], uint16(l4+c.Payload))
		offset = 6
	} else {
		binary.BigEndian.PutUint32(header[4:], rng.Uint32())
		header[12], header[13] = byte(l4/4)<<4, 0x98 // CWR, ACK, PSH
	}
	f = append(f, header...)
	for range c.Payload {
		f = append(f, byte(rng.Uint32()))
	}
	binary.BigEndian.PutUint16(f[start+offset:], Pseudo(f[l3:], protocol, len(f)-start))
	h := offload.Header{Flags: offload.NeedsChecksum, Kind: c.Kind, Start: uint16(start), Offset: uint16(offset)}
	if c.Kind != offload.None {
		h.HeadersLen, h.Size = uint16(start+l4), uint16(c.Size)
	}
	p := make([]byte, offload.HeaderLen, offload.HeaderLen+len(f)+offload.TailLen)
	h.Put(p)
	return append(p, f...)
}

// Pseudo returns the sum of the pseudo header of IP packet p.
func Pseudo(p []byte, protocol byte, length int) uint16 {
	addrs := p[12:20]
	if p[0]>>4 == 6 {
		addrs = p[8:40]
	}
	return Sum(append([]byte{0, protocol, byte(length >> 8), byte(length)}, addrs...))
}

// Sum is RFC 1071's sum, as the RFC writes it.
func Sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
