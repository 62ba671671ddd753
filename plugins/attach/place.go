package attach

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// IPAM gives a container's interface addresses that are none of meshd's, and takes them back. That there is nothing to take
// back is success.
type IPAM interface {
	Add(ctx context.Context) (Addressing, error)
	Del(ctx context.Context) error
}

// Addressing is what an IPAM gives.
type Addressing struct {
	Addrs    []netip.Prefix // each with the length of its subnet
	Gateways []netip.Addr   // at most one of each family
	Routes   []netdev.Route // those without a gateway get that of their family
}

// placed is where an attachment is on the overlay, in the end.
type placed struct {
	addrs    []netip.Prefix
	gateways []netip.Addr
	routes   []netdev.Route
}

// place joins what meshd, IPAM and the request say of addresses and routes.
func place(r Request, a api.Attachment) (placed, error) {
	var p placed
	for _, addr := range a.Addresses {
		if !r.NoIPv6 || addr.Addr().Is4() {
			p.addrs = append(p.addrs, addr)
		}
	}
	p.gateways = slices.Clone(r.Gateways)
	p.addNetworks(r, a.Routes)
	var more []netdev.Route
	if r.Addressing != nil {
		p.addrs = append(p.addrs, r.Addressing.Addrs...)
		for _, gateway := range r.Addressing.Gateways {
			if !gatewayOf(p.gateways, gateway.Is4()).IsValid() {
				p.gateways = append(p.gateways, gateway)
			}
		}
		more = append(more, r.Addressing.Routes...)
	}
	for _, gateway := range p.gateways {
		within := func(addr netip.Prefix) bool { return addr.Contains(gateway) }
		if !slices.ContainsFunc(p.addrs, within) {
			return placed{}, api.Errorf(api.Invalid, "the gateway %v is in the subnet of none of the container's addresses %v", gateway, p.addrs)
		}
	}
	for _, route := range append(more, r.Routes...) {
		if !route.Gateway.IsValid() {
			route.Gateway = gatewayOf(p.gateways, route.Dst.Addr().Is4())
		}
		p.routes = append(p.routes, route)
	}
	if r.DefaultRoute {
		return p, p.addDefault()
	}
	return p, nil
}

// addNetworks adds the network's own routes. A default gateway that the request names takes the place of the network's.
func (p *placed) addNetworks(r Request, routes []api.Route) {
	for _, route := range routes {
		is4, isDefault := route.Dst.Addr().Is4(), route.Dst.Bits() == 0
		named := gatewayOf(r.Gateways, is4).IsValid()
		if r.NoIPv6 && !is4 || isDefault && named && r.DefaultRoute {
			continue
		}
		p.routes = append(p.routes, netdev.Route{Dst: route.Dst, Gateway: route.Gateway})
		if isDefault && !named {
			p.gateways = append(p.gateways, route.Gateway)
		}
	}
}

// addDefault adds the default routes by the gateways, unless there is one of that family.
func (p *placed) addDefault() error {
	for _, gateway := range p.gateways {
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if gateway.Is4() {
			all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		if !slices.ContainsFunc(p.routes, func(r netdev.Route) bool { return r.Dst == all }) {
			p.routes = append(p.routes, netdev.Route{Dst: all, Gateway: gateway})
		}
	}
	if !slices.ContainsFunc(p.routes, func(r netdev.Route) bool { return r.Dst.Bits() == 0 }) {
		return api.Errorf(api.Invalid, "a default route is asked for, and no gateway is known: the network has none on this host (egress = \"nat\" "+
			"makes one); name another (%s)", "\"gateway\": \"ADDRESS\"")
	}
	return nil
}

// gatewayOf returns the gateway of a family; the zero Addr if there is none.
func gatewayOf(gateways []netip.Addr, is4 bool) netip.Addr {
	for _, g := range gateways {
		if g.Is4() == is4 {
			return g
		}
	}
	return netip.Addr{}
}

// cniAlias is the alias of the host's end of a veth that belongs to a CNI network.
func cniAlias(network string) string { return fmt.Sprintf("cni:%.250s", network) }
