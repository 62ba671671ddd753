package main

import (
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/netdev"
)

// config is the plugin's configuration, as the runtime writes it to standard input.
type config struct {
	types.PluginConf
	Network   string          `json:"network"`
	Socket    string          `json:"socket"`
	MTU       int             `json:"mtu"`  // bytes
	IPv4      *bool           `json:"ipv4"` // false: none
	IPv6      *bool           `json:"ipv6"` // false: none; true: that of the mesh even beside those of ipam
	MAC       string          `json:"mac"`
	Gateway   cni.Addresses   `json:"gateway"`
	IsDefault bool            `json:"isDefaultGateway"`
	Routes    []*types.Route  `json:"routes"`
	Aliases   []string        `json:"aliases"`
	Bandwidth bandwidth       `json:"bandwidth"`
	DNS       *types.DNS      `json:"dns"`
	IPAM      json.RawMessage `json:"ipam"`

	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
			MAC string   `json:"mac"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs       []string   `json:"ips"`
		MAC       string     `json:"mac"`
		Aliases   aliases    `json:"aliases"`
		Bandwidth *bandwidth `json:"bandwidth"`
		DNS       *struct {
			Servers  []string `json:"servers"`
			Searches []string `json:"searches"`
			Options  []string `json:"options"`
		} `json:"dns"`
	} `json:"runtimeConfig"`

	prev     *types100.Result // of the plugins before this one; nil if there are none
	delegate string           // type of the IPAM plugin; "": none
	routes   []netdev.Route
}

// bandwidth is the limits of a container, in bits per second and bits (CONVENTIONS.md, "bandwidth").
type bandwidth struct {
	IngressRate  uint64 `json:"ingressRate"`
	IngressBurst uint64 `json:"ingressBurst"`
	EgressRate   uint64 `json:"egressRate"`
	EgressBurst  uint64 `json:"egressBurst"`
}

// aliases are names of a container by network (CONVENTIONS.md has a list; podman writes an object for its dnsname), or for
// whichever network, under "".
type aliases map[string][]string

// UnmarshalJSON implements json.Unmarshaler.
func (a *aliases) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, (*map[string][]string)(a))
	}
	var list []string
	err := json.Unmarshal(b, &list)
	*a = aliases{"": list}
	return err
}

// parseKnown is parseConfig for all but DEL, which works whatever has been written into the configuration since ADD: it
// refuses keys that nobody reads. "Plugins may … generate an error if called with unknown fields" (SPEC.md, "Other keys").
func parseKnown(stdin []byte) (*config, error) {
	c, err := parseConfig(stdin)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(stdin); err != nil {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	return c, c.check()
}

// parseConfig reads a configuration. The error is a *types.Error.
func parseConfig(stdin []byte) (*config, error) {
	c := new(config)
	if err := cni.Decode(stdin, c); err != nil {
		return nil, err
	}
	if len(c.IPAM) > 0 && string(c.IPAM) != "null" {
		var ipam types.IPAM
		if err := json.Unmarshal(c.IPAM, &ipam); err != nil {
			return nil, types.NewError(types.ErrDecodingFailure, "cannot read the network configuration", "ipam must be an object whose type is a string")
		}
		c.delegate = ipam.Type
	}
	return c, nil
}

// check says what of the configuration cannot be, whatever the container. The error is a *types.Error.
func (c *config) check() error {
	if c.MTU < 0 {
		return cni.Invalidf("mtu is %d; it is a number of bytes", c.MTU)
	}
	if c.delegate == ipamPlugin {
		return cni.Invalidf("ipam: %s gives the addresses that this plugin gives by itself; leave ipam out", ipamPlugin)
	}
	if c.delegate == "" && c.noIPv4() && c.noIPv6() {
		return cni.Invalidf("ipv4 and ipv6 are both false, and there is no ipam: the container would have no address")
	}
	if _, err := c.Gateway.Parse(); err != nil {
		return err
	}
	for _, r := range c.Routes {
		route, err := cni.ParseRoute(r)
		if err != nil {
			return err
		}
		c.routes = append(c.routes, route)
	}
	return nil
}

func (c *config) noIPv4() bool { return c.IPv4 != nil && !*c.IPv4 }

// noIPv6 says whether the container does not get the mesh's IPv6 address. Who has an IPAM plugin give the addresses expects
// those and no others.
func (c *config) noIPv6() bool {
	if c.IPv6 != nil {
		return !*c.IPv6
	}
	return c.delegate != ""
}

// requestedMAC returns the address that is asked for, of several places that name one the last. The zero MAC is any.
func (c *config) requestedMAC(args cni.Args) (api.MAC, error) {
	text := c.MAC
	for _, further := range []string{args.MAC, c.Args.CNI.MAC, c.RuntimeConfig.MAC} {
		if further != "" {
			text = further
		}
	}
	if text == "" {
		return api.MAC{}, nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != len(api.MAC{}) {
		return api.MAC{}, cni.Invalidf("the MAC address that is asked for, %.64q, is none", text)
	}
	if api.MAC(mac) == (api.MAC{}) || mac[0]&1 != 0 {
		return api.MAC{}, cni.Invalidf("the MAC address that is asked for, %v, is none that an interface can have", mac)
	}
	return api.MAC(mac), nil
}

// aliases returns the other names of the container. Runtimes name the same one several times.
func (c *config) aliases() ([]string, error) {
	list := c.Aliases
	if r := c.RuntimeConfig.Aliases; r != nil {
		list = append(r[""], r[c.Name]...)
	}
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	if len(list) > api.MaxAliases {
		return nil, cni.Invalidf("there are %d aliases; at most %d are possible", len(list), api.MaxAliases)
	}
	for _, alias := range list {
		if err := api.CheckAlias(alias); err != nil {
			return nil, cni.Invalidf("%s", err.Error())
		}
	}
	return list, nil
}

// rates returns the limits of the container.
func (c *config) rates() (ingress, egress netdev.Rate, err error) {
	b := c.Bandwidth
	if c.RuntimeConfig.Bandwidth != nil {
		b = *c.RuntimeConfig.Bandwidth
	}
	ingress = netdev.Rate{Rate: b.IngressRate, Burst: b.IngressBurst}
	egress = netdev.Rate{Rate: b.EgressRate, Burst: b.EgressBurst}
	mtu := c.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	if err := errors.Join(named("ingress", ingress, mtu), named("egress", egress, mtu)); err != nil {
		return netdev.Rate{}, netdev.Rate{}, cni.Invalidf("bandwidth: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return ingress, egress, nil
}

// parsePrev reads prevResult. The error is a *types.Error.
func (c *config) parsePrev() error {
	err := cniversion.ParsePrevResult(&c.PluginConf)
	if err == nil && c.PrevResult != nil {
		c.prev, err = types100.NewResultFromResult(c.PrevResult)
	}
	if err != nil {
		return types.NewError(types.ErrDecodingFailure, "cannot read prevResult", err.Error())
	}
	return nil
}

// dns returns what the result says of DNS: what runtime or configuration say, else what the plugins before and ipam said. A
// list that is empty says something too.
func (c *config) dns(others ...types.DNS) types.DNS {
	dns := types.DNS{}
	if c.DNS != nil {
		dns = *c.DNS
	}
	if r := c.RuntimeConfig.DNS; r != nil {
		if r.Servers != nil {
			dns.Nameservers = r.Servers
		}
		if r.Searches != nil {
			dns.Search = r.Searches
		}
		if r.Options != nil {
			dns.Options = r.Options
		}
	}
	if dns.Nameservers != nil || dns.Search != nil || dns.Options != nil || dns.Domain != "" {
		return dns
	}
	for _, other := range others {
		if !other.IsEmpty() {
			return other
		}
	}
	return types.DNS{}
}

func (c *config) client() *api.Client { return api.NewClient(c.Socket) }
