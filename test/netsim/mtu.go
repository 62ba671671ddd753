package netsim

import (
	"fmt"
	"net/netip"

	"meshnet/meshd/wire"
)

// Bytes of the headers before a UDP payload: IPv4 (20) or IPv6 (40), and UDP (8).
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

// SetMTU limits all links to IP packets of mtu bytes; 0 ends that. What is longer is lost without a word (a black hole), but for
// datagrams over IPv4 that Probe has not sent: these are cut on the way. It replaces what SetLinkMTU said.
func (n *Network) SetMTU(mtu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mtu = mtu
	clear(n.mtus)
}

// SetLinkMTU is SetMTU for the link from one address to another, in this direction only.
func (n *Network) SetLinkMTU(from, to netip.AddrPort, mtu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mtus[route{from, to}] = mtu
}

// oversized reports whether a datagram of the given length cannot pass. Called with n.mu held.
func (n *Network) oversized(r route, length int, whole bool) bool {
	mtu, ok := n.mtus[r]
	if !ok {
		mtu = n.mtu
	}
	if mtu == 0 {
		return false
	}
	if r.to.Addr().Is4() {
		return whole && length+headers4 > mtu
	}
	return length+headers6 > mtu
}

// SetMTU limits the host's own network device to IP packets of mtu bytes; 0 ends that. Probe refuses what is longer; what is sent
// otherwise is cut.
func (h *Host) SetMTU(mtu int) { h.mtu.Store(int64(mtu)) }

// Probe sends one datagram that must not be cut. The error wraps wire.ErrTooLong if it is too long for the host's own device; after
// Close it is net.ErrClosed. It does not keep d.Buf.
func (h *Host) Probe(d wire.Datagram) error {
	headers := headers6
	if d.Endpoint.Addr.Addr().Is4() {
		headers = headers4
	}
	if mtu := int(h.mtu.Load()); mtu != 0 && len(d.Buf)+headers > mtu {
		return fmt.Errorf("sending %d bytes from %v: %w", len(d.Buf), h.addrs[0], wire.ErrTooLong)
	}
	_, err := h.write([]wire.Datagram{d}, true)
	return err
}
