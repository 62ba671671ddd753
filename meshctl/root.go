package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
)

// cli is what all commands share.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time // for ages in tables
	socket         string
	json           bool
}

// newRoot returns the command with all its subcommands.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "meshctl",
		Short: "Control the networks of this host",
		Long: `DESCRIPTION
  meshctl asks the meshd of this host to create, join and leave networks, shows their state, and attaches containers to
  them. One network is one encrypted Ethernet segment; every host may be in several.

` + footer,
		Example: `  meshctl network create home                 # on the first host: prints a token
  meshctl network join --token-file token     # on every other host
  meshctl status`,
		Version:           version,
		Args:              checked(cobra.NoArgs),
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun:  c.plainDescriptions,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&c.socket, "socket", cmp.Or(os.Getenv("MESHNET_SOCKET"), api.DefaultSocket),
		"meshd's Unix `socket`")
	root.PersistentFlags().Lookup("socket").DefValue = api.DefaultSocket // help does not depend on the environment
	root.AddCommand(
		networkCommand(c), statusCommand(c), peersCommand(c), leasesCommand(c), dnsCommand(c), attachCommand(c), detachCommand(c), ipamCommand(c), nodeCommand(c),
		cniCommand(c), lxcCommand(c), doctorCommand(c),
		genkeyCommand(c), importCommand(c), versionCommand(c), completionCommand(c),
	)
	return root
}

// plainDescriptions takes the backticks, which mark a flag's value in its help, out of what the shell is told of it.
func (c *cli) plainDescriptions(cmd *cobra.Command, _ []string) {
	if cmd.Name() == cobra.ShellCompRequestCmd {
		cmd.Root().SetOut(plain{c.stdout})
	}
}

// plain writes everything but backticks.
type plain struct{ out io.Writer }

func (p plain) Write(b []byte) (int, error) {
	_, err := p.out.Write(bytes.ReplaceAll(b, []byte("`"), nil))
	return len(b), err
}

// footer ends the long help of every command.
const footer = `EXIT CODES
  0  done
  1  failed
  2  wrong usage
  3  meshd is not reachable

FILES
  /run/meshnet/meshd.sock   meshd's socket, or what $MESHNET_SOCKET or --socket says`

// client returns a client of the meshd that the flags say.
func (c *cli) client() *api.Client { return api.NewClient(c.socket) }

// jsonFlag gives a command the flag --json.
func (c *cli) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON, for programs; fields are only ever added")
}

// printJSON prints v.
func (c *cli) printJSON(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// optional returns the only argument, or "" if there is none.
func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// completeNetworks completes the first argument with the names of the networks.
func (c *cli) completeNetworks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.networkNames(cmd)
}

// completeSecond completes the second argument with the names of the networks.
func (c *cli) completeSecond(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.networkNames(cmd)
}

// completeHosts completes the first argument with the names of the other hosts, and the second with networks.
func (c *cli) completeHosts(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return c.completeSecond(cmd, args, toComplete)
	}
	peers, err := c.client().Peers(cmd.Context(), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = printable(p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// networkNames returns the networks' names, as completions.
func (c *cli) networkNames(cmd *cobra.Command) ([]string, cobra.ShellCompDirective) {
	networks, err := c.client().Networks(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
