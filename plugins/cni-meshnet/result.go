package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/cni"
)

// extend returns the result of ADD: what the plugins before this one made, if any, and then the two ends of the veth,
// the container's addresses and routes.
func extend(prev *types100.Result, r attach.Result, netns string, dns types.DNS) *types100.Result {
	if prev == nil {
		prev = new(types100.Result)
	}
	result := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: slices.Clone(prev.Interfaces),
		IPs:        slices.Clone(prev.IPs),
		Routes:     slices.Clone(prev.Routes),
		DNS:        dns,
	}
	result.Interfaces = append(result.Interfaces,
		&types100.Interface{Name: r.HostName, Mac: r.HostMAC, Mtu: r.MTU},
		&types100.Interface{Name: r.IfName, Mac: r.MAC.String(), Mtu: r.MTU, Sandbox: netns})
	container := len(result.Interfaces) - 1
	for _, a := range r.Addresses {
		ip := &types100.IPConfig{Interface: &container, Address: cni.IPNet(a)}
		for _, g := range r.Gateways {
			if a.Contains(g) {
				ip.Gateway = g.AsSlice()
			}
		}
		result.IPs = append(result.IPs, ip)
	}
	for _, route := range r.Routes {
		result.Routes = append(result.Routes, cni.Route(route))
	}
	return result
}

// indexOf returns the place of the container's interface in prevResult, -1 if it is not there.
func (c *config) indexOf(ifname, netns string) int {
	return slices.IndexFunc(c.prev.Interfaces, func(i *types100.Interface) bool {
		return i != nil && i.Name == ifname && i.Sandbox == netns
	})
}

// macOf returns the MAC address that prevResult gives the container's interface, or nil.
func (c *config) macOf(ifname, netns string) net.HardwareAddr {
	i := c.indexOf(ifname, netns)
	if i < 0 {
		return nil
	}
	mac, err := net.ParseMAC(c.prev.Interfaces[i].Mac)
	if err != nil {
		return nil
	}
	return mac
}

// given returns the addresses that prevResult says of the container's interface, without those of the mesh's IPv6 prefix:
// what an IPAM plugin gave.
func (c *config) given(ifname, netns string) *attach.Addressing {
	index := c.indexOf(ifname, netns)
	a := new(attach.Addressing)
	for _, ip := range c.prev.IPs {
		if ip == nil || ip.Interface == nil || *ip.Interface != index {
			continue
		}
		if p, ok := cni.ParsePrefix(ip.Address); ok {
			a.Addrs = append(a.Addrs, p)
		}
		if gateway, ok := netip.AddrFromSlice(ip.Gateway); ok {
			a.Gateways = append(a.Gateways, gateway.Unmap())
		}
	}
	return a
}

// checkPrev says whether the result of ADD is still what meshd and IPAM say.
func (c *config) checkPrev(a api.Attachment, netns string) error {
	index := c.indexOf(a.IfName, netns)
	if index < 0 {
		return fmt.Errorf("prevResult has no interface %s in %s", a.IfName, netns)
	}
	for _, want := range a.Addresses {
		if !has(c.prev.IPs, index, want) {
			return fmt.Errorf("prevResult lacks address %v, which meshd has leased", want)
		}
	}
	return nil
}

func has(ips []*types100.IPConfig, index int, want netip.Prefix) bool {
	return slices.ContainsFunc(ips, func(ip *types100.IPConfig) bool {
		return ip != nil && ip.Interface != nil && *ip.Interface == index && ip.Address.String() == want.String()
	})
}
