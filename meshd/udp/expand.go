package udp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Expand returns the addresses that a listen address stands for: ":7000" is port 7000 of every address of both
// families, "192.0.2.1:7000", "[2001:db8::1]:7000" and "[fe80::1%eth0]:7000" are themselves. Names are not looked up. A
// caller whose Listen on one of two families wraps ErrNoFamily goes on with the other.
func Expand(listen string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: want ADDRESS:PORT, [ADDRESS]:PORT for IPv6, or :PORT", listen)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: port %q is not a number from 0 to 65535", listen, service)
	}
	if host == "" {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)),
			netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)),
		}, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %q is not an IP address of this host; names are not looked up",
			listen, host)
	}
	return []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), uint16(port))}, nil
}
