package answer

import "net/netip"

// Announce appends the frame that tells the containers of this host that an address has another holder than before, so that they need
// not find out: an ARP announcement (RFC 5227, section 3), or an unsolicited neighbour advertisement (RFC 4861, section 7.2.6).
func (s *Segment) Announce(dst []byte, addr netip.Addr, holder Holder) []byte {
	from := holder.MAC
	if holder.Local {
		from = s.source() // as in resolve
	}
	if addr.Is4() {
		a := addr.As4()
		b := append(appendEthernet(dst, broadcast, from, etherTypeARP), 0, 1, 8, 0, 6, 4, 0, arpRequest)
		b = append(append(b, holder.MAC[:]...), a[:]...)
		return append(append(b, make([]byte, 6)...), a[:]...)
	}
	return appendAdvertisement(appendEthernet(dst, allNodesMAC, from, etherTypeIPv6), addr, allNodes, flagOverride, holder.MAC)
}
