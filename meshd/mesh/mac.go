package mesh

import "fmt"

// MAC is an IEEE 802 48-bit address, in transmission order.
type MAC [6]byte

// String returns the address as colon-separated lower-case hex.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// group reports whether the address is multicast or broadcast: the first bit on the wire (IEEE 802, clause 8.2).
func (m MAC) group() bool { return m[0]&1 != 0 }

// station reports whether the address can belong to one station, and so be a source: neither a group nor zero, as
// is_valid_ether_addr in include/linux/etherdevice.h.
func (m MAC) station() bool { return !m.group() && m != MAC{} }
