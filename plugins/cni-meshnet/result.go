package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
)

// extend returns the result of ADD: what the plugins before this one made, if any, and then the two ends of the veth,
// the container's addresses and routes.
func extend(prev *types100.Result, r attach.Result, netns string) *types100.Result {
	if prev == nil {
		prev = new(types100.Result)
	}
	result := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: append([]*types100.Interface(nil), prev.Interfaces...),
		IPs:        append([]*types100.IPConfig(nil), prev.IPs...),
		Routes:     append([]*types.Route(nil), prev.Routes...),
		DNS:        prev.DNS,
	}
	result.Interfaces = append(result.Interfaces,
		&types100.Interface{Name: r.HostName, Mac: r.HostMAC, Mtu: r.MTU},
		&types100.Interface{Name: r.IfName, Mac: r.MAC.String(), Mtu: r.MTU, Sandbox: netns})
	container := len(result.Interfaces) - 1
	for _, a := range r.Addresses {
		result.IPs = append(result.IPs, &types100.IPConfig{Interface: &container, Address: ipNet(a)})
	}
	for _, route := range r.Routes {
		nr := &types.Route{Dst: ipNet(route.Dst)}
		if route.Gateway.IsValid() {
			nr.GW = route.Gateway.AsSlice()
		}
		result.Routes = append(result.Routes, nr)
	}
	return result
}

// macOf returns the MAC address that prevResult gives the container's interface, or nil.
func (c *config) macOf(ifname string) net.HardwareAddr {
	for _, i := range c.prev.Interfaces {
		if i.Name == ifname && i.Sandbox != "" {
			if mac, err := net.ParseMAC(i.Mac); err == nil {
				return mac
			}
		}
	}
	return nil
}

// checkPrev says whether the result of ADD is still what meshd says.
func checkPrev(prev *types100.Result, a api.Attachment, netns string) error {
	index := -1
	for i, intf := range prev.Interfaces {
		if intf.Name == a.IfName && intf.Sandbox == netns {
			index = i
		}
	}
	if index < 0 {
		return fmt.Errorf("prevResult has no interface %s in %s", a.IfName, netns)
	}
	for _, want := range a.Addresses {
		if !has(prev.IPs, index, want) {
			return fmt.Errorf("prevResult lacks address %v, which meshd has leased", want)
		}
	}
	return nil
}

func has(ips []*types100.IPConfig, index int, want netip.Prefix) bool {
	for _, ip := range ips {
		if ip.Interface != nil && *ip.Interface == index && ip.Address.String() == want.String() {
			return true
		}
	}
	return false
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
