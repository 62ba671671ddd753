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
)

// timeout limits one run. Runtimes wait minutes; who waits for a container does not.
const timeout = 30 * time.Second

func request(args *skel.CmdArgs, c *config) attach.Request {
	return attach.Request{
		Network:   c.Network,
		Container: args.ContainerID,
		IfName:    args.IfName,
		NetNS:     args.Netns,
		Source:    api.SourceCNI,
		MTU:       c.MTU,
	}
}

func add(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	if err := c.parsePrev(); err != nil {
		return err
	}
	want := request(args, c)
	if want.IPv4, err = c.requestedIPv4(args.Args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r, err := attach.Add(ctx, c.client(), want)
	if err != nil {
		return coded(fmt.Errorf("attaching %s/%s: %w", args.ContainerID, args.IfName, err))
	}
	return types.PrintResult(extend(c.prev, r, args.Netns), c.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := attach.Del(ctx, c.client(), request(args, c)); err != nil {
		return coded(fmt.Errorf("detaching %s/%s: %w", args.ContainerID, args.IfName, err))
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
		return types.NewError(types.ErrInvalidNetworkConfig, "CHECK needs the prevResult of ADD", "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r := request(args, c)
	r.MAC = c.macOf(args.IfName)
	a, err := attach.Check(ctx, c.client(), r)
	if err == nil {
		err = checkPrev(c.prev, a, args.Netns)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("checking %s/%s: %w", args.ContainerID, args.IfName, err)
	if errors.Is(err, api.ErrUnreachable) || errors.As(err, new(*api.Error)) || errors.Is(err, attach.ErrNoNamespace) {
		return coded(err)
	}
	return types.NewError(codeCheck, err.Error(), "")
}

func status(args *skel.CmdArgs) error {
	c, err := parseKnown(args.StdinData)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	networks, err := c.client().Networks(ctx)
	if err == nil {
		err = ready(networks, c.Network)
	}
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	return nil
}

// ready says whether containers can be attached to the network called name, or to the only one if name is "".
func ready(networks []api.Network, name string) error {
	if name == "" && len(networks) != 1 {
		return fmt.Errorf("the configuration names no network, and this host is a member of %s", list(networks))
	}
	for _, n := range networks {
		if n.Name != name && name != "" {
			continue
		}
		if n.State != api.NetworkUp {
			return fmt.Errorf("network %s is %s: %s", n.Name, n.State, n.Error)
		}
		return nil
	}
	return fmt.Errorf("there is no network %s; this host is a member of %s", name, list(networks))
}
