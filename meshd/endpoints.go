package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// resolveTimeout bounds one look-up of a name.
const resolveTimeout = 5 * time.Second

// localEndpoints returns the endpoints at which this host's own interfaces can be reached, public addresses first: for
// a socket on the unspecified address each address of its family, else the socket's own. Loopback and link-local
// addresses mean nothing to others, and those of the interfaces in exclude belong to an overlay.
func localEndpoints(listen []netip.AddrPort, exclude func(ifname string) bool) []netip.AddrPort {
	addrs := hostAddrs(exclude)
	var endpoints []netip.AddrPort
	for _, l := range listen {
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

// rank orders addresses by how far they can be reached from.
func rank(a netip.Addr) int {
	if a.IsPrivate() {
		return 1
	}
	return 0
}

// hostAddrs returns the addresses of this host that other hosts can use.
func hostAddrs(exclude func(ifname string) bool) []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || exclude(i.Name) {
			continue
		}
		of, err := i.Addrs()
		if err != nil {
			continue // gone meanwhile
		}
		for _, a := range of {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
				addrs = append(addrs, p.Addr().Unmap())
			}
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
