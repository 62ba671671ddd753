package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"meshnet/meshd/config"
	"meshnet/meshd/session"
)

func genkeyCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "genkey",
		Short: "Print a new random key",
		Long: `DESCRIPTION
  Print 256 random bits as 44 characters of base64, for --psk-file and for psk and psk_file in meshd's configuration.
  Needs no meshd.

` + footer,
		Example: `  (umask 077; meshctl genkey > home.psk)`,
		Args:    checked(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			key, err := session.NewPSK(nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, base64.StdEncoding.EncodeToString(key[:]))
			return err
		},
	}
}

func importCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Translate a configuration file of PeerVPN",
		Long: `DESCRIPTION
  Print the configuration file for meshd that is equivalent to a peervpn.conf; "-" is standard input. What has no
  equivalent stands in comments, with what replaces it; so do options that PeerVPN does not have, with a warning on
  standard error. Needs no meshd. The output holds the network's key.

` + footer,
		Example: `  (umask 077; meshctl import /etc/peervpn/peervpn.conf > /etc/meshnet/meshd.toml)`,
		Args:    checked(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			in := c.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			text, unknown, err := config.ImportPeerVPN(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if len(unknown) > 0 {
				fmt.Fprintf(c.stderr, "warning: %s: not options of PeerVPN, and only comments in the output: %s\n",
					args[0], printable(strings.Join(unknown, ", ")))
			}
			_, err = fmt.Fprint(c.stdout, text)
			return err
		},
	}
}

func versionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print meshctl's version",
		Long: `DESCRIPTION
  Print the version of meshctl. That of the meshd that runs is in meshctl status.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.stdout, "meshctl %s\n", version)
			return err
		},
	}
}

func completionCommand(c *cli) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell",
		Long: `DESCRIPTION
  Print a script that teaches a shell (` + strings.Join(shells, ", ") + `) to complete meshctl's commands, flags and networks.

` + footer,
		Example: `  meshctl completion bash > /etc/bash_completion.d/meshctl`,
		Args:    checked(cobra.MatchAll(cobra.OnlyValidArgs, cobra.ExactArgs(1))), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.stdout, true)
			case "zsh":
				return root.GenZshCompletion(c.stdout)
			case "fish":
				return root.GenFishCompletion(c.stdout, true)
			}
			return root.GenPowerShellCompletionWithDesc(c.stdout)
		},
	}
}
