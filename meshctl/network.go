package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/token"
)

// networkCommand is the group of commands about membership.
func networkCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Create, join, list and leave networks",
		Long: `DESCRIPTION
  Create a network on the first host and join it on the others with the token that create prints. Only root may create,
  join, leave, and see a token.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("network needs a command: create, join, list, show, set, token or leave")
		},
	}
	cmd.AddCommand(createCommand(c), joinCommand(c), listCommand(c), showCommand(c), setCommand(c), tokenCommand(c), leaveCommand(c))
	return cmd
}

func createCommand(c *cli) *cobra.Command {
	var r api.CreateRequest
	var v4 ipv4Flags
	var ipv6, pskFile string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a network and print its token",
		Long: `DESCRIPTION
  Make a network with this host as its first member, and print its token on standard output, alone. The token is a
  secret: whoever has it can join. "meshctl network token NAME" prints it again.

  NAME is 1 to 32 of a-z, 0-9 and '-'.

  Without --psk-file the network's key is random, which is best. With it, the key is the file's 64 hexadecimal digits or
  44 characters of base64 (see meshctl genkey), or else made from the file's passphrase of 8 to 512 characters; hosts
  whose configuration file has the same name and PSK are in the same network.

  Others reach this host at the addresses of its interfaces. Behind a NAT, say with --endpoint where it forwards to.

  Containers get IPv4 addresses from pools, 10.77.0.0/16 if --pool says nothing else. A pool is cut into blocks, each
  owned by one host, which leases its addresses without asking anybody. A pool in which this host has addresses or routes
  of its own is refused but for --force. With --ipv4 none, containers get IPv6 addresses only.

  A host that is cut off goes on leasing from its blocks for 72 hours, or --dead-after, and stops then. An hour later it is
  removed, and another hour later others may have its blocks. The time cannot be changed later.

` + ipamHelp + `

` + footer,
		Example: `  (umask 077; meshctl network create home > token)
  meshctl network create home --bridge lxcbr0 --endpoint a.example.net:7000
  meshctl network create prod --pool 10.20.0.0/16 --exclude 10.20.0.0/24 --ipam etcd://192.0.2.5,192.0.2.6`,
		Args: checked(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.Name = args[0]
			if r.IPv6, err = parsePrefix(ipv6); err != nil {
				return err
			}
			if cmd.Flags().Changed("mtu") {
				if err := token.CheckMTU(r.MTU); err != nil {
					return usageError{err}
				}
			}
			if cmd.Flags().Changed("psk-file") && pskFile == "" {
				return usagef("--psk-file: the name of the file is empty")
			}
			if err := checkMember(r.Bridge, r.DHCP, r.Egress, r.Endpoints); err != nil {
				return err
			}
			if err := v4.set(c, &r); err != nil {
				return err
			}
			return c.create(cmd.Context(), r, pskFile)
		},
	}
	cmd.Flags().StringVar(&ipv6, "ipv6", "", "IPv6 `prefix` of the overlay, /48 to /64 (default a ULA made from the network's ID)")
	cmd.Flags().IntVar(&r.MTU, "mtu", 0, "MTU of the overlay in `bytes`, 1280 to 9216 (default 1500)")
	cmd.Flags().StringVar(&pskFile, "psk-file", "", "`file` with the network's key; - is standard input")
	v4.add(cmd, &r)
	memberFlags(cmd, &r.Bridge, &r.DHCP, &r.Egress, &r.Endpoints)
	return cmd
}

// create makes a network and prints its token.
func (c *cli) create(ctx context.Context, r api.CreateRequest, pskFile string) (err error) {
	if err := token.CheckName(r.Name); err != nil {
		return usageError{err}
	}
	if pskFile != "" {
		if r.PSK, err = c.secret(pskFile); err != nil {
			return fmt.Errorf("reading the PSK: %w", err)
		}
		if strings.TrimSpace(r.PSK) == "" { // meshd would make a random one
			return errors.New("reading the PSK: the PSK is empty")
		}
	}
	created, err := c.client().Create(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "network %s: bridge %s, prefix %v%s\non other hosts: meshctl network join TOKEN\n",
		created.Network.Name, created.Network.Bridge, created.Network.IPv6, andPools(created.Network))
	return c.printToken(created.Token)
}

// printToken prints a token, and says so if nobody can join with it.
func (c *cli) printToken(text string) error {
	if t, err := token.Parse(text); err == nil && len(t.Endpoints) == 0 {
		fmt.Fprintln(c.stderr, "warning: the token says no endpoint, because none of this host is known; see --endpoint")
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

func setCommand(c *cli) *cobra.Command {
	var bridge, dhcp, egress string
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change bridge, DHCP or egress of a network on this host",
		Long: `DESCRIPTION
  Change what this host said when it created or joined the network. Other hosts have their own. The network stops for a
  moment, as in a restart of meshd. Containers that are in the bridge go along into another one; what names the old bridge
  in their configuration has to be changed. A bridge that meshd made is removed.

  --bridge '' makes meshd make a bridge of its own, --dhcp '' and --egress '' are the defaults.

` + footer,
		Example: `  meshctl network set home --bridge br0 --dhcp open
  meshctl network set home --egress nat`,
		Args: checked(cobra.MatchAll(networkNames, cobra.ExactArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkMember(bridge, dhcp, egress, nil); err != nil {
				return err
			}
			r := api.UpdateRequest{Network: args[0]}
			for name, set := range map[string]**string{"bridge": &r.Bridge, "dhcp": &r.DHCP, "egress": &r.Egress} {
				if f := cmd.Flags().Lookup(name); f.Changed {
					text := f.Value.String()
					*set = &text
				}
			}
			if r == (api.UpdateRequest{Network: args[0]}) {
				return usagef("say what to change: --bridge, --dhcp or --egress")
			}
			n, err := c.client().Update(cmd.Context(), r)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s: bridge %s, dhcp %s, egress %s\n", n.Name, n.Bridge, n.DHCP, n.Egress)
			return nil
		},
	}
	wiringFlags(cmd, &bridge, &dhcp, &egress)
	return cmd
}

// memberFlags are the flags about this host as a member.
func memberFlags(cmd *cobra.Command, bridge, dhcp, egress *string, endpoints *[]string) {
	wiringFlags(cmd, bridge, dhcp, egress)
	cmd.Flags().StringArrayVar(endpoints, "endpoint", nil, "`host:port` at which others reach this host; repeatable, at most 8")
}

// wiringFlags are those of them that can be changed later.
func wiringFlags(cmd *cobra.Command, bridge, dhcp, egress *string) {
	cmd.Flags().StringVar(bridge, "bridge", "", "put containers into bridge `ifname`; one that exists is used as it is\n"+
		"(default mesh0, mesh1, …, made by meshd)")
	cmd.Flags().StringVar(dhcp, "dhcp", "", "`whom` to answer DHCP: open, every container; closed, attached ones; off, nobody\n"+
		"(default open in a bridge that meshd makes, else off)")
	cmd.Flags().StringVar(egress, "egress", "", "`how` containers reach what is outside: nat, through this host, which serves them DNS, too; none (the default)")
}

// checkMember says whether the flags of memberFlags are good.
func checkMember(bridge, dhcp, egress string, endpoints []string) error {
	if err := token.CheckDHCP(dhcp); err != nil {
		return usagef("--dhcp: %w", err)
	}
	if err := token.CheckEgress(egress); err != nil {
		return usagef("--egress: %w", err)
	}
	if bridge != "" {
		if err := token.CheckIfName(bridge); err != nil {
			return usagef("--bridge: %w", err)
		}
	}
	return checkEndpoints(endpoints)
}

// checkEndpoints says whether what --endpoint says is good.
func checkEndpoints(endpoints []string) error {
	if err := token.CheckEndpoints(endpoints); err != nil {
		return usagef("--endpoint: %w", err)
	}
	return nil
}

// parsePrefix reads --ipv6.
func parsePrefix(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, usagef("--ipv6: %q is not a prefix such as fd12:3456:789a::/48", s)
	}
	if err := token.CheckIPv6(p); err != nil {
		return p, usagef("--ipv6: %w", err)
	}
	return p, nil
}

// secret reads a key or token from a file, or from standard input if path is "-".
func (c *cli) secret(path string) (string, error) {
	if path != "-" {
		b, err := config.ReadSecret(path)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(c.stdin, api.MaxBody))
	return string(b), err
}

func joinCommand(c *cli) *cobra.Command {
	var r api.JoinRequest
	var etcd etcdFlags
	var file string
	cmd := &cobra.Command{
		Use:   "join TOKEN | --token-file FILE",
		Short: "Join a network",
		Long: `DESCRIPTION
  Make this host a member of the network whose token it is. join waits until a member answers, and changes nothing if
  none does within 15 seconds. Joining a network again changes nothing.

  A token is a secret, and other users of this host can see the arguments of a running command. Where that matters, use
  --token-file.

  The token says whether the network keeps its IPv4 addresses in an etcd, and where, but not what lets a host in there:
  user and password, or certificates, are said with --ipam or --ipam-file, as for meshctl network create.

` + footer,
		Example: `  meshctl network join --token-file token
  ssh a.example.net meshctl network token home | meshctl network join --token-file -
  meshctl network join meshnet1_AQRob21l…`,
		Args: checked(oneToken),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (file != "") {
				return usagef("give either TOKEN or --token-file")
			}
			if err := checkMember(r.Bridge, r.DHCP, r.Egress, r.Endpoints); err != nil {
				return err
			}
			r.Token = optional(args)
			ipam, err := etcd.url(c)
			if err != nil {
				return err
			}
			r.IPAM = ipam
			return c.join(cmd.Context(), r, file)
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "`file` with the token, which others must not be able to read; - is standard input")
	cmd.Flags().BoolVar(&r.NoWait, "no-wait", false, "join even if no member answers now; meshd goes on calling them")
	etcd.add(cmd)
	cmd.Flags().BoolVar(&r.Force, "force", false, forceUsage)
	memberFlags(cmd, &r.Bridge, &r.DHCP, &r.Egress, &r.Endpoints)
	return cmd
}

// oneToken is the check of join's arguments. It does not show them.
func oneToken(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("a token is one argument; put it in quotes, or use --token-file")
	}
	return nil
}

// join joins the network whose token r holds, or file if that is not "".
func (c *cli) join(ctx context.Context, r api.JoinRequest, file string) (err error) {
	if file != "" {
		if r.Token, err = c.secret(file); err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		if strings.TrimSpace(r.Token) == "" {
			return errors.New("reading the token: the token file is empty")
		}
	}
	r.Token = strings.TrimSpace(r.Token)
	t, err := token.Parse(r.Token)
	if err != nil {
		return err
	}
	before, err := c.client().Network(ctx, t.Name)
	done := "joined"
	if err == nil && before.ID == hex.EncodeToString(t.NetworkID[:]) {
		done = "already a member of"
	}
	n, err := c.client().Join(ctx, r)
	if err != nil {
		return err
	}
	peers := "no peer yet"
	if n.Peers.Total > 0 {
		peers = "peers " + peerCount(n)
	}
	_, err = fmt.Fprintf(c.stdout, "%s %s: bridge %s, prefix %v%s, %s\n", done, n.Name, n.Bridge, n.IPv6, andPools(n), peers)
	return err
}

func listCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the networks of this host",
		Long: `DESCRIPTION
  Print a table of the networks that this host is a member of.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			networks, err := c.client().Networks(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(api.NetworkList{Networks: networks})
			}
			return c.networkTable(networks)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func showCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one network",
		Long: `DESCRIPTION
  Print all that meshd knows of a network, but for its members (meshctl peers) and containers (meshctl leases).

` + footer,
		Args:              checked(cobra.MatchAll(networkNames, cobra.ExactArgs(1))),
		ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := c.client().Network(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(n)
			}
			return c.networkDetails(n)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func tokenCommand(c *cli) *cobra.Command {
	var endpoints []string
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Print a network's token",
		Long: `DESCRIPTION
  Print a token of the network on standard output, for a host that shall join. It carries endpoints at which members can
  be reached now, this host first, or those that --endpoint says. It is a secret.

` + footer,
		Example: `  meshctl network token home | ssh b.example.net meshctl network join --token-file -`,
		Args:    checked(cobra.MatchAll(networkNames, cobra.ExactArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkEndpoints(endpoints); err != nil {
				return err
			}
			text, err := c.client().Token(cmd.Context(), args[0], endpoints...)
			if err != nil {
				return err
			}
			return c.printToken(text)
		},
	}
	cmd.Flags().StringArrayVar(&endpoints, "endpoint", nil, "`host:port` of a member, to be in the token; repeatable, at most 8")
	return cmd
}

func leaveCommand(c *cli) *cobra.Command {
	var force bool
	var cniDir string
	cmd := &cobra.Command{
		Use:   "leave NAME",
		Short: "Leave a network",
		Long: `DESCRIPTION
  Tell the other members, take down the network on this host, and forget its keys and leases. Its containers lose the
  network. A bridge that meshd made is removed. To come back, join again: this host is then a new member.

  A host that keeps the registry of IPv4 blocks first hands its part over to the others: with all of them up within a
  second or two, in 20 seconds at most. It is refused if they cannot take over because too few of them are up, and would
  get no more blocks. Bring them up (meshctl ipam show), or say --force and then recover the registry on another host
  (meshctl ipam recover).

  CNI configurations for the network stay; which these are is printed.

` + footer,
		Args: checked(cobra.MatchAll(networkNames, cobra.ExactArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.client().Leave(cmd.Context(), args[0], force); err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "left %s\n", args[0])
			for _, file := range conflistsFor(cniDir, args[0]) {
				fmt.Fprintf(c.stderr, "%s puts containers on %s: they do not start any more; remove it\n", file, args[0])
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "leave even if the registry of IPv4 blocks loses its majority")
	cmd.Flags().StringVar(&cniDir, "cni-dir", cniConfigDir, "`directory` of the CNI configurations")
	return cmd
}
