package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// resolveTimeout bounds one look-up of a name.
const resolveTimeout = 5 * time.Second

// localEndpoints returns the endpoints at which this host's own interfaces can be reached, public addresses first: for
// a socket on the unspecified address each address of its family, else the socket's own.
func (d *daemon) localEndpoints() []netip.AddrPort {
	addrs := d.addrs.get(d.overlays)
	var endpoints []netip.AddrPort
	for _, l := range d.hub.Addrs() {
		if !l.Addr().IsUnspecified() {
			endpoints = append(endpoints, l)
			continue
		}
		for _, a := range addrs {
			if a.Is4() == l.Addr().Is4() {
				endpoints = append(endpoints, netip.AddrPortFrom(a, l.Port()))
			}
		}
	}
	slices.SortStableFunc(endpoints, func(a, b netip.AddrPort) int {
		return cmp.Compare(rank(a.Addr()), rank(b.Addr()))
	})
	return endpoints
}

// overlays returns the names of the interfaces whose addresses belong to an overlay.
func (d *daemon) overlays() map[string]bool {
	names := make(map[string]bool)
	for _, nw := range d.sorted() {
		s, _, _ := d.snapshot(nw)
		names[tapName(s)] = true
		names[gatewayOf(s, nil).Device] = true
		if s.BridgeOwned {
			names[s.Bridge] = true
		}
	}
	return names
}

// rank orders addresses by how far they can be reached from.
func rank(a netip.Addr) int {
	if a.IsPrivate() {
		return 1
	}
	return 0
}

// addrsAge is how old the host's addresses may be: all networks look at them, and a host has many interfaces.
const addrsAge = 5 * time.Second

// addrCache holds the addresses of this host that other hosts can use.
type addrCache struct {
	mu    sync.Mutex
	addrs []netip.Addr
	read  time.Time
}

// get returns the addresses but for those of the excluded interfaces.
func (c *addrCache) get(excluded func() map[string]bool) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) > addrsAge {
		c.addrs, c.read = hostAddrs(excluded()), time.Now()
	}
	return c.addrs
}

// hostAddrs reads the addresses in two dumps. Loopback and link-local addresses mean nothing to others.
func hostAddrs(excluded map[string]bool) []netip.Addr {
	links, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	usable := make(map[int]bool)
	for _, l := range links {
		usable[l.Attrs().Index] = l.Attrs().Flags&net.FlagUp != 0 && !excluded[l.Attrs().Name]
	}
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, entry := range list {
		if a, ok := netip.AddrFromSlice(entry.IP); ok && usable[entry.LinkIndex] && a.IsGlobalUnicast() {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// resolve turns "host:port" into endpoints, all addresses of a name.
func resolve(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", service)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(port))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var endpoints []netip.AddrPort
	for _, a := range addrs {
		endpoints = append(endpoints, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return endpoints, nil
}
