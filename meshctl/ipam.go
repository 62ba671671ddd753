package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// ipamCommand is the group of commands about IPv4 addresses.
func ipamCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ipam",
		Short: "Show, check and mend the IPv4 addresses of the networks",
		Long: `DESCRIPTION
  A network's IPv4 addresses come from pools. A pool is cut into blocks; each block is owned by one host, which leases its
  addresses to containers without asking anybody. The registry says which host owns which block. It is kept by some of the
  hosts (raft) or by an etcd. A host that cannot reach it goes on with the blocks that it has.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("ipam needs a command: show, check, reserve, release, recover or adopt")
		},
	}
	cmd.AddCommand(ipamShowCommand(c), ipamCheckCommand(c), reserveCommand(c), releaseCommand(c), recoverCommand(c), adoptCommand(c))
	return cmd
}

func ipamShowCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show how much of the pools is used, and by which host",
		Long: `DESCRIPTION
  Print who keeps the registry of a network, or of each network, and how its addresses are used: by pool, by host and by
  block. This is what this host knows; the registry may be a moment ahead.

  In a bar, █ is leased to containers, ▒ owned by a host and not leased, ░ cooling (its owner is gone; nobody's for a
  while), and · free. The numbers are addresses that can be leased: not those of network, broadcast and gateway, nor what
  is excluded or reserved.

  LEASED is what a host last said, which is up to 5 minutes ago; SEEN is how long ago the registry heard it. A host in
  state removed has lost its blocks, which cool. This host is marked with a '*'.

` + footer,
		Example: `  meshctl ipam show home
  meshctl ipam show --json | jq '.ipam[].pools[] | {prefix, addresses, leased}'`,
		Args: checked(cobra.MaximumNArgs(1)), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := c.client().IPAM(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(api.IPAMList{IPAM: list})
			}
			return c.ipamReport(list)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func ipamCheckCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [NAME]",
		Short: "Prove that no address is held twice",
		Long: `DESCRIPTION
  Compare the registry, the containers of all hosts and the leases of this one, in a network or in each: blocks lie in
  pools and have one owner, every address belongs to the host that leases it, no two containers have the same address.
  Print every violation. Exit with 1 if there is one, or if something could not be compared.

` + footer,
		Args: checked(cobra.MaximumNArgs(1)), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.check(cmd.Context(), optional(args))
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// check checks one network, or all if name is "".
func (c *cli) check(ctx context.Context, name string) error {
	names := []string{name}
	if name == "" {
		networks, err := c.client().Networks(ctx)
		if err != nil {
			return err
		}
		names = nil
		for _, n := range networks {
			names = append(names, n.Name)
		}
	}
	checks := []api.IPAMCheck{}
	for _, name := range names {
		result, err := c.client().IPAMCheck(ctx, name)
		if err != nil {
			return fmt.Errorf("network %s: %w", name, err)
		}
		checks = append(checks, result)
	}
	if c.json {
		if err := c.printJSON(checkList{checks}); err != nil {
			return err
		}
	} else {
		c.printChecks(checks)
	}
	return verdict(checks)
}

// checkList is what ipam check --json prints.
type checkList struct {
	Checks []api.IPAMCheck `json:"checks"`
}

// verdict returns an error if not everything is proven.
func verdict(checks []api.IPAMCheck) error {
	violations, skipped := 0, 0
	for _, c := range checks {
		violations += len(c.Violations)
		skipped += len(c.Skipped)
	}
	switch {
	case violations > 0:
		return fmt.Errorf("%s", count(violations, "violation"))
	case skipped > 0:
		return fmt.Errorf("not everything could be checked")
	}
	return nil
}

// printChecks prints what was checked, and what was found.
func (c *cli) printChecks(checks []api.IPAMCheck) {
	for _, r := range checks {
		found := "no violation"
		if len(r.Violations) > 0 {
			found = count(len(r.Violations), "violation")
		}
		fmt.Fprintf(c.stdout, "%s: %s, %s, %s, %s: %s\n", r.Network, count(r.Pools, "pool"), count(r.Nodes, "host"),
			count(r.Blocks, "block"), count(r.Leases, "lease"), found)
		for _, v := range r.Violations {
			fmt.Fprintf(c.stdout, "  %s: %s\n", printable(v.Rule), printable(v.Text))
		}
		for _, s := range r.Skipped {
			fmt.Fprintf(c.stdout, "  not checked: %s\n", printable(s))
		}
	}
}

func reserveCommand(c *cli) *cobra.Command {
	var r api.ReserveRequest
	cmd := &cobra.Command{
		Use:   "reserve ADDRESSES [NAME]",
		Short: "Keep addresses from being leased",
		Long: `DESCRIPTION
  From now on no host leases these addresses: for machines that have them already, or that are to get them by hand. A
  container that has one of them keeps it. ADDRESSES is an address, a prefix or FIRST-LAST. NAME is the network; it may be
  left out if there is only one. Reserving again changes the comment. Only root may.

` + footer,
		Example: `  meshctl ipam reserve 10.77.0.0/28 --comment 'printers'
  meshctl ipam reserve 10.77.1.10-10.77.1.19 home`,
		Args: checked(cobra.RangeArgs(1, 2)), ValidArgsFunction: c.completeSecond,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Addresses, err = token.ParseRange(args[0]); err != nil {
				return usageError{err}
			}
			if r.Network, err = c.network(cmd.Context(), args[1:]); err != nil {
				return err
			}
			done, err := c.client().Reserve(cmd.Context(), r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "reserved %v in %s\n", done.Addresses, r.Network)
			return err
		},
	}
	cmd.Flags().StringVar(&r.Comment, "comment", "", "`text` for people")
	return cmd
}

func releaseCommand(c *cli) *cobra.Command {
	var r api.ReleaseRequest
	return &cobra.Command{
		Use:   "release ADDRESSES [NAME]",
		Short: "Let reserved addresses be leased again",
		Long: `DESCRIPTION
  Undo meshctl ipam reserve, for exactly the addresses that it was given. That they are not reserved is no failure. Only
  root may.

` + footer,
		Example: `  meshctl ipam release 10.77.0.0/28`,
		Args:    checked(cobra.RangeArgs(1, 2)), ValidArgsFunction: c.completeSecond,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Addresses, err = token.ParseRange(args[0]); err != nil {
				return usageError{err}
			}
			if r.Network, err = c.network(cmd.Context(), args[1:]); err != nil {
				return err
			}
			done, err := c.client().Release(cmd.Context(), r)
			if err != nil {
				return err
			}
			what := "released %v in %s\n"
			if !done {
				what = "%v is not reserved in %s\n"
			}
			_, err = fmt.Fprintf(c.stdout, what, r.Addresses, r.Network)
			return err
		},
	}
}

// network returns the name of the network that a command is about: its argument, or the only one there is.
func (c *cli) network(ctx context.Context, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	networks, err := c.client().Networks(ctx)
	if err != nil {
		return "", err
	}
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.Name
	}
	switch len(names) {
	case 0:
		return "", fmt.Errorf("this host is in no network")
	case 1:
		return names[0], nil
	}
	return "", usagef("this host is in several networks (%s); say which", strings.Join(names, ", "))
}

// count returns a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
