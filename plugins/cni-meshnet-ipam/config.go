package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/cni"
)

// config is the configuration of the plugin that delegates, as far as it concerns this one.
type config struct {
	types.PluginConf
	IPAM *ipam `json:"ipam"`
	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs []string `json:"ips"`
	} `json:"runtimeConfig"`
}

// ipam is this plugin's own part of it.
type ipam struct {
	Type    string         `json:"type"`
	Network string         `json:"network"`
	Socket  string         `json:"socket"`
	IPv4    *bool          `json:"ipv4"`
	IPv6    *bool          `json:"ipv6"`
	Gateway cni.Addresses  `json:"gateway"`
	Routes  []*types.Route `json:"routes"`
	DNS     types.DNS      `json:"dns"`
}

// ownKeys are those of ipam.
var ownKeys = []string{"dns", "gateway", "ipv4", "ipv6", "network", "routes", "socket", "type"}

// parseKnown is parseConfig for all but DEL, and refuses keys of ipam that nobody reads. The error is a *types.Error.
func parseKnown(stdin []byte) (*config, error) {
	c, err := parseConfig(stdin)
	if err != nil {
		return nil, err
	}
	var keys struct {
		IPAM map[string]json.RawMessage `json:"ipam"`
	}
	if err := cni.Decode(stdin, &keys); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(keys.IPAM)) {
		if !slices.Contains(ownKeys, key) {
			return nil, cni.Invalidf("ipam: unknown key %.40q; those of this plugin are %s", key, strings.Join(ownKeys, ", "))
		}
	}
	if c.IPAM.none4() && c.IPAM.none6() {
		return nil, cni.Invalidf("ipam: ipv4 and ipv6 are both false: there would be no address")
	}
	if _, err := c.IPAM.Gateway.Parse(); err != nil {
		return nil, err
	}
	for _, route := range c.IPAM.Routes {
		if _, err := cni.ParseRoute(route); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// parseConfig reads a configuration. The error is a *types.Error.
func parseConfig(stdin []byte) (*config, error) {
	c := new(config)
	if err := cni.Decode(stdin, c); err != nil {
		return nil, err
	}
	if c.IPAM == nil {
		return nil, cni.Invalidf("the configuration has no ipam; cni-meshnet-ipam is named there as type, by a plugin that makes interfaces")
	}
	return c, nil
}

func (i *ipam) none4() bool { return i.IPv4 != nil && !*i.IPv4 }
func (i *ipam) none6() bool { return i.IPv6 != nil && !*i.IPv6 }

func (c *config) client() *api.Client { return api.NewClient(c.IPAM.Socket) }

// addresses returns those of an attachment that the configuration wants.
func (c *config) addresses(a api.Attachment) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range a.Addresses {
		if is4 := p.Addr().Is4(); is4 && !c.IPAM.none4() || !is4 && !c.IPAM.none6() {
			list = append(list, p)
		}
	}
	return list
}

// result returns what the plugin that delegates gets. "The IPAM plugin's result omits interfaces" (SPEC.md, section 5). pools
// are the network's.
func (c *config) result(a api.Attachment, pools []api.Pool) (*types100.Result, error) {
	gateways, err := c.IPAM.Gateway.Parse()
	if err != nil {
		return nil, err
	}
	if c.IPAM.Gateway == nil {
		gateways = defaultGateways(c.addresses(a), pools)
	}
	r := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, Routes: c.IPAM.Routes, DNS: c.IPAM.DNS}
	for _, p := range c.addresses(a) {
		ip := &types100.IPConfig{Address: cni.IPNet(p)}
		for i, g := range gateways {
			if g.IsValid() && p.Contains(g) {
				ip.Gateway, gateways[i] = g.AsSlice(), netip.Addr{}
			}
		}
		r.IPs = append(r.IPs, ip)
	}
	for _, g := range gateways {
		if g.IsValid() {
			return nil, cni.Invalidf("ipam: the gateway %v is in the subnet of none of the addresses %v", g, c.addresses(a))
		}
	}
	if len(r.IPs) == 0 {
		return nil, cni.Invalidf("ipam: network %s has no IPv4, and ipv6 is false: there is no address", a.Network)
	}
	return r, nil
}

// defaultGateways returns the addresses that nobody leases because they are kept for a router: of an IPv4 pool the one that it
// names, else the one after its first; of the IPv6 subnet that one too. Plugins that make a router of the host (bridge with
// isGateway) or that need one (ptp) expect an address, as host-local gives it.
func defaultGateways(addrs []netip.Prefix, pools []api.Pool) []netip.Addr {
	var list []netip.Addr
	for _, p := range addrs {
		gateway := p.Masked().Addr().Next()
		for _, pool := range pools {
			if pool.Prefix.Contains(p.Addr()) && pool.Gateway.IsValid() {
				gateway = pool.Gateway
			}
		}
		if gateway != p.Addr() {
			list = append(list, gateway)
		}
	}
	return list
}

// previous returns the addresses of prevResult. The error is a *types.Error.
func (c *config) previous() ([]netip.Prefix, error) {
	if err := cniversion.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "cannot read prevResult", err.Error())
	}
	if c.PrevResult == nil {
		return nil, cni.Invalidf("CHECK needs the prevResult of ADD")
	}
	r, err := types100.NewResultFromResult(c.PrevResult)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "cannot read prevResult", err.Error())
	}
	var list []netip.Prefix
	for _, ip := range r.IPs {
		if p, ok := cni.ParsePrefix(ip.Address); ok {
			list = append(list, p)
		}
	}
	return list, nil
}

// compare says which address of the lease prevResult lacks.
func compare(previous, leased []netip.Prefix) error {
	for _, p := range leased {
		if !slices.Contains(previous, p) {
			return fmt.Errorf("prevResult lacks address %v, which meshd has leased", p)
		}
	}
	return nil
}
