package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Container is something with a network namespace on a host, and its interface eth0.
type Container struct {
	Name  string
	Host  *Host
	NetNS string   // path of the network namespace, on the host
	enter []string // what runs a command inside
}

// Enter returns the command line by which a user of the host runs args in the container.
func (c *Container) Enter(args ...string) []string {
	return append(append([]string{}, c.enter...), args...)
}

// Try runs a command inside.
func (c *Container) Try(args ...string) Result {
	c.Host.lab.tb.Helper()
	return c.Host.Try(c.Enter(args...)...)
}

// Start runs a command inside, in the background.
func (c *Container) Start(args ...string) *Process {
	c.Host.lab.tb.Helper()
	return c.Host.Start(c.Enter(args...)...)
}

// Link returns eth0 as the container has it: index, peer, MAC, MTU, flags, addresses. Equal text means untouched.
func (c *Container) Link() string {
	c.Host.lab.tb.Helper()
	link := c.Host.Output("nsenter", "--net="+c.NetNS, "ip", "-o", "link", "show", "dev", "eth0")
	addrs := c.Host.Output("nsenter", "--net="+c.NetNS, "ip", "-o", "addr", "show", "dev", "eth0")
	return link + "\n" + strings.ReplaceAll(addrs, " tentative", "") + "\n" // a link-local address may be, for its first second
}

// Addr returns the container's global IPv6 address.
func (c *Container) Addr() netip.Addr {
	c.Host.lab.tb.Helper()
	return c.global("IPv6", netip.Addr.Is6)
}

// IPv4 returns the container's global IPv4 address.
func (c *Container) IPv4() netip.Addr {
	c.Host.lab.tb.Helper()
	return c.global("IPv4", netip.Addr.Is4)
}

// global returns the container's address of a family.
func (c *Container) global(family string, is func(netip.Addr) bool) netip.Addr {
	c.Host.lab.tb.Helper()
	addrs := c.Addrs()
	if i := slices.IndexFunc(addrs, is); i >= 0 {
		return addrs[i]
	}
	c.Host.lab.tb.Fatalf("container %s on %s has no global %s address: %v", c.Name, c.Host.Name, family, addrs)
	return netip.Addr{}
}

// Addrs returns the container's global addresses, in ascending order: those of IPv4 come first.
func (c *Container) Addrs() []netip.Addr {
	c.Host.lab.tb.Helper()
	var addrs []netip.Addr
	for line := range strings.Lines(c.Host.Output("nsenter", "--net="+c.NetNS, "ip", "-o", "addr", "show", "dev", "eth0", "scope", "global")) {
		if f := strings.Fields(line); len(f) > 3 {
			if p, err := netip.ParsePrefix(f[3]); err == nil {
				addrs = append(addrs, p.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// NoOffloads makes both ends of the container's veth pair like a network card that can do nothing: what leaves through them is whole
// packets with checksums.
func (c *Container) NoOffloads() {
	tb := c.Host.lab.tb
	tb.Helper()
	off := []string{"rx", "off", "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off"}
	c.Host.Output(append([]string{"nsenter", "--net=" + c.NetNS, "ethtool", "-K", "eth0"}, off...)...)
	_, peer, _ := strings.Cut(c.Link(), "eth0@if")
	index, _, _ := strings.Cut(peer, ":")
	for line := range strings.Lines(c.Host.Output("ip", "-o", "link")) {
		if rest, ok := strings.CutPrefix(line, index+": "); ok {
			name, _, _ := strings.Cut(rest, "@")
			c.Host.Output(append([]string{"ethtool", "-K", name}, off...)...)
			return
		}
	}
	tb.Fatalf("%s has no interface %s, which %s's eth0 is connected with", c.Host.Name, index, c.Name)
}

// Ping sends one echo request of size bytes, filled with the byte Pattern, and returns the round-trip time.
func (c *Container) Ping(to netip.Addr, size int) (time.Duration, error) {
	c.Host.lab.tb.Helper()
	family := "-6"
	if to.Is4() {
		family = "-4"
	}
	r := c.Try("busybox", "ping", family, "-c", "1", "-W", "2", "-s", strconv.Itoa(size), "-p", fmt.Sprintf("%02x", Pattern), to.String())
	if r.Code != 0 {
		return 0, fmt.Errorf("ping from %s/%s to %v: %s", c.Host.Name, c.Name, to, strings.TrimSpace(r.Stdout+r.Stderr))
	}
	_, after, _ := strings.Cut(r.Stdout, "time=")
	ms, _, _ := strings.Cut(after, " ms")
	rtt, err := time.ParseDuration(ms + "ms")
	if err != nil {
		return 0, fmt.Errorf("ping from %s/%s to %v: no time in %q", c.Host.Name, c.Name, to, r.Stdout)
	}
	return rtt, nil
}

// Reaches waits until a ping comes back from each address of to, and fails after within. It returns the longest of the
// round-trip times.
func (c *Container) Reaches(to *Container, within time.Duration) time.Duration {
	tb := c.Host.lab.tb
	tb.Helper()
	addrs := to.Addrs()
	if len(addrs) == 0 {
		tb.Fatalf("container %s on %s has no global address", to.Name, to.Host.Name)
	}
	deadline := time.Now().Add(within)
	var longest time.Duration
	for _, addr := range addrs {
		var rtt time.Duration
		var err error
		c.Host.lab.Until(time.Until(deadline), fmt.Sprintf("%s/%s reaches %s/%s", c.Host.Name, c.Name, to.Host.Name, to.Name), func() bool {
			rtt, err = c.Ping(addr, 56)
			return err == nil
		}, func() string { return err.Error() })
		longest = max(longest, rtt)
	}
	return longest
}

// Listen opens a TCP listener on an address of the container; the accepting code is the test's own.
func (c *Container) Listen(addr netip.Addr) (net.Listener, error) {
	var ln net.Listener
	err := c.inNetNS(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	return ln, err
}

// Dial opens a TCP connection from the container.
func (c *Container) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var conn net.Conn
	err := c.inNetNS(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

// ListenUDP opens a UDP socket on an address of the container.
func (c *Container) ListenUDP(addr netip.Addr) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := c.inNetNS(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	return conn, err
}

// inNetNS calls f on a thread that is in the container's network namespace. A socket stays where it was made.
func (c *Container) inNetNS(f func() error) error {
	file, err := os.Open(c.Host.Path(c.NetNS))
	if err != nil {
		return err
	}
	defer file.Close()
	return onOwnThread(func() error {
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network of %s: %w", c.Name, err)
		}
		return f()
	})
}

// ListenUDP opens a UDP socket on the host, for tests that play a stranger. addr may name port 0.
func (h *Host) ListenUDP(addr netip.AddrPort) *net.UDPConn {
	h.lab.tb.Helper()
	var conn *net.UDPConn
	err := h.ns.do(network, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		h.lab.tb.Fatalf("%s: listening on %v: %v", h.Name, addr, err)
	}
	h.lab.tb.Cleanup(func() { conn.Close() })
	return conn
}

// Plug makes a network namespace of that name whose eth0 is in a bridge of the host, and nothing else: it has no addresses, and nobody
// has told meshnet of it.
func (h *Host) Plug(name, bridge string) *Container {
	h.lab.tb.Helper()
	h.Output("ip", "netns", "add", name)
	h.Output("ip", "link", "add", "v-"+name, "type", "veth", "peer", "name", "eth0", "netns", name)
	h.Output("ip", "link", "set", "v-"+name, "master", bridge, "up")
	h.Output("ip", "-n", name, "link", "set", "eth0", "up")
	return h.NetNS(name)
}
