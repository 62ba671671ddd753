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

// timeout limits one run.
const timeout = 30 * time.Second

// request returns what every command says of the interface.
func request(args *skel.CmdArgs, c *config) attach.Request {
	return attach.Request{
		Network: c.IPAM.Network, Container: args.ContainerID, IfName: args.IfName, NetNS: args.Netns,
		Source: api.SourceCNIIPAM, CNINetwork: c.Name,
	}
}

func add(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	if err := cni.CheckContainer(args.ContainerID); err != nil {
		return err
	}
	env, err := cni.ParseArgs(args.Args, "MAC", "GATEWAY")
	if err != nil {
		return err
	}
	r := request(args, c)
	r.IPv4, err = cni.AddressRequest{Runtime: c.RuntimeConfig.IPs, Args: c.Args.CNI.IPs, Env: env.IPs, NoIPv4: c.IPAM.none4()}.IPv4()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now().Truncate(time.Millisecond) // as api.Attachment.Created
	a, err := attach.Lease(ctx, c.client(), r)
	if err != nil {
		return cni.Coded(fmt.Errorf("leasing for %s/%s: %w", args.ContainerID, args.IfName, err))
	}
	err = answer(ctx, c, a)
	if err != nil && !a.Created.Before(began) { // nobody hears of it
		r.Network = a.Network
		return errors.Join(err, attach.Release(ctx, c.client(), r))
	}
	return err
}

// answer prints the result of ADD.
func answer(ctx context.Context, c *config, a api.Attachment) error {
	network, err := c.client().Network(ctx, a.Network)
	if err != nil {
		return cni.Coded(fmt.Errorf("asking for the gateways of network %s: %w", a.Network, err))
	}
	result, err := c.result(a, network.Pools)
	if err != nil {
		return err
	}
	return types.PrintResult(result, c.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	if api.CheckContainer(args.ContainerID) != nil {
		return nil // meshd has never taken such a container
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := attach.Release(ctx, c.client(), request(args, c)); err != nil {
		return cni.Coded(fmt.Errorf("releasing %s/%s: %w", args.ContainerID, args.IfName, err))
	}
	return nil
}

func check(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	previous, err := c.previous()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	a, err := attach.Find(ctx, c.client(), request(args, c))
	switch {
	case err == nil && a.Source != api.SourceCNIIPAM:
		err = fmt.Errorf("the addresses are held by another plugin (source %s)", a.Source)
	case err == nil && a.Lost.IsValid():
		err = fmt.Errorf("%w: %v is this host's no more and may be given to another container", attach.ErrLost, a.Lost)
	case err == nil:
		err = compare(previous, c.addresses(a))
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("checking %s/%s: %w", args.ContainerID, args.IfName, err)
	if errors.Is(err, api.ErrUnreachable) || errors.As(err, new(*api.Error)) {
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
	return cni.Status(ctx, c.client(), c.IPAM.Network, !c.IPAM.none4())
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
	scope := attach.Scope{Network: c.IPAM.Network, CNINetwork: c.Name, Source: api.SourceCNIIPAM}
	return cni.Collected(attach.Collect(ctx, c.client(), scope, valid))
}
