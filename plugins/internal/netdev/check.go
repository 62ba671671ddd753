package netdev

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Check returns an error that names the first thing about a container's interface that is not as c says, or nil.
func Check(n *Namespace, c Config) error {
	host, err := openHost()
	if err != nil {
		return err
	}
	defer host.Close()
	inside, err := n.handle()
	if err != nil {
		return err
	}
	defer inside.Close()
	bridge, err := findBridge(host, c.Bridge)
	if err != nil {
		return err
	}
	outer, inner, err := findPair(host, inside, c.HostName)
	if err != nil {
		return err
	}
	if outer.Attrs().MasterIndex != bridge.Attrs().Index {
		return fmt.Errorf("%s is not a port of bridge %s", c.HostName, c.Bridge)
	}
	if outer.Attrs().Flags&net.FlagUp == 0 {
		return fmt.Errorf("%s is down", c.HostName)
	}
	if err := checkInner(inner, c); err != nil {
		return err
	}
	if err := checkShape(host, outer, c); err != nil {
		return err
	}
	return checkAddrs(inside, inner, c)
}

func checkInner(inner netlink.Link, c Config) error {
	a := inner.Attrs()
	switch {
	case a.Name != c.IfName:
		return fmt.Errorf("the interface in the container is called %s, want %s", a.Name, c.IfName)
	case a.Flags&net.FlagUp == 0:
		return fmt.Errorf("%s in the container is down", c.IfName)
	case !bytes.Equal(a.HardwareAddr, c.MAC):
		return fmt.Errorf("%s in the container has MAC address %v, want %v", c.IfName, a.HardwareAddr, c.MAC)
	case a.MTU != c.MTU:
		return fmt.Errorf("%s in the container has MTU %d, want %d", c.IfName, a.MTU, c.MTU)
	}
	return nil
}

func checkAddrs(inside *netlink.Handle, inner netlink.Link, c Config) error {
	list, err := inside.AddrList(inner, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing the addresses of %s in the container: %w", c.IfName, err)
	}
	for _, want := range c.Addrs {
		has := slices.ContainsFunc(list, func(a netlink.Addr) bool { return prefixOf(a.IPNet) == want })
		if !has {
			return fmt.Errorf("%s in the container lacks address %v", c.IfName, want)
		}
	}
	return checkRoutes(inside, inner, c)
}

func checkRoutes(inside *netlink.Handle, inner netlink.Link, c Config) error {
	for _, want := range c.Routes {
		filter := &netlink.Route{LinkIndex: inner.Attrs().Index, Table: unix.RT_TABLE_MAIN}
		if want.Table != nil {
			filter.Table = *want.Table
		}
		routes, err := inside.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("listing the routes of %s in the container: %w", c.IfName, err)
		}
		if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return isRoute(r, want) }) {
			return fmt.Errorf("%s in the container lacks the route to %v", c.IfName, want.Dst)
		}
	}
	return nil
}

// isRoute says whether r is what was wanted. netlink leaves the destination of a default route out in some versions.
func isRoute(r netlink.Route, want Route) bool {
	dst := prefixOf(r.Dst)
	if !dst.IsValid() && want.Dst.Bits() == 0 {
		dst = want.Dst.Masked()
	}
	gw, _ := netip.AddrFromSlice(r.Gw)
	return dst == want.Dst.Masked() && (!want.Gateway.IsValid() || gw.Unmap() == want.Gateway)
}

// prefixOf returns p as a netip.Prefix; the zero Prefix for nil.
func prefixOf(p *net.IPNet) netip.Prefix {
	if p == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(p.IP)
	bits, _ := p.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}
