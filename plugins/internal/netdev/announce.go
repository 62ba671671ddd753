package netdev

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Waiting for the bridge's port, see announce.
const (
	portPoll  = 200 * time.Microsecond
	portTries = 100
)

// announce sends one gratuitous ARP request (RFC 5227 §2.3, ARP announcement) for each IPv4 address of the container, so
// that who still has its last holder's MAC address learns the new one. An IPv6 address needs none: it follows from the
// names of its container, and so does the MAC address.
//
// The kernel's own (arp_notify) comes too early: it sends when the device is set up, and the bridge's port, which follows
// the carrier a moment later, is not yet forwarding. So this waits for the port, but not for long; and that it cannot
// send is no reason to fail, since caches are corrected within seconds without it (RFC 1122 §2.3.2.1).
func announce(host *netlink.Handle, n *Namespace, outer, inner netlink.Link, c Config) {
	addrs := c.ipv4()
	if len(addrs) == 0 {
		return
	}
	for range portTries {
		link, err := host.LinkByIndex(outer.Attrs().Index)
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			break
		}
		time.Sleep(portPoll)
	}
	_ = n.do(func() error { return sendARP(inner.Attrs().Index, c.MAC, addrs) })
}

// sendARP sends an announcement of each address on a device of this thread's namespace.
func sendARP(index int, mac net.HardwareAddr, addrs []netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	for _, a := range addrs {
		if err := unix.Sendto(fd, announcement(mac, a), 0, to); err != nil {
			return err
		}
	}
	return nil
}

// announcement returns an ARP request in which both sender and target are addr (RFC 826, RFC 5227 §2.3).
func announcement(mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As4()
	p := []byte{
		0, 1, // hardware: Ethernet
		8, 0, // protocol: IPv4
		6, 4, // lengths of their addresses
		0, 1, // request
	}
	p = append(append(p, mac...), ip[:]...)
	return append(append(p, 0, 0, 0, 0, 0, 0), ip[:]...)
}

// htons returns v in network byte order.
func htons(v uint16) uint16 { return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)}) }
