package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"meshnet/meshctl/doctor"
)

func doctorCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what this host can and cannot do, and what helps",
		Long: `DESCRIPTION
  Look at the kernel, the clock, the firewall, meshd, its offloads and networks, the other hosts and what lies between, and print a line for
  each: ok; warn, if something is worse than it could be; FAIL, if something does not work. What helps is in a line of its own. Nothing is
  changed, and nothing is sent. As root it also looks at the chains of nftables; what the rules in them accept it does not.

  The exit code is 1 if something is FAIL.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := hostFacts()
			client := c.client()
			if f.Status, f.Meshd = client.Status(cmd.Context()); f.Meshd == nil {
				f.Peers, f.Meshd = client.Peers(cmd.Context(), "")
			}
			return c.printFindings(doctor.Diagnose(f))
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// printFindings prints what was found. The error says that something does not work.
func (c *cli) printFindings(found []doctor.Finding) error {
	failed := 0
	for _, f := range found {
		if f.Level == doctor.Fail {
			failed++
		}
	}
	if c.json {
		if err := c.printJSON(struct {
			Findings []doctor.Finding `json:"findings"`
		}{found}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			level := map[doctor.Level]string{doctor.OK: "ok  ", doctor.Warn: "warn", doctor.Fail: "FAIL"}[f.Level]
			fmt.Fprintf(c.stdout, "%s  %s: %s\n", level, printable(f.Subject), printable(f.Text))
			if f.Remedy != "" {
				fmt.Fprintf(c.stdout, "      → %s\n", printable(f.Remedy))
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d things do not work", failed, len(found))
	}
	return nil
}
