package answer

import "net/netip"

// Unicast appends the frame in which a DHCPv4 client of this host, which has the address from, sent payload to the gateway's address: where
// the kernel is the gateway, it takes the frame and gives us what is in it. It is not ok if nobody here has the address.
func (s *Segment) Unicast(dst []byte, t *Tables, from netip.Addr, payload []byte) (frame []byte, ok bool) {
	holder, held := t.Holders[from]
	pool, in := s.pool(from)
	if !held || !holder.Local || !in || len(payload) > s.MTU-ipv4Len-udpLen {
		return nil, false
	}
	b := appendEthernet(dst, s.MAC, holder.MAC, etherTypeIPv4)
	return appendUDP(b, netip.AddrPortFrom(from, port4Client), netip.AddrPortFrom(Gateway4(pool), port4Server), payload), true
}
