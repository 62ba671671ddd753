package mesh

import "encoding/binary"

// Sizes in bytes of Ethernet framing (IEEE 802.3, without FCS, as a TAP delivers it).
const (
	ethernetHeaderLen = 14 // destination (6), source (6), type (2)
	tagLen            = 4  // one VLAN tag: TPID (2), TCI (2)

	// frameOverhead is how much longer than the MTU a frame can be: the MTU counts neither the header nor one tag.
	frameOverhead = ethernetHeaderLen + tagLen

	// maxTags is how many VLAN tags the boundary looks through: a service tag and a customer tag (IEEE 802.1ad).
	maxTags = 2
)

// EtherTypes (IANA, "IEEE 802 Numbers").
const (
	etherTypeMin  = 0x0600 // below: an IEEE 802.3 length, followed by LLC
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeVLAN = 0x8100 // IEEE 802.1Q
	etherTypeIPv6 = 0x86dd
	etherTypeQinQ = 0x88a8 // IEEE 802.1ad
	etherTypeLLDP = 0x88cc
)

// frame is an Ethernet frame, its tags looked through. payload is part of the frame's buffer.
type frame struct {
	dst, src  MAC
	etherType uint16 // of the payload: what follows the tags
	payload   []byte
}

// parseFrame reads the headers of b, which may be at most maxLen bytes long. The drop is passes if f is valid.
func parseFrame(b []byte, maxLen int) (f frame, why drop) {
	if len(b) < ethernetHeaderLen {
		return frame{}, dropShort
	}
	if len(b) > maxLen {
		return frame{}, dropLong
	}
	// Destination (6), Source (6).
	f.dst, f.src = MAC(b[0:6]), MAC(b[6:12])
	if !f.src.station() {
		// Linux's bridge drops these, too (br_handle_frame in net/bridge/br_input.c).
		return frame{}, dropSource
	}
	// Tags (0 to 2 times 4), Type (2).
	b = b[12:]
	for tags := 0; ; tags++ {
		f.etherType = binary.BigEndian.Uint16(b)
		if f.etherType != etherTypeVLAN && f.etherType != etherTypeQinQ {
			break
		}
		if tags == maxTags {
			return frame{}, dropTags
		}
		if len(b) < tagLen+2 {
			return frame{}, dropMalformed
		}
		b = b[tagLen:]
	}
	f.payload = b[2:]
	return f, passes
}
