package mesh

import (
	"encoding/binary"
	"slices"
)

// IPv6 extension headers (IANA, "IPv6 Extension Header Types", as of RFC 7045). ESP is one too, but nothing can be
// read behind it.
const (
	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerAuth        = 51
	headerDestination = 60
	headerMobility    = 135
	headerHIP         = 139
	headerShim6       = 140
)

// ICMPv6 types (RFC 4861, section 4; RFC 3971, section 6.4.1).
const (
	icmp6RouterSolicitation    = 133
	icmp6RouterAdvertisement   = 134
	icmp6NeighborSolicitation  = 135
	icmp6NeighborAdvertisement = 136
	icmp6Redirect              = 137
	icmp6CertPathSolicitation  = 148
)

// judgeIPv6 judges an IPv6 packet (RFC 8200, section 3).
func (b *boundary) judgeIPv6(p []byte) drop {
	const headerLen = 40
	if len(p) < headerLen || p[0]>>4 != 6 {
		return dropMalformed
	}
	// Next Header (1), Hop Limit (1), Source Address (16), Destination Address (16).
	src, dst := [16]byte(p[8:24]), [16]byte(p[24:40])
	c, ok := skipExtensions(p[6], p[headerLen:])
	switch {
	case !ok:
		return dropMalformed
	case c.later:
		return passes // nothing without its first fragment
	case c.upper == protocolUDP:
		return judgeUDP(c.payload, portDHCPv6Client, portDHCPv6Server, dropDHCPv6)
	case c.upper == protocolICMPv6:
		return b.judgeICMPv6(src, dst, c)
	}
	return passes
}

// chain is what the header chain of an IPv6 packet leads to.
type chain struct {
	upper    byte   // protocol of the upper-layer header, or of what cannot be read
	payload  []byte // from the upper-layer header on; it may be cut short
	extended bool   // an extension header was passed
	fragment bool   // a fragment header was passed
	later    bool   // and this is not the first fragment: upper and payload are not the header's
}

// skipExtensions follows the header chain from the header of type next at the start of p. It is not ok if the chain
// does not end within p: a first fragment must contain the entire chain (RFC 7112, section 5) and is dropped by guards
// if it does not (RFC 7113, section 3); anything else that is cut short has no receiver.
func skipExtensions(next byte, p []byte) (c chain, ok bool) {
	for {
		var length int
		switch next {
		case headerHopByHop, headerRouting, headerDestination, headerMobility, headerHIP, headerShim6:
			// Next Header (1), Hdr Ext Len (1, in units of 8 bytes, not counting the first).
			if len(p) < 2 {
				return c, false
			}
			length = (int(p[1]) + 1) * 8
		case headerAuth:
			// Next Header (1), Payload Len (1, in units of 4 bytes, less 2): RFC 4302, section 2.2.
			if len(p) < 2 {
				return c, false
			}
			length = (int(p[1]) + 2) * 4
		case headerFragment:
			// Next Header (1), Reserved (1), Fragment Offset (13 bits), Res (2 bits), M (1 bit), Identification (4).
			length = 8
			if len(p) < length {
				return c, false
			}
			c.fragment = true
			c.later = binary.BigEndian.Uint16(p[2:])>>3 != 0
		default:
			c.upper, c.payload = next, p
			return c, true
		}
		if len(p) < length {
			return c, false
		}
		c.extended = true
		next, p = p[0], p[length:]
		if c.later {
			c.upper, c.payload = next, p
			return c, true
		}
	}
}

// judgeICMPv6 judges an ICMPv6 message (RFC 4443, section 2.1; RFC 4861, section 4).
func (b *boundary) judgeICMPv6(src, dst [16]byte, c chain) drop {
	// Type (1).
	if len(c.payload) < 1 {
		return dropMalformed
	}
	t := c.payload[0]
	isND := t >= icmp6RouterSolicitation && t <= icmp6Redirect
	switch {
	case c.fragment && (isND || t == icmp6CertPathSolicitation):
		// Receivers must ignore these in fragments (RFC 6980, section 5), so only an attacker sends them.
		return dropNDFragment
	case t == icmp6RouterSolicitation:
		return dropRouterSolicitation
	case t == icmp6RouterAdvertisement:
		return dropRouterAdvertisement
	case t == icmp6Redirect:
		return dropRedirect
	case c.extended && isND:
		return dropNDExtension
	case t == icmp6NeighborSolicitation, t == icmp6NeighborAdvertisement:
		return b.judgeNeighbor(src, dst, c.payload)
	}
	return passes
}

// judgeNeighbor judges a neighbor solicitation or advertisement (RFC 4861, sections 4.3 and 4.4).
func (b *boundary) judgeNeighbor(src, dst [16]byte, message []byte) drop {
	// Type (1), Code (1), Checksum (2), Reserved (4), Target Address (16).
	if len(message) < 24 {
		return dropMalformed
	}
	target := [16]byte(message[8:24])
	if slices.Contains(b.v6, target) || slices.Contains(b.v6, src) || slices.Contains(b.v6, dst) {
		return dropGatewayND
	}
	return passes
}
