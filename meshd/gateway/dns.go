package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// dnsPort is the port of DNS servers (RFC 1035, section 4.2).
const dnsPort = 53

// ListenDNS opens the sockets of a DNS server on addresses of the gateway. A kernel without IPv6 has those of IPv4 only.
func ListenDNS(addrs []netip.Addr) (udp []*net.UDPConn, tcp []*net.TCPListener, err error) {
	return listenDNS(addrs, dnsPort)
}

func listenDNS(addrs []netip.Addr, port uint16) (udp []*net.UDPConn, tcp []*net.TCPListener, err error) {
	if _, missing := os.Stat(key("ipv6", "all", "forwarding")); missing != nil {
		addrs = Config{Addrs: addrs}.withoutIPv6().Addrs
	}
	defer func() {
		if err == nil {
			return
		}
		for _, c := range udp {
			_ = c.Close() // nothing was written
		}
		for _, l := range tcp {
			_ = l.Close()
		}
		udp, tcp = nil, nil
	}()
	for _, a := range addrs {
		at := netip.AddrPortFrom(a, port)
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return udp, tcp, listenError(at, err)
		}
		udp = append(udp, c)
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err != nil {
			return udp, tcp, listenError(at, err)
		}
		tcp = append(tcp, l)
	}
	return udp, tcp, nil
}

// listenError says what to do where another server has the port.
func listenError(at netip.AddrPort, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("gateway: port %d of %v is taken: a DNS server of this host listens on all addresses; let it listen on "+
			"those only that it is needed on (dnsmasq: bind-interfaces; named: listen-on; unbound: interface)", at.Port(), at.Addr())
	}
	return fmt.Errorf("gateway: listening for DNS on %v: %w", at, err)
}
