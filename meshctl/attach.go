package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
	"meshnet/plugins/attach"
)

func attachCommand(c *cli) *cobra.Command {
	var r attach.Request
	var ip, ipv4 string
	cmd := &cobra.Command{
		Use:   "attach --netns PATH | --pid PID  --container ID [NAME]",
		Short: "Attach a container to a network",
		Long: `DESCRIPTION
  Give the network namespace of a container an interface on the overlay, with its addresses and routes. For containers of
  runtimes that call neither cni-meshnet nor lxc-hook: systemd-nspawn, plain namespaces. NAME is the network; it may be
  left out if there is only one.

  The addresses belong to (network, host, container, interface): attached again under the same names, a container has the
  same IPv6 address again, and the same IPv4 address if nobody else got it. Attaching what is attached already changes
  nothing.

  With --ip the container gets that IPv4 address, if no other container has it. One that is not in a block of this host is
  asked for in the whole network, which takes longer and needs the registry (see meshctl ipam show).

` + footer,
		Example: `  ip netns add web && meshctl attach --netns /run/netns/web --container web
  meshctl attach --pid "$(machinectl show -p Leader --value web)" --container web --ifname mesh0 home`,
		Args: checked(cobra.MatchAll(networkNames, cobra.MaximumNArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTarget(cmd, r); err != nil {
				return err
			}
			if cmd.Flags().Changed("mtu") {
				if err := token.CheckMTU(r.MTU); err != nil {
					return usageError{err}
				}
			}
			wanted, err := wantedIPv4(ip, ipv4)
			if err != nil {
				return err
			}
			r.Network, r.Source, r.IPv4 = optional(args), api.SourceManual, wanted
			a, err := add(cmd.Context(), c.client(), r)
			if err != nil {
				return fmt.Errorf("attaching %s/%s: %w", r.Container, r.IfName, err)
			}
			if c.json {
				return c.printJSON(a)
			}
			return c.attached(a)
		},
	}
	targetFlags(cmd, &r)
	cmd.Flags().StringVar(&ip, "ip", "", "IPv4 `address` for the container (default one of meshd's choice)")
	cmd.Flags().StringVar(&ipv4, "ipv4", "", "`none`: no IPv4 address for the container")
	cmd.Flags().IntVar(&r.MTU, "mtu", 0, "MTU of the interface in `bytes` (default the network's)")
	c.jsonFlag(cmd)
	return cmd
}

// wantedIPv4 returns what --ip and --ipv4 say together, as in api.AttachOptions.
func wantedIPv4(ip, ipv4 string) (string, error) {
	switch {
	case ipv4 != "" && ipv4 != api.NoIPv4:
		return "", usagef("--ipv4: %q is not %q; an address is said with --ip", ipv4, api.NoIPv4)
	case ipv4 != "" && ip != "":
		return "", usagef("--ip and --ipv4 none contradict each other")
	case ipv4 != "" || ip == "":
		return ipv4, nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Is4() {
		return "", usagef("--ip: %q is not an IPv4 address", ip)
	}
	return a.String(), nil
}

// add attaches a container, or finds that it is attached as it should be.
func add(ctx context.Context, client *api.Client, r attach.Request) (api.Attachment, error) {
	result, err := attach.Add(ctx, client, r)
	if !errors.Is(err, attach.ErrExists) {
		return result.Attachment, err
	}
	a, cerr := attach.Check(ctx, client, r)
	switch {
	case errors.Is(cerr, attach.ErrLost):
		return api.Attachment{}, cerr
	case cerr != nil:
		return api.Attachment{}, err
	}
	return a, asWanted(r, a)
}

// asWanted says whether what is attached already has the IPv4 address that is asked for.
func asWanted(r attach.Request, a api.Attachment) error {
	has := "no IPv4 address"
	for _, p := range a.Addresses {
		if p.Addr().Is4() {
			has = p.Addr().String()
		}
	}
	switch {
	case r.IPv4 == "" || r.IPv4 == has, r.IPv4 == api.NoIPv4 && has == "no IPv4 address":
		return nil
	case r.IPv4 == api.NoIPv4:
		return fmt.Errorf("%s/%s has %s and shall have none; detach it first", r.Container, r.IfName, has)
	}
	return fmt.Errorf("%s/%s has %s and shall have %s; detach it first", r.Container, r.IfName, has, r.IPv4)
}

// checkNetwork refuses to detach a container from a network that it is not in.
func checkNetwork(ctx context.Context, client *api.Client, r attach.Request) error {
	if r.Network == "" {
		return nil
	}
	if _, err := client.Network(ctx, r.Network); err != nil {
		return err
	}
	attachments, err := client.Attachments(ctx, "")
	if err != nil {
		return err
	}
	elsewhere := ""
	for _, a := range attachments {
		if a.Container != r.Container || a.IfName != r.IfName {
			continue
		}
		if a.Network == r.Network {
			return nil
		}
		elsewhere = a.Network
	}
	if elsewhere != "" {
		return fmt.Errorf("%s/%s is in network %s, not in %s", r.Container, r.IfName, elsewhere, r.Network)
	}
	return nil
}

func detachCommand(c *cli) *cobra.Command {
	var r attach.Request
	cmd := &cobra.Command{
		Use:   "detach [--netns PATH | --pid PID]  --container ID [NAME]",
		Short: "Detach a container from a network",
		Long: `DESCRIPTION
  Remove the interface that attach made, and release its addresses. That there is nothing to detach is no failure. The
  namespace may be gone already. NAME is the network; without it, whichever the container is attached to.

` + footer,
		Example: `  meshctl detach --container web`,
		Args:    checked(cobra.MatchAll(networkNames, cobra.MaximumNArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkNames(r); err != nil {
				return err
			}
			r.Network, r.Source = optional(args), api.SourceManual
			if err := checkNetwork(cmd.Context(), c.client(), r); err != nil {
				return err
			}
			others := otherInterfaces(cmd.Context(), c.client(), r)
			if err := attach.Del(cmd.Context(), c.client(), r); err != nil {
				return fmt.Errorf("detaching %s/%s: %w", r.Container, r.IfName, err)
			}
			if len(others) > 0 {
				fmt.Fprintf(c.stderr, "%s has no %s on the mesh; it has %s\n", r.Container, r.IfName, strings.Join(others, ", "))
			}
			return nil
		},
	}
	targetFlags(cmd, &r)
	return cmd
}

// otherInterfaces returns the interfaces that a container has if it lacks the one of the request. Whatever keeps meshd from
// saying so, the detach says.
func otherInterfaces(ctx context.Context, client *api.Client, r attach.Request) []string {
	attachments, _ := client.Attachments(ctx, r.Network)
	var others []string
	for _, a := range attachments {
		if a.Container != r.Container {
			continue
		}
		if a.IfName == r.IfName {
			return nil
		}
		others = append(others, a.IfName)
	}
	return others
}

// targetFlags are the flags that say which interface of which container.
func targetFlags(cmd *cobra.Command, r *attach.Request) {
	cmd.Flags().StringVar(&r.Container, "container", "", "`ID` of the container, unique on this host")
	cmd.Flags().StringVar(&r.IfName, "ifname", "eth0", "`name` of the interface inside the container")
	cmd.Flags().StringVar(&r.NetNS, "netns", "", "`path` of the container's network namespace")
	cmd.Flags().IntVar(&r.PID, "pid", 0, "ID of a `process` in the container's network namespace")
}

// checkTarget says whether the flags name a container and its network namespace.
func checkTarget(cmd *cobra.Command, r attach.Request) error {
	if r.NetNS == "" && r.PID == 0 {
		return usagef("one of --netns and --pid is needed; see %s --help", cmd.CommandPath())
	}
	return checkNames(r)
}

// checkNames says whether the flags name a container and its interface, and contradict each other nowhere.
func checkNames(r attach.Request) error {
	if r.NetNS != "" && r.PID != 0 {
		return usagef("--netns and --pid say the same; give one")
	}
	if r.PID < 0 {
		return usagef("--pid: %d is not a process ID", r.PID)
	}
	if r.Container == "" {
		return usagef("--container is needed")
	}
	if err := api.CheckContainer(r.Container); err != nil {
		return usagef("--container: %w", err)
	}
	if err := token.CheckIfName(r.IfName); err != nil {
		return usagef("--ifname: %w", err)
	}
	return nil
}

// attached prints what a container got.
func (c *cli) attached(a api.Attachment) error {
	addresses := make([]string, len(a.Addresses))
	for i, p := range a.Addresses {
		addresses[i] = p.String()
	}
	_, err := fmt.Fprintf(c.stdout, "%s/%s on %s: %s %s\n", a.Container, a.IfName, a.Network, strings.Join(addresses, " "), a.MAC)
	return err
}
