package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// run measures all peers under all conditions, in rounds: within a round the peers take turns, so that what changes on
// the machine in the course of a run does not fall on one of them.
func (r *results) run(ctx context.Context, o options) {
	for round := range o.rounds {
		for _, c := range r.conditions {
			for _, p := range r.peers {
				if p.Err != nil {
					continue
				}
				if ctx.Err() != nil {
					return
				}
				fmt.Fprintf(os.Stderr, "round %d of %d, %s: %s ", round+1, o.rounds, c.Name, p.Name)
				err := r.turn(ctx, o, c, p)
				if err != nil && ctx.Err() == nil {
					r.fail(c, p, err)
					fmt.Fprintf(os.Stderr, " %v", err)
				}
				fmt.Fprintln(os.Stderr)
			}
		}
	}
}

// turn measures one peer once, on hosts that are made for it.
func (r *results) turn(ctx context.Context, o options, c condition, p peer) error {
	bin := o.bin
	if p.bin != "" {
		bin = p.bin
	}
	return perform(func(tb *stage) {
		s := newSite(ctx, tb, bin, c)
		p.connect(s)
		s.joined()
		for _, m := range c.Metrics {
			r.add(c, p, m, s.measure(m, o.length))
			fmt.Fprint(os.Stderr, ".")
		}
	})
}

// print shows the tables.
func (r *results) print() {
	for _, c := range r.conditions {
		fmt.Printf("\n%s: %s\n\n%s", c.Name, c.Text, r.table(c))
	}
	for _, x := range r.reasons() {
		fmt.Printf("\n* %s (%s): %s\n", x.Peer, strings.Join(x.Conditions, ", "), x.Text)
	}
}
