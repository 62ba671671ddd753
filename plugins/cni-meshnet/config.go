package main

import (
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"meshnet/meshd/api"
)

// config is the plugin's configuration, as the runtime writes it to standard input.
type config struct {
	types.PluginConf
	Network string `json:"network"`
	Socket  string `json:"socket"`
	MTU     int    `json:"mtu"`  // bytes
	IPv4    *bool  `json:"ipv4"` // false: IPv6 only

	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs []string `json:"ips"`
	} `json:"runtimeConfig"`

	prev *types100.Result // of the plugins before this one; nil if there are none
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
	return c, nil
}

// parseConfig reads a configuration. The error is a *types.Error.
func parseConfig(stdin []byte) (*config, error) {
	c := new(config)
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "cannot read the network configuration", decodeError(err).Error())
	}
	if c.MTU < 0 {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("mtu is %d; it is a number of bytes", c.MTU), "")
	}
	return c, nil
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

func (c *config) client() *api.Client { return api.NewClient(c.Socket) }
