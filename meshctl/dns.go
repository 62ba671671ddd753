package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
)

func dnsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns [NAME]",
		Short: "List the names of containers and hosts",
		Long: `DESCRIPTION
  Print the names that containers of this host can ask for in a network, or in all networks: CONTAINER.NETWORK.mesh,
  CONTAINER.HOST.NETWORK.mesh, aliases of this host's containers, and HOST.NETWORK.mesh of hosts that have addresses there.

  On a host with --egress nat the gateway answers for them. DHCP tells containers so. It asks the resolvers that
  the host's /etc/resolv.conf names about all other names.

  The containers of this host are marked with a '*'. A host itself is shown as '@', and an alias with a '~' before the
  name of its container.

` + footer,
		Args: checked(cobra.MatchAll(networkNames, cobra.MaximumNArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			zones, err := c.client().DNS(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(api.ZoneList{Zones: zones})
			}
			for i, z := range zones {
				if i > 0 {
					fmt.Fprintln(c.stdout)
				}
				if err := c.zone(z); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// zone prints the names of a network.
func (c *cli) zone(z api.Zone) error {
	fmt.Fprintf(c.stdout, "%s: %s\n", z.Network, printable(dnsState(z.DNS)))
	if len(z.Records) == 0 {
		return nil
	}
	t := newTable(c.stdout)
	t.row("NAME", "IPV4", "IPV6", "CONTAINER", "HOST")
	for rest := z.Records; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Name == rest[0].Name {
			n++
		}
		var addrs []netip.Addr
		var containers, hosts []string
		for _, r := range rest[:n] {
			addrs = append(addrs, r.Address)
			if name := recordHolder(r); !slices.Contains(containers, name) {
				containers = append(containers, name)
			}
			if host := hostName(r.Node, r.Local); !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		t.row(rest[0].Name, family(addrs, true), family(addrs, false), strings.Join(containers, " "), strings.Join(hosts, " "))
		rest = rest[n:]
	}
	return t.flush()
}

// recordHolder returns who has a name.
func recordHolder(r api.Record) string {
	switch {
	case r.Container == "":
		return "@"
	case r.Alias:
		return "~" + r.Container
	}
	return r.Container
}

// dnsState says how names are answered, or why not.
func dnsState(d api.DNS) string {
	if d.Off != "" {
		return d.Domain + " is not answered: " + d.Off
	}
	servers, resolvers := make([]string, len(d.Servers)), make([]string, len(d.Resolvers))
	for i, a := range d.Servers {
		servers[i] = a.String()
	}
	for i, a := range d.Resolvers {
		resolvers[i] = a.Addr().String()
	}
	others := "nobody is asked about other names"
	if len(resolvers) > 0 {
		others = "other names by " + strings.Join(resolvers, " ")
	}
	return fmt.Sprintf("%s at %s, %s", d.Domain, strings.Join(servers, " "), others)
}

// named says how many questions came to what.
func named(counters map[string]uint64) string {
	own := counters["dns_answered"] + counters["dns_empty"] + counters["dns_unknown"]
	if own+counters["dns_forwarded"] == 0 {
		return ""
	}
	return fmt.Sprintf("; answered %d, asked others %d", own, counters["dns_forwarded"])
}
