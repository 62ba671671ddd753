package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// write puts the results into benchmarks.md and benchmarks.svg.
func (r *results) write(o options, machine string) error {
	if err := os.WriteFile(filepath.Join(o.docs, "benchmarks.svg"), []byte(r.plot()), 0o644); err != nil {
		return err
	}
	return writeSection(filepath.Join(o.docs, "benchmarks.md"), benchSection, r.report(o, machine))
}

// report returns the section with everything that was measured.
func (r *results) report(o options, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s.\n%s of %v for each number, the peers taking turns; medians. In parentheses: how many times the number of %s.\n\n",
		machine, rounds(o.rounds), o.length, r.peers[0].Name)
	b.WriteString("![TCP, one stream](benchmarks.svg)\n")
	for _, c := range r.conditions {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n%s", c.Name, upper(c.Text), r.table(c))
	}
	b.WriteString("\n`core-s/Gbit`: CPU time of the daemons on both hosts while one TCP stream runs from a to b, per Gbit. UDP: what arrives\n" +
		"when a sender floods. ping: 200 a second.\n")
	if reasons := r.reasons(); len(reasons) > 0 {
		b.WriteString("\n\\* Not everything was measured:\n\n")
		for _, x := range reasons {
			fmt.Fprintf(&b, "- %s (%s): %s\n", x.Peer, strings.Join(x.Conditions, ", "), strings.Join(strings.Fields(x.Text), " "))
		}
	}
	b.WriteString("\n### What was measured\n\n" + r.peerTable())
	return b.String()
}

func (r *results) peerTable() string {
	rows := [][]string{{"", "layer", "version", "configuration"}}
	for _, p := range r.peers {
		version := p.Version
		if p.Err != nil {
			version = "–"
		}
		rows = append(rows, []string{p.Name, fmt.Sprint(p.Layer), version, p.Text})
	}
	return markdown(rows)
}

func rounds(n int) string {
	if n == 1 {
		return "One round"
	}
	return fmt.Sprintf("%d rounds", n)
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
