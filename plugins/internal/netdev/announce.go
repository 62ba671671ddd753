package netdev

import (
	"time"

	"github.com/vishvananda/netlink"
)

// Waiting for the bridge's port, see announce.
const (
	portPoll  = 200 * time.Microsecond
	portTries = 100
)

// announce has the kernel send a gratuitous ARP request (RFC 5227 §2.3, ARP announcement) for each IPv4 address of the
// container, so that who still has its last holder's MAC address learns the new one. An IPv6 address needs none: it
// follows from the names of its container, and so does the MAC address.
//
// The kernel sends them when a device with arp_notify is set up, which is too early: the bridge's port follows the
// carrier a moment later, and does not forward yet. But it also sends them when the MAC address is set, be it the same.
// (A packet socket of our own would do as well, if closing it did not wait for an RCU grace period, about 10 ms.)
//
// The wait for the port is short, and that nothing is sent is no reason to fail: caches are corrected within seconds
// without it (RFC 1122 §2.3.2.1).
func announce(host, inside *netlink.Handle, outer, inner netlink.Link, c Config) {
	if !c.hasIPv4() {
		return
	}
	for range portTries {
		link, err := host.LinkByIndex(outer.Attrs().Index)
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			break
		}
		time.Sleep(portPoll)
	}
	_ = inside.LinkSetHardwareAddr(inner, c.MAC)
}
