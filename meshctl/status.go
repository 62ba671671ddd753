package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
)

func statusCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show meshd and its networks",
		Long: `DESCRIPTION
  Print how meshd and each of its networks are: bridge, prefix, members, containers, traffic, and what needs attention.
  With --json there are also counters for each reason that a frame or datagram was dropped for.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(s)
			}
			return c.status(s)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func peersCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers [NAME]",
		Short: "List the other members of the networks",
		Long: `DESCRIPTION
  Print a table of the other members of a network, or of all networks.

  STATE is up (there is a session), connecting (there is none yet), down (nobody
  hears it) or left. MTU is the length in bytes of the longest IP packets that are
  known to reach the peer whole; it is looked for when long frames go there. "<"
  before it means that packets of that length are cut on their way. SESSION is
  the age of the session, HEARD how long ago the last datagram came.

` + footer,
		Args: checked(cobra.MatchAll(networkNames, cobra.MaximumNArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			peers, err := c.client().Peers(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(api.PeerList{Peers: peers})
			}
			return c.peerTable(peers)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func leasesCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "leases [NAME]",
		Short: "List the containers of all hosts",
		Long: `DESCRIPTION
  Print a table of every container interface of a network, or of all networks, on every host.

  STATE is that of the container's host, as in meshctl peers; the containers of this host are marked with a '*'.

` + footer,
		Args: checked(cobra.MatchAll(networkNames, cobra.MaximumNArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			leases, err := c.client().Leases(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(api.LeaseList{Leases: leases})
			}
			return c.leaseTable(leases)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// status prints the state for people.
func (c *cli) status(s api.Status) error {
	listen := make([]string, len(s.Listen))
	for i, l := range s.Listen {
		listen[i] = l.String()
	}
	fmt.Fprintf(c.stdout, "meshd %s on %s, started %s ago, UDP %s\n",
		s.Version, s.NodeName, age(c.now(), s.Started), strings.Join(listen, " "))
	fmt.Fprintf(c.stdout, "  offloads: %s\n", offloadList(s.Offloads))
	for _, w := range s.Warnings {
		fmt.Fprintf(c.stdout, "  warning: %s\n", printable(w))
	}
	if len(s.Networks) == 0 {
		fmt.Fprint(c.stdout, "\nno networks; meshctl network create NAME, or meshctl network join TOKEN\n")
	}
	for _, n := range s.Networks {
		fmt.Fprintln(c.stdout)
		t := c.networkSummary(n)
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// networkSummary prints what matters of a network, and returns the table for more.
func (c *cli) networkSummary(n api.Network) table {
	fmt.Fprintf(c.stdout, "%s: %s\n", n.Name, n.State)
	t := newTable(c.stdout)
	if n.Error != "" {
		t.row("  error", n.Error)
	}
	made := ""
	if n.BridgeOwned {
		made = ", made by meshd"
	}
	t.row("  bridge", fmt.Sprintf("%s, MTU %d%s", n.Bridge, n.MTU, made))
	t.row("  prefix", n.IPv6.String())
	if pools := poolList(n); pools != "" {
		t.row("  pools", fmt.Sprintf("%s, blocks by %s", pools, n.IPAM))
	}
	if n.DHCP != "" {
		t.row("  DHCP", n.DHCP+answered(n.Counters))
	}
	if n.Egress != "" {
		t.row("  egress", n.Egress)
	}
	if n.DNS.Domain != "" {
		t.row("  DNS", dnsState(n.DNS)+named(n.Counters))
	}
	if n.State == api.NetworkUp {
		t.row("  peers", peerCount(n))
		t.row("  containers", fmt.Sprintf("%d here, %d in the network", n.Attachments, n.Leases))
		t.row("  offloads", offloadList(n.Offloads))
		t.row("  traffic", fmt.Sprintf("%s in, %s out", size(n.RXBytes), size(n.TXBytes)))
	}
	for _, w := range n.Warnings {
		t.row("  warning", w)
	}
	return t
}

// answered says how many questions of containers were answered, by protocol.
func answered(counters map[string]uint64) string {
	var list []string
	for _, p := range []struct{ name, counter string }{
		{"ARP", "arp"}, {"ND", "nd"}, {"RS", "rs"}, {"DHCPv4", "dhcp4"}, {"DHCPv6", "dhcp6"},
	} {
		if n := counters["answer_"+p.counter+"_answered"]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, p.name))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; answered " + strings.Join(list, ", ")
}

// offloadList says which offloads are in use, and why the others are not.
func offloadList(offloads []api.Offload) string {
	var on, off []string
	for _, o := range offloads {
		if o.On {
			on = append(on, o.Name)
		} else {
			off = append(off, fmt.Sprintf("no %s: %s", o.Name, o.Why))
		}
	}
	text := dash(strings.Join(on, " "))
	if len(off) > 0 {
		text += " (" + strings.Join(off, "; ") + ")"
	}
	return text
}

// networkDetails prints everything about a network.
func (c *cli) networkDetails(n api.Network) error {
	endpoints := make([]string, len(n.Endpoints))
	for i, e := range n.Endpoints {
		endpoints[i] = e.String()
	}
	t := c.networkSummary(n)
	t.row("  network ID", n.ID)
	t.row("  this host", n.NodeName)
	t.row("  identity", n.NodeID)
	t.row("  created here", yesNo(n.Created))
	t.row("  TAP", n.TAP)
	t.row("  reachable at", dash(strings.Join(endpoints, " ")))
	return t.flush()
}

// peerCount says how many peers there are.
func peerCount(n api.Network) string {
	if n.Peers.Total == 0 {
		return "none yet"
	}
	return fmt.Sprintf("%d of %d up", n.Peers.Up, n.Peers.Total)
}
