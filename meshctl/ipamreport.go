package main

import (
	"fmt"
	"strings"

	"meshnet/meshd/api"
)

// Widths of bars, in characters.
const (
	poolBar = 64
	rowBar  = 16
)

// ipamReport prints how the addresses of networks are used.
func (c *cli) ipamReport(list []api.IPAM) error {
	if len(list) == 0 {
		fmt.Fprintln(c.stdout, "no networks")
	}
	for i, m := range list {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		for _, print := range []func(api.IPAM) error{c.registry, c.pools, c.nodes, c.blocks, c.claims, c.reservations} {
			if err := print(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// registry prints who keeps the registry, and how it is.
func (c *cli) registry(m api.IPAM) error {
	if m.Role == api.IPAMNone {
		_, err := fmt.Fprintf(c.stdout, "%s: no IPv4\n", m.Network)
		return err
	}
	fmt.Fprintf(c.stdout, "%s: %s, this host is a %s\n", m.Network, m.Engine, m.Role)
	t := newTable(c.stdout)
	if m.Error != "" {
		t.row("  error", m.Error)
	}
	if m.Refusal != "" {
		t.row("  no leases", m.Refusal)
	}
	t.row("  leader", dash(m.Leader))
	t.row("  voters", dash(strings.Join(m.Voters, " ")))
	if len(m.Copies) > 0 {
		t.row("  copies", strings.Join(m.Copies, " "))
	}
	heard := "never"
	if !m.LastContact.IsZero() {
		heard = age(c.now(), m.LastContact) + " ago"
	}
	t.row("  last contact", heard)
	if m.Registry != "" {
		t.row("  registry", fmt.Sprintf("%s, made by %s %s ago, generation %d", m.Registry, dash(m.Creator), age(c.now(), m.Created), m.Generation))
	}
	if m.DeadAfter != 0 {
		t.row("  hosts", fmt.Sprintf("stop leasing after %v of silence, and are removed", m.DeadAfter))
	}
	for _, l := range m.Lost {
		t.row("  lost", fmt.Sprintf("%s of %s/%s; detach it and attach it again", family(l.Addresses, true), l.Container, l.IfName))
	}
	return t.flush()
}

// pools prints the use of each pool.
func (c *cli) pools(m api.IPAM) error {
	for _, p := range m.Pools {
		fmt.Fprintf(c.stdout, "\n%v: %s of /%d", p.Prefix, count(p.Blocks, "block"), p.BlockBits)
		if p.Gateway.IsValid() {
			fmt.Fprintf(c.stdout, ", gateway %v", p.Gateway)
		}
		cooling := 0
		if p.Blocks > 0 {
			cooling = (p.Addresses*p.CoolingBlocks + p.Blocks - 1) / p.Blocks
		}
		fmt.Fprintf(c.stdout, "\n  %s  %s leased\n", bar(poolBar, p.Addresses, p.Leased, p.Owned-p.Leased, cooling), percent(p.Leased, p.Addresses))
		t := newTable(c.stdout)
		t.row("  leased", fmt.Sprintf("%d of %d addresses", p.Leased, p.Addresses))
		t.row("  owned", fmt.Sprintf("%s in %s", addresses(p.Owned), count(p.OwnedBlocks, "block")))
		if p.CoolingBlocks > 0 {
			t.row("  cooling", count(p.CoolingBlocks, "block"))
		}
		t.row("  free", count(p.FreeBlocks, "block"))
		if p.Reserved > 0 {
			t.row("  kept back", fmt.Sprintf("%s, reserved or excluded", addresses(p.Reserved)))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// nodes prints what each host has.
func (c *cli) nodes(m api.IPAM) error {
	if len(m.Nodes) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout)
	t.row("HOST", "STATE", "USE", "LEASED", "BLOCKS", "EPOCH", "SEEN", "ID")
	for _, n := range m.Nodes {
		state := string(n.State)
		if n.Removed {
			state = "removed"
		}
		t.row(hostName(n.Name, n.Local), dash(state), bar(rowBar, n.Addresses, n.Leased, n.Addresses-n.Leased), fmt.Sprintf("%d/%d", n.Leased, n.Addresses),
			fmt.Sprint(n.Blocks), fmt.Sprint(n.Epoch), age(c.now(), n.Refreshed), n.ID[:min(10, len(n.ID))])
	}
	return t.flush()
}

// blocks prints the blocks that are not free.
func (c *cli) blocks(m api.IPAM) error {
	if len(m.Blocks) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	local := make(map[string]bool)
	for _, n := range m.Nodes {
		local[n.ID] = n.Local
	}
	t := newTable(c.stdout)
	t.row("BLOCK", "HOST", "USE", "LEASED", "STATE")
	for _, b := range m.Blocks {
		if b.State == api.BlockCooling {
			t.row(b.Prefix.String(), hostName(b.Node, local[b.NodeID]), strings.Repeat("░", rowBar), "-", "cooling, free in "+age(b.Until, c.now()))
			continue
		}
		t.row(b.Prefix.String(), hostName(b.Node, local[b.NodeID]), bar(rowBar, b.Addresses, b.Leased, b.Addresses-b.Leased), fmt.Sprintf("%d/%d", b.Leased, b.Addresses),
			fmt.Sprintf("%s, %s", b.State, age(c.now(), b.Since)))
	}
	return t.flush()
}

// claims prints the addresses that hosts hold outside their blocks.
func (c *cli) claims(m api.IPAM) error {
	if len(m.Claims) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout)
	t.row("ADDRESS", "HOST", "CONTAINER")
	for _, a := range m.Claims {
		holder := dash(a.Attachment)
		if !a.Until.IsZero() {
			holder = "cooling, free in " + age(a.Until, c.now())
		}
		t.row(a.Address.String(), dash(a.Node), holder)
	}
	return t.flush()
}

// reservations prints what is reserved.
func (c *cli) reservations(m api.IPAM) error {
	if len(m.Reservations) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout)
	t.row("RESERVED", "COMMENT")
	for _, r := range m.Reservations {
		t.row(r.Addresses.String(), dash(r.Comment))
	}
	return t.flush()
}

// bar returns width characters that show parts of total, the rest as free. A part that is not 0 has at least one
// character, and so has the rest: a bar looks full only if it is.
func bar(width, total int, parts ...int) string {
	rest := total
	for _, p := range parts {
		rest -= max(p, 0)
	}
	parts = append(parts, max(rest, 0))
	total = 0
	for _, p := range parts {
		total += max(p, 0)
	}
	cells, used, largest := make([]int, len(parts)), 0, len(parts)-1
	for i, p := range parts {
		if p > 0 {
			cells[i] = max(1, p*width/total)
		}
		used += cells[i]
		if cells[i] > cells[largest] {
			largest = i
		}
	}
	cells[largest] += width - used // what rounding left over, or took too much
	var b strings.Builder
	for i, n := range cells {
		mark := "·"
		if i < len(cells)-1 {
			mark = []string{"█", "▒", "░"}[i]
		}
		b.WriteString(strings.Repeat(mark, n))
	}
	return b.String()
}

// percent returns n of total with one digit after the point, rounded down, and never 0 for something.
func percent(n, total int) string {
	switch {
	case total <= 0 || n <= 0:
		return "0%"
	case n >= total:
		return "100%"
	}
	tenths := max(n*1000/total, 1)
	return fmt.Sprintf("%d.%d%%", tenths/10, tenths%10)
}

func addresses(n int) string {
	if n == 1 {
		return "1 address"
	}
	return fmt.Sprintf("%d addresses", n)
}
