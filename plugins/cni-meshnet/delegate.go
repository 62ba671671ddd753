package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/plugins/attach"
	"meshnet/plugins/internal/cni"
)

// delegate is the IPAM plugin that the configuration names (SPEC.md, "Section 4: Plugin Delegation"). It gets the environment
// and the configuration of this plugin. It implements attach.IPAM.
type delegate struct {
	kind  string
	stdin []byte
	dns   types.DNS // what its ADD said
}

// ipamOf returns the delegate of a configuration; nil if it names none.
func ipamOf(c *config, args *skel.CmdArgs) *delegate {
	if c.delegate == "" {
		return nil
	}
	return &delegate{kind: c.delegate, stdin: args.StdinData}
}

// Add has the plugin give addresses.
func (d *delegate) Add(ctx context.Context) (attach.Addressing, error) {
	result, err := invoke.DelegateAdd(ctx, d.kind, d.stdin, nil)
	if err != nil {
		return attach.Addressing{}, d.error(err)
	}
	r, err := types100.NewResultFromResult(result)
	if err != nil {
		return attach.Addressing{}, d.error(err)
	}
	d.dns = r.DNS
	given, err := addressing(r)
	if err != nil {
		return attach.Addressing{}, d.error(err)
	}
	return given, nil
}

// Del has it take them back.
func (d *delegate) Del(ctx context.Context) error {
	return d.error(invoke.DelegateDel(ctx, d.kind, d.stdin, nil))
}

func (d *delegate) check(ctx context.Context) error {
	return d.error(invoke.DelegateCheck(ctx, d.kind, d.stdin, nil))
}

func (d *delegate) collect(ctx context.Context) error {
	return d.error(invoke.DelegateGC(ctx, d.kind, d.stdin, nil))
}

func (d *delegate) status(ctx context.Context) error {
	return d.error(invoke.DelegateStatus(ctx, d.kind, d.stdin, nil))
}

// error says whose error it is. Its code, if it has one, stays that of the plugin.
func (d *delegate) error(err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(*types.Error)) {
		return fmt.Errorf("IPAM plugin %s: %w", d.kind, err)
	}
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("IPAM plugin %s: %v", d.kind, err), "")
}

// addressing returns what a result of IPAM says. The first gateway of a family is the one.
func addressing(r *types100.Result) (attach.Addressing, error) {
	var a attach.Addressing
	if len(r.IPs) == 0 {
		return a, errors.New("it gave no address")
	}
	has := make(map[bool]bool)
	for _, ip := range r.IPs {
		prefix, ok := cni.ParsePrefix(ip.Address)
		if !ok {
			return a, fmt.Errorf("it gave the address %v, which is none with a length", ip.Address)
		}
		a.Addrs = append(a.Addrs, prefix)
		if gateway, ok := netip.AddrFromSlice(ip.Gateway); ok && !has[prefix.Addr().Is4()] {
			has[prefix.Addr().Is4()] = true
			a.Gateways = append(a.Gateways, gateway.Unmap())
		}
	}
	for _, route := range r.Routes {
		parsed, err := cni.ParseRoute(route)
		if err != nil {
			return a, err
		}
		a.Routes = append(a.Routes, parsed)
	}
	return a, nil
}
