package cni

import (
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/plugins/internal/netdev"
)

// IPNet returns p as the cni module has it.
func IPNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Route returns r as a result has it.
func Route(r netdev.Route) *types.Route {
	route := &types.Route{
		Dst: IPNet(r.Dst), MTU: r.MTU, AdvMSS: r.AdvMSS, Priority: r.Priority, Table: r.Table, Scope: r.Scope,
	}
	if r.Gateway.IsValid() {
		route.GW = r.Gateway.AsSlice()
	}
	return route
}

// ParseRoute returns a route of a configuration or of another plugin's result. The error is a *types.Error.
func ParseRoute(r *types.Route) (netdev.Route, error) {
	if r == nil {
		return netdev.Route{}, Invalidf("a route is null")
	}
	dst, ok := ParsePrefix(r.Dst)
	gateway, _ := netip.AddrFromSlice(r.GW)
	gateway = gateway.Unmap()
	switch {
	case !ok:
		return netdev.Route{}, Invalidf("a route has no dst, ADDRESS/LENGTH")
	case r.GW != nil && (!gateway.IsValid() || gateway.Is4() != dst.Addr().Is4()):
		return netdev.Route{}, Invalidf("the route to %v has the gateway %v, which is none of its family", dst, r.GW)
	case r.MTU < 0 || r.AdvMSS < 0 || r.Priority < 0 || r.Table != nil && *r.Table < 0:
		return netdev.Route{}, Invalidf("the route to %v has a negative mtu, advmss, priority or table", dst)
	case r.Scope != nil && (*r.Scope < 0 || *r.Scope > 255):
		return netdev.Route{}, Invalidf("the route to %v has the scope %d; 0 to 255 are possible", dst, *r.Scope)
	}
	return netdev.Route{
		Dst: dst.Masked(), Gateway: gateway, MTU: r.MTU, AdvMSS: r.AdvMSS, Priority: r.Priority, Table: r.Table, Scope: r.Scope,
	}, nil
}

// ParsePrefix returns n as a netip.Prefix; ok is false if it is none.
func ParsePrefix(n net.IPNet) (p netip.Prefix, ok bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if size == 128 && addr.Is4In6() && bits >= 96 {
		bits -= 96
	}
	p = netip.PrefixFrom(addr.Unmap(), bits)
	return p, ok && size > 0 && p.IsValid()
}
