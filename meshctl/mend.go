package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

func recoverCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "recover NAME",
		Short: "Go on after most of the hosts that keep the registry are lost for good",
		Long: `DESCRIPTION
  Make this host's copy of the registry the registry of the network. For a registry kept by the hosts (raft) of whose
  voters more than half are lost for good, and only then: while they may come back, wait, because every host goes on
  leasing from the blocks that it has. Run it once, on one host whose role is voter or copy in meshctl ipam show, best the
  one with the latest contact. Only root may.

  It is safe: the registry begins a new generation, and every other host has to say which blocks it uses before it gets
  new ones, so what this copy has missed is learned, and nobody gets an address that another holds. A voter that comes
  back after all finds that it was given up, and becomes a client. It is refused while a majority answers. It says until
  when, and for whom, new blocks have to wait: an hour at least, for hosts of which this copy never heard.

` + footer,
		Example: `  meshctl ipam recover home`,
		Args:    checked(cobra.ExactArgs(1)), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.client().Recover(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			lost := "none"
			if len(r.Lost) > 0 {
				lost = strings.Join(r.Lost, " ")
			}
			fmt.Fprintf(c.stdout, "%s: this host keeps the registry now, generation %d; voters given up: %s\n", args[0], r.Generation, printable(lost))
			if !r.Until.IsZero() {
				fmt.Fprintf(c.stdout, "  no new blocks before %s; hosts go on leasing from those that they have\n", r.Until.Local().Format(time.DateTime))
			}
			if len(r.Waiting) > 0 {
				fmt.Fprintf(c.stdout, "  and not before these are heard, or removed (meshctl node remove): %s\n", printable(strings.Join(r.Waiting, " ")))
			}
			return nil
		},
	}
}

func adoptCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "adopt NAME",
		Short: "Join the older of two registries of the same network",
		Long: `DESCRIPTION
  When two hosts both created a network (the same name and key in two configuration files), each made a registry. Frames
  flow between them, but the hosts of the younger registry get no new IPv4 addresses: meshd's error names both. On each of
  those, adopt gives up the younger registry for the older. Only root may.

  The blocks of this host are given up with the registry, so its containers lose their IPv4 addresses, which the older
  registry may have given to others. They are listed: attach them again. IPv6 addresses stay. In the older registry
  already, adopt changes nothing.

` + footer,
		Example: `  meshctl ipam adopt home`,
		Args:    checked(cobra.ExactArgs(1)), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.client().Adopt(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.adopted(args[0], a)
		},
	}
}

// adopted prints what adopt did.
func (c *cli) adopted(network string, a api.Adopted) error {
	did := "is in"
	if a.Adopted {
		did = "has joined"
	}
	if _, err := fmt.Fprintf(c.stdout, "%s: this host %s registry %s of %s\n", network, did, a.Registry, printable(a.Creator)); err != nil {
		return err
	}
	for _, l := range a.Lost {
		if _, err := fmt.Fprintf(c.stdout, "  %s/%s lost %s; detach it and attach it again\n", l.Container, l.IfName, family(l.Addresses, true)); err != nil {
			return err
		}
	}
	return nil
}

// nodeCommand is the group of commands about the hosts of a network.
func nodeCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Remove hosts that are gone for good",
		Long: `DESCRIPTION
  The hosts of a network are in meshctl peers, and what they have of its IPv4 addresses in meshctl ipam show.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("node needs a command: remove") },
	}
	cmd.AddCommand(removeCommand(c))
	return cmd
}

func removeCommand(c *cli) *cobra.Command {
	var r api.RemoveNodeRequest
	cmd := &cobra.Command{
		Use:   "remove HOST [NAME]",
		Short: "Take its addresses from a host that is gone for good",
		Long: `DESCRIPTION
  Take from a host what it has of a network's IPv4 addresses: its blocks are free for others after a grace. This happens
  by itself when a host was not heard for three days. HOST is its name or identity, NAME the network, which may be left
  out if there is only one. Only root may.

  Should the host come back, it finds that it was removed, says so in its log and status, and starts with new blocks; its
  containers lose their IPv4 addresses. It is still a member. To keep it out, give the others a new network.

  A host that is up is refused but for --force.

` + footer,
		Example: `  meshctl node remove db-3`,
		Args:    checked(cobra.RangeArgs(1, 2)), ValidArgsFunction: c.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.Node = args[0]
			if err := token.CheckNodeName(r.Node); err != nil {
				return usageError{err}
			}
			if r.Network, err = c.network(cmd.Context(), args[1:]); err != nil {
				return err
			}
			done, err := c.client().RemoveNode(cmd.Context(), r)
			if err != nil {
				return err
			}
			return c.removed(r.Network, done)
		},
	}
	cmd.Flags().BoolVar(&r.Force, "force", false, "although the host is up: its containers lose their IPv4 addresses")
	return cmd
}

// removed prints what remove did.
func (c *cli) removed(network string, r api.Removed) error {
	what := "it had no blocks"
	if r.Blocks > 0 {
		what = fmt.Sprintf("%s to be free in %s", count(r.Blocks, "block"), age(r.Until, c.now()))
	}
	_, err := fmt.Fprintf(c.stdout, "removed %s from %s: %s\n", printable(r.Name), network, what)
	return err
}
