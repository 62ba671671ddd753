package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// What is open is closed again when an address cannot be had, and the error says which, and what to do.
func TestListenDNS(t *testing.T) {
	loopback, elsewhere := netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("192.0.2.1")
	free, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).AddrPort().Port()
	_ = free.Close()
	udp, tcp, err := listenDNS([]netip.Addr{loopback}, port)
	if err != nil {
		t.Fatal(err)
	}
	if len(udp) != 1 || len(tcp) != 1 {
		t.Fatalf("%d UDP and %d TCP sockets", len(udp), len(tcp))
	}
	if _, _, err := listenDNS([]netip.Addr{loopback}, port); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d of 127.0.0.53 is taken", port)) {
		t.Errorf("error = %v, want that the port is taken", err)
	}
	_ = udp[0].Close()
	_ = tcp[0].Close()
	if udp, tcp, err := listenDNS([]netip.Addr{loopback, elsewhere}, port); err == nil || udp != nil || tcp != nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("%v, %v, error = %v, want one that names 192.0.2.1", udp, tcp, err)
	}
	udp, tcp, err = listenDNS([]netip.Addr{loopback}, port)
	if err != nil {
		t.Fatalf("something was left open: %v", err)
	}
	_ = udp[0].Close()
	_ = tcp[0].Close()
}
