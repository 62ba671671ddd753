package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"meshnet/meshd/api"
)

// table aligns columns.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

// row writes one row.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// printable returns s without control characters. meshd checks what comes from other hosts; a terminal must not depend
// on that.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, s)
}

func (t table) flush() error { return t.w.Flush() }

func (c *cli) networkTable(networks []api.Network) error {
	t := newTable(c.stdout)
	t.row("NETWORK", "STATE", "BRIDGE", "PREFIX", "POOLS", "PEERS", "CONTAINERS")
	for _, n := range networks {
		t.row(n.Name, string(n.State), n.Bridge, n.IPv6.String(), dash(poolList(n)), fmt.Sprintf("%d/%d", n.Peers.Up, n.Peers.Total),
			fmt.Sprint(n.Attachments))
	}
	return t.flush()
}

func (c *cli) peerTable(peers []api.Peer) error {
	t := newTable(c.stdout)
	t.row("NETWORK", "PEER", "STATE", "PATH", "ENDPOINT", "MTU", "SESSION", "HEARD", "RX", "TX", "CONTAINERS", "ID")
	now := c.now()
	for _, p := range peers {
		t.row(p.Network, dash(p.Name), string(p.State), dash(p.Path), endpoint(p.Endpoint), pathMTU(p), age(now, p.Established),
			age(now, p.LastReceived), size(p.RXBytes), size(p.TXBytes), fmt.Sprint(p.Attachments), p.ID[:min(10, len(p.ID))])
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, p := range peers {
		for _, w := range p.Warnings {
			fmt.Fprintf(c.stdout, "warning: %s: %s\n", printable(p.Name), printable(w))
		}
	}
	return nil
}

// pathMTU returns the MTU of the path to a peer; "-" if it was not probed.
func pathMTU(p api.Peer) string {
	switch {
	case p.PathMTU == 0:
		return "-"
	case p.PathCut:
		return fmt.Sprintf("<%d", p.PathMTU)
	}
	return fmt.Sprint(p.PathMTU)
}

func (c *cli) leaseTable(leases []api.Lease) error {
	t := newTable(c.stdout)
	t.row("NETWORK", "CONTAINER", "INTERFACE", "IPV4", "IPV6", "MAC", "HOST", "STATE")
	for _, l := range leases {
		t.row(l.Network, l.Container, l.IfName, family(l.Addresses, true), family(l.Addresses, false), mac(l.MAC),
			hostName(l.Node, l.Local), string(l.State))
	}
	return t.flush()
}

// family returns the IPv4 addresses of a list, or the others; "-" if there are none.
func family(addresses []netip.Addr, v4 bool) string {
	var texts []string
	for _, a := range addresses {
		if a.Is4() == v4 {
			texts = append(texts, a.String())
		}
	}
	return dash(strings.Join(texts, " "))
}

// mac returns an address as text; "-" if it is not known: another CNI plugin's interface has it.
func mac(m api.MAC) string {
	if m == (api.MAC{}) {
		return "-"
	}
	return m.String()
}

// hostName returns a host's name, marked if it is this one.
func hostName(name string, local bool) string {
	if local {
		return dash(name) + "*"
	}
	return dash(name)
}

// age returns how long ago t was, in its two largest units; "-" if there is no t.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	s := max(int64(now.Sub(t)/time.Second), 0)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// size returns a number of bytes with three digits and a binary unit.
func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), "KMGTPE"
	i := -1
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %ciB", f, units[i])
	}
	return fmt.Sprintf("%.0f %ciB", f, units[i])
}

func endpoint(e netip.AddrPort) string {
	if !e.IsValid() {
		return "-"
	}
	return e.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
