package udp

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

// Probe sends d with "don't fragment" set, whatever the kernel believes of the path's MTU. The error wraps wire.ErrTooLong if d is
// longer than the MTU of the device that it would leave through (which says nothing of the path behind), is net.ErrClosed after
// Close, and else says why the kernel did not take d. Probe does not wait while the socket's buffer is full.
//
// Only a whole socket can be told not to fragment, so for the time of the call it is. A datagram that another goroutine sends then
// is no longer than what has passed on its path, or than what every path carries, so it does not matter to it; but for an IPv4 path
// that cuts even that, where it may be lost.
func (c *Conn) Probe(d wire.Datagram) error {
	if d.Endpoint.Addr.Addr().Unmap().Is4() != c.is4 {
		c.counters.SendFamily.Add(1)
		return c.probeError(unix.EAFNOSUPPORT)
	}
	var to sockaddr
	n, ok := to.put(d.Endpoint.Addr, new(zoneIndexes))
	if !ok {
		c.counters.refused(unix.EADDRNOTAVAIL, 1) // the zone names no interface
		return c.probeError(unix.EADDRNOTAVAIL)
	}
	fd, ok := c.out.Acquire()
	if !ok {
		return c.probeError(net.ErrClosed)
	}
	defer c.out.Release()
	c.probing.Lock()
	defer c.probing.Unlock()
	if err := setFragmentation(fd, c.is4, false); err != nil {
		return c.probeError(err)
	}
	errno := sendto(fd, d.Buf, &to, n)
	if err := setFragmentation(fd, c.is4, true); err != nil {
		return c.probeError(err)
	}
	switch errno {
	case 0:
		c.counters.Sent.Add(1)
		return nil
	case unix.EMSGSIZE:
		return c.probeError(wire.ErrTooLong)
	}
	c.counters.refused(errno, 1)
	return c.probeError(errno)
}

func (c *Conn) probeError(err error) error {
	return fmt.Errorf("probing from UDP %v: %w", c.local, err)
}

// setFragmentation says whether datagrams that are too long for their path may be cut: then neither is "don't fragment" set nor is
// anything else refused (IP_PMTUDISC_DONT). Else it is set, and what is longer than the device's MTU is refused; what ICMP has said
// about the path is ignored (IP_PMTUDISC_PROBE; ip(7), ipv6(7)).
func setFragmentation(fd int, is4, may bool) error {
	if is4 {
		how := unix.IP_PMTUDISC_PROBE
		if may {
			how = unix.IP_PMTUDISC_DONT
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, how); err != nil {
			return fmt.Errorf("setting IP_MTU_DISCOVER: %w", err)
		}
		return nil
	}
	how := unix.IPV6_PMTUDISC_PROBE
	if may {
		how = unix.IPV6_PMTUDISC_DONT
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, how); err != nil {
		return fmt.Errorf("setting IPV6_MTU_DISCOVER: %w", err)
	}
	return nil
}
