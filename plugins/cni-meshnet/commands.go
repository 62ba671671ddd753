package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/cni"
)

// timeout limits one run. Runtimes wait minutes; who waits for a container does not.
const timeout = 30 * time.Second

// request returns what every command says of the container.
func request(args *skel.CmdArgs, c *config) attach.Request {
	return attach.Request{
		Network:    c.Network,
		Container:  args.ContainerID,
		IfName:     args.IfName,
		NetNS:      args.Netns,
		Source:     api.SourceCNI,
		CNINetwork: c.Name,
		MTU:        c.MTU,
	}
}

// wanted returns what ADD and CHECK say beside that. The error is a *types.Error.
func wanted(args *skel.CmdArgs, c *config) (r attach.Request, err error) {
	r = request(args, c)
	if err := cni.CheckContainer(args.ContainerID); err != nil {
		return r, err
	}
	env, err := cni.ParseArgs(args.Args, "GATEWAY")
	if err != nil {
		return r, err
	}
	if r.WantMAC, err = c.requestedMAC(env); err != nil {
		return r, err
	}
	if r.Aliases, err = c.aliases(); err != nil {
		return r, err
	}
	if r.Ingress, r.Egress, err = c.rates(); err != nil {
		return r, err
	}
	if r.Gateways, err = c.Gateway.Parse(); err != nil {
		return r, err
	}
	r.NoIPv6, r.Routes, r.DefaultRoute = c.noIPv6(), c.routes, c.IsDefault
	if c.delegate != "" { // which reads by itself what is asked for
		r.IPv4 = api.NoIPv4
		return r, nil
	}
	r.IPv4, err = cni.AddressRequest{Runtime: c.RuntimeConfig.IPs, Args: c.Args.CNI.IPs, Env: env.IPs, NoIPv4: c.noIPv4()}.IPv4()
	return r, err
}

func add(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	if err := c.parsePrev(); err != nil {
		return err
	}
	want, err := wanted(args, c)
	if err != nil {
		return err
	}
	var said types.DNS
	ipam := ipamOf(c, args)
	if ipam != nil {
		want.IPAM = ipam
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r, err := attach.Add(ctx, c.client(), want)
	if err != nil {
		return cni.Coded(fmt.Errorf("attaching %s/%s: %w", args.ContainerID, args.IfName, err))
	}
	if ipam != nil {
		said = ipam.dns
	}
	var before types.DNS
	if c.prev != nil {
		before = c.prev.DNS
	}
	return types.PrintResult(extend(c.prev, r, args.Netns, c.dns(said, before)), c.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	if api.CheckContainer(args.ContainerID) != nil {
		return nil // meshd has never taken such a container
	}
	r := request(args, c)
	if ipam := ipamOf(c, args); ipam != nil && c.delegate != ipamPlugin {
		r.IPAM = ipam
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := attach.Del(ctx, c.client(), r); err != nil {
		return cni.Coded(fmt.Errorf("detaching %s/%s: %w", args.ContainerID, args.IfName, err))
	}
	return nil
}

func check(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	if err := c.parsePrev(); err != nil {
		return err
	}
	if c.prev == nil {
		return cni.Invalidf("CHECK needs the prevResult of ADD")
	}
	r, err := wanted(args, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r.MAC = c.macOf(args.IfName, args.Netns)
	if ipam := ipamOf(c, args); ipam != nil {
		if err := ipam.check(ctx); err != nil {
			return cni.Coded(fmt.Errorf("checking %s/%s: %w", args.ContainerID, args.IfName, err))
		}
		r.Addressing, r.NoIPv6 = c.given(args.IfName, args.Netns), true // prevResult has that of the mesh too, if there is one
	}
	a, err := attach.Check(ctx, c.client(), r)
	if err == nil {
		err = c.checkPrev(a, args.Netns)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("checking %s/%s: %w", args.ContainerID, args.IfName, err)
	if errors.Is(err, api.ErrUnreachable) || errors.As(err, new(*api.Error)) || errors.Is(err, attach.ErrNoNamespace) {
		return cni.Coded(err)
	}
	return types.NewError(cni.CodeCheck, err.Error(), "")
}

func status(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := cni.Status(ctx, c.client(), c.Network, c.delegate == "" && !c.noIPv4()); err != nil {
		return err
	}
	if ipam := ipamOf(c, args); ipam != nil {
		return ipamStatus(ipam.status(ctx))
	}
	return nil
}

// ipamStatus gives an error the code of STATUS, unless it has one of those.
func ipamStatus(err error) error {
	var e *types.Error
	if err == nil || errors.As(err, &e) && (e.Code == types.ErrPluginNotAvailable || e.Code == types.ErrLimitedConnectivity) {
		return err
	}
	return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
}

func gc(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	valid, said, err := cni.Valid(args.StdinData)
	if err != nil || !said {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	scope := attach.Scope{Network: c.Network, CNINetwork: c.Name, Source: api.SourceCNI}
	errs := []error{attach.Collect(ctx, c.client(), scope, valid)}
	if ipam := ipamOf(c, args); ipam != nil {
		errs = append(errs, ipam.collect(ctx))
	}
	return cni.Collected(errs...)
}
