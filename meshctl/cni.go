package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// Where runtimes look for configurations and plugins, unless they are told otherwise.
const (
	cniConfigDir = "/etc/cni/net.d"
	cniPluginDir = "/opt/cni/bin"
)

func cniCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cni",
		Short: "Set up container runtimes that use CNI",
		Long: `DESCRIPTION
  Write the configuration by which containerd, CRI-O, podman or Kubernetes put containers on a network, and install the
  plugins.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return usagef("cni needs a command: config or install") },
	}
	cmd.AddCommand(cniConfigCommand(c), cniInstallCommand(c))
	return cmd
}

// conflistFlags say what is written into a configuration.
type conflistFlags struct {
	kubernetes, podman, containerd bool

	name     string
	chain    []string
	gateways []string
	mtu      int
	dir      string
	pluginIn string // directory of the plugins
	force    bool
}

func cniConfigCommand(c *cli) *cobra.Command {
	var f conflistFlags
	cmd := &cobra.Command{
		Use:   "config NETWORK",
		Short: "Write the CNI configuration for a network",
		Long: `DESCRIPTION
  Write /etc/cni/net.d/10-NETWORK.conflist and print its path. A file that meshctl wrote is replaced; one that somebody
  else wrote, or another file for a CNI network of the same name, only with --force. Whoever reads the directory meanwhile
  finds the old file or the new one. Needs no meshd; if one runs that is not in this network, that is said.

  --containerd, the default, and --kubernetes are for runtimes of which new ones know version 1.1.0 of the specification,
  with garbage collection, and others 1.0.0; --podman says 1.0.0. Kubernetes takes the first file of the directory by
  name: if another one comes before, that is said.

  Plugins in --chain run after cni-meshnet. portmap gets the capability portMappings, bandwidth gets that of its name,
  which cni-meshnet otherwise has. tuning, sbr and firewall get no options; edit the file for those.

  Containers have a default route if this host is their way out (network create or join with --egress nat), or if --gateway names a router
  on the network.

` + footer,
		Example: `  meshctl cni config home
  meshctl cni config prod --kubernetes --chain portmap
  meshctl cni config home --podman --dir -                # to standard output`,
		Args: checked(cobra.MatchAll(networkNames, cobra.ExactArgs(1))), ValidArgsFunction: c.completeNetworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := f.conflist(args[0], c.socket)
			if err != nil {
				return err
			}
			if f.dir == "-" {
				_, err := c.stdout.Write(text)
				return err
			}
			file := conflistFile{dir: f.dir, base: "10-" + args[0] + ".conflist", network: f.networkName(args[0])}
			if err := file.check(f.force); err != nil {
				return err
			}
			if err := file.write(text); err != nil {
				return err
			}
			c.warnUnknown(cmd.Context(), args[0])
			if first := file.before(); f.kubernetes && first != "" {
				fmt.Fprintf(c.stderr, "Kubernetes will use %s, which comes before %s; remove or rename it\n", first, file.path())
			}
			_, err = fmt.Fprintln(c.stdout, file.path())
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.kubernetes, "kubernetes", false, "for Kubernetes")
	flags.BoolVar(&f.podman, "podman", false, "for podman with its CNI backend")
	flags.BoolVar(&f.containerd, "containerd", false, "for containerd, CRI-O, nerdctl, Nomad")
	flags.StringVar(&f.name, "name", "", "`name` of the CNI network (default that of the network)")
	flags.StringSliceVar(&f.chain, "chain", nil, "`plugins` to run after cni-meshnet: portmap, bandwidth, firewall, tuning, sbr")
	flags.StringSliceVar(&f.gateways, "gateway", nil, "`address` of a router for the default route; one of each family")
	flags.IntVar(&f.mtu, "mtu", 0, "MTU of the interfaces in `bytes` (default the network's)")
	flags.StringVar(&f.dir, "dir", cniConfigDir, "`directory` to write to; - is standard output")
	flags.StringVar(&f.pluginIn, "plugins", cniPluginDir, "`directory` of the plugins, to ask the chained ones for their versions")
	flags.BoolVar(&f.force, "force", false, "replace a file that meshctl did not write")
	return cmd
}

// warnUnknown says so if this host is not in the network.
func (c *cli) warnUnknown(ctx context.Context, network string) {
	networks, err := c.client().Networks(ctx)
	if err != nil || slices.ContainsFunc(networks, func(n api.Network) bool { return n.Name == network }) {
		return
	}
	fmt.Fprintf(c.stderr, "this host is not in network %s yet: until it is (meshctl network join), its containers do not start\n", network)
}

// chainable are the plugins that can run after cni-meshnet without options, with the capabilities that they get.
var chainable = map[string]string{"portmap": "portMappings", "bandwidth": "bandwidth", "firewall": "", "tuning": "", "sbr": ""}

func (f conflistFlags) networkName(network string) string {
	if f.name != "" {
		return f.name
	}
	return network
}

// plugin is one of a configuration's, with its keys in the order in which they are written.
type plugin struct {
	Type         string          `json:"type"`
	Network      string          `json:"network,omitempty"`
	Socket       string          `json:"socket,omitempty"`
	MTU          int             `json:"mtu,omitempty"`
	Gateway      []string        `json:"gateway,omitempty"`
	IsDefault    bool            `json:"isDefaultGateway,omitempty"`
	Capabilities map[string]bool `json:"capabilities,omitempty"`
}

// conflist returns the file's text.
func (f conflistFlags) conflist(network, socket string) ([]byte, error) {
	if err := f.check(network); err != nil {
		return nil, err
	}
	own := plugin{
		Type: "cni-meshnet", Network: network, MTU: f.mtu, Gateway: f.gateways, IsDefault: len(f.gateways) > 0,
		Capabilities: map[string]bool{"ips": true, "mac": true, "dns": true, "aliases": true, "bandwidth": true},
	}
	if socket != api.DefaultSocket {
		own.Socket = socket
	}
	plugins := []plugin{own}
	for _, name := range f.chain {
		next := plugin{Type: name}
		if capability := chainable[name]; capability != "" {
			next.Capabilities = map[string]bool{capability: true}
			delete(own.Capabilities, capability)
		}
		plugins = append(plugins, next)
	}
	list := struct {
		CNIVersion  string   `json:"cniVersion"`
		CNIVersions []string `json:"cniVersions,omitempty"`
		Name        string   `json:"name"`
		Plugins     []plugin `json:"plugins"`
	}{CNIVersion: "1.0.0", Name: f.networkName(network), Plugins: plugins}
	if !f.podman && knowGC(f.pluginIn, f.chain) {
		list.CNIVersions = []string{"1.0.0", "1.1.0"}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	return append(text, '\n'), err
}

// check says what of the flags cannot be.
func (f conflistFlags) check(network string) error {
	if f.kubernetes && f.podman || f.kubernetes && f.containerd || f.podman && f.containerd {
		return usagef("--kubernetes, --podman and --containerd exclude each other")
	}
	if name := f.networkName(network); !validCNIName(name) {
		return usagef("--name: %q is not the name of a CNI network: letters, digits, '_', '.' and '-', the first a letter or digit", name)
	}
	for i, name := range f.chain {
		if _, ok := chainable[name]; !ok {
			return usagef("--chain: %q is none of portmap, bandwidth, firewall, tuning and sbr; write others into the file by hand", name)
		}
		if slices.Contains(f.chain[:i], name) {
			return usagef("--chain: %s is there twice", name)
		}
	}
	if f.mtu != 0 {
		if err := token.CheckMTU(f.mtu); err != nil {
			return usageError{err}
		}
	}
	families := make(map[bool]bool)
	for _, text := range f.gateways {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
			return usagef("--gateway: %q is not an address", text)
		}
		if families[addr.Is4()] {
			return usagef("--gateway: several of one family; one of each is possible")
		}
		families[addr.Is4()] = true
	}
	if f.dir == "" || !filepath.IsAbs(f.dir) && strings.HasPrefix(f.dir, "-") && f.dir != "-" {
		return usagef("--dir: %q is not a directory", f.dir)
	}
	return nil
}

// validCNIName says whether a name can be that of a CNI network (pkg/utils of the cni module) and is not too long for meshd.
func validCNIName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || r != '_' && r != '.' && r != '-') {
			return false
		}
	}
	return name != "" && len(name) <= api.MaxCNINetwork
}
