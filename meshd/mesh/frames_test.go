package mesh

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Stations of the tests.
var (
	macA      = MAC{0x02, 0, 0, 0, 0, 0x0a}
	macB      = MAC{0x02, 0, 0, 0, 0, 0x0b}
	macC      = MAC{0x02, 0, 0, 0, 0, 0x0c}
	broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

	gatewayMAC = MAC{0x02, 0x6d, 0x65, 0x73, 0x68, 0x01}
	gateway4   = netip.MustParseAddr("10.77.0.1")
	gateway6   = netip.MustParseAddr("fe80::1")
	gatewayULA = netip.MustParseAddr("fd00:77::1")

	host4 = netip.MustParseAddr("10.77.0.9")
	host6 = netip.MustParseAddr("fd00:77::9")
	link6 = netip.MustParseAddr("fe80::9")
)

// testBoundary has a gateway of both families.
var testBoundary = Boundary{GatewayMAC: gatewayMAC, Gateways: []netip.Addr{gateway4, gateway6, gatewayULA}}

// eth returns an Ethernet frame.
func eth(dst, src MAC, etherType uint16, payload ...[]byte) []byte {
	b := slices.Concat(dst[:], src[:], be16(etherType))
	return append(b, slices.Concat(payload...)...)
}

// tagged returns frame with a VLAN tag.
func tagged(tpid uint16, frame []byte) []byte {
	return slices.Concat(frame[:12], be16(tpid), be16(5), frame[12:])
}

// ipv4 returns an IPv4 packet with options of the given length and a fragment field (flags and offset).
func ipv4(protocol byte, options int, fragment uint16, payload []byte) []byte {
	b := make([]byte, 20+options)
	b[0] = 0x40 | byte(len(b)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	b[8], b[9] = 64, protocol
	return append(b, payload...)
}

// udp returns a UDP header and eight bytes.
func udp(src, dst uint16) []byte { return slices.Concat(be16(src), be16(dst), make([]byte, 12)) }

// ipv6 returns an IPv6 packet.
func ipv6(src, dst netip.Addr, next byte, payload ...[]byte) []byte {
	p := slices.Concat(payload...)
	b := make([]byte, 8, 40+len(p))
	b[0], b[6], b[7] = 0x60, next, 255
	binary.BigEndian.PutUint16(b[4:], uint16(len(p)))
	return slices.Concat(b, src.AsSlice(), dst.AsSlice(), p)
}

// extension returns an extension header of 8*(1+more) bytes.
func extension(next byte, more int) []byte {
	b := make([]byte, 8*(1+more))
	b[0], b[1] = next, byte(more)
	return b
}

// authentication returns an authentication header with an ICV of 12 bytes.
func authentication(next byte) []byte {
	b := make([]byte, 24)
	b[0], b[1] = next, 24/4-2
	return b
}

// fragment returns a fragment header; offset is in units of eight bytes.
func fragment(next byte, offset uint16, more bool) []byte {
	b := make([]byte, 8)
	b[0] = next
	binary.BigEndian.PutUint16(b[2:], offset<<3)
	if more {
		b[3] |= 1
	}
	return b
}

// icmp6 returns an ICMPv6 message with room for a target.
func icmp6(messageType byte, target netip.Addr) []byte {
	b := make([]byte, 8, 24)
	b[0] = messageType
	return append(b, target.AsSlice()...)
}

// arp returns an ARP request or reply.
func arp(sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	return slices.Concat(b, macA[:], sender.AsSlice(), make([]byte, 6), target.AsSlice())
}

// plain returns a frame of length bytes that the boundary has nothing to say about. Its bytes depend on seed.
func plain(dst, src MAC, length int, seed byte) []byte {
	b := eth(dst, src, 0x88b5) // IEEE 802 local experimental
	for i := len(b); i < length; i++ {
		b = append(b, seed+byte(i*7))
	}
	return b
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
