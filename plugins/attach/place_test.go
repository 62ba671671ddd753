package attach

import (
	"net/netip"
	"slices"
	"testing"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// The network's gateway is the container's, unless the request names another; a family that the container does not have has no routes.
func TestPlaceWithAGatewayOfTheNetwork(t *testing.T) {
	all4, all6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	net4, net6 := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00::1")
	other := netip.MustParseAddr("10.77.0.9")
	a := api.Attachment{
		Addresses: []netip.Prefix{netip.MustParsePrefix("fd00::5/64"), netip.MustParsePrefix("10.77.0.5/16")},
		Routes:    []api.Route{{Dst: all6, Gateway: net6}, {Dst: all4, Gateway: net4}},
	}
	for _, test := range []struct {
		name     string
		request  Request
		gateways []netip.Addr
		routes   []netdev.Route
	}{
		{"nothing is asked for", Request{}, []netip.Addr{net6, net4}, []netdev.Route{{Dst: all6, Gateway: net6}, {Dst: all4, Gateway: net4}}},
		{"a default route", Request{DefaultRoute: true}, []netip.Addr{net6, net4}, []netdev.Route{{Dst: all6, Gateway: net6}, {Dst: all4, Gateway: net4}}},
		{"no IPv6", Request{NoIPv6: true}, []netip.Addr{net4}, []netdev.Route{{Dst: all4, Gateway: net4}}},
		{"another gateway", Request{Gateways: []netip.Addr{other}}, []netip.Addr{other, net6},
			[]netdev.Route{{Dst: all6, Gateway: net6}, {Dst: all4, Gateway: net4}}},
		{"a default route by another", Request{Gateways: []netip.Addr{other}, DefaultRoute: true}, []netip.Addr{other, net6},
			[]netdev.Route{{Dst: all6, Gateway: net6}, {Dst: all4, Gateway: other}}},
	} {
		p, err := place(test.request, a)
		if err != nil || !slices.Equal(p.gateways, test.gateways) || !slices.Equal(p.routes, test.routes) {
			t.Errorf("%s: %v, gateways %v, routes %v, want %v, %v", test.name, err, p.gateways, p.routes, test.gateways, test.routes)
		}
	}
}
