package lxcconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What Enable writes stands between these lines. What it switches off gets a mark in front.
const (
	begin = "# meshnet: what follows is meshctl's (meshctl lxc disable takes it out)"
	end   = "# meshnet: end"
	off   = "#meshnet# "
)

// Mesh is how a container is to be on a network.
type Mesh struct {
	Hook    string // path of lxc-hook
	Network string
	Socket  string // of meshd; "": lxc-hook's own default
	IPv4    string // address that it is to have, or none; "": any
	Only    bool   // the container has no other interface; else those that it has stay
}

// The errors of Enable.
var (
	ErrHostNetwork = errors.New("the container shares the host's network (lxc.net.N.type = none)")
	ErrByHand      = errors.New("lxc-hook is in the configuration already, written by hand; take those lines out first")
)

// Enable returns the text of a configuration by which the container is on a network, and the name of its interface there: eth0, or
// the next one if the container has others. What an earlier Enable wrote is replaced. The error is ErrHostNetwork, ErrByHand, or says
// which of m's fields cannot be written.
func Enable(text string, m Mesh) (enabled, ifname string, err error) {
	command, err := m.command()
	if err != nil {
		return "", "", err
	}
	text, _ = Disable(text)
	if strings.Contains(uncommented(text), "lxc-hook") {
		return "", "", ErrByHand
	}
	nics := Parse(strings.NewReader(text))
	for _, n := range nics {
		if n.Kind == "none" {
			return "", "", ErrHostNetwork
		}
	}
	if m.Only {
		text = switchOff(text)
		nics = nil
	}
	ifname = freeName(nics)
	if ifname != "eth0" {
		command += " --ifname " + ifname
	}
	lines := []string{begin}
	if len(nics) == 0 {
		lines = append(lines, "lxc.net.0.type = empty") // else LXC would leave the container in the host's network
	}
	lines = append(lines, "lxc.hook.start-host = "+command, "lxc.hook.post-stop = "+command, end)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + strings.Join(lines, "\n") + "\n", ifname, nil
}

// Disable returns the text as it was before Enable, and whether there was anything to take out.
func Disable(text string) (disabled string, changed bool) {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == begin:
			inside, changed = true, true
		case inside:
			inside = trimmed != end
		default:
			rest, was := strings.CutPrefix(line, off)
			changed = changed || was
			b.WriteString(rest)
		}
	}
	return b.String(), changed
}

// command returns the hook's command line. LXC splits it at spaces, and knows no quotation marks.
func (m Mesh) command() (string, error) {
	words := []string{m.Hook, "--network", m.Network}
	if m.IPv4 != "" {
		words = append(words, "--ipv4", m.IPv4)
	}
	if m.Socket != "" {
		words = append(words, "--socket", m.Socket)
	}
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r == '#' || r == 0x7f }) {
			return "", fmt.Errorf("%q cannot stand in a line of LXC's configuration: no spaces, quotation marks or #", w)
		}
	}
	return strings.Join(words, " "), nil
}

// freeName returns the first ethN that no interface is called. LXC calls those without a name so, in their order.
func freeName(nics map[int]NIC) string {
	var indexes []int
	used := make(map[string]bool)
	for i, n := range nics {
		if n.Kind == "" || n.Kind == "empty" {
			continue
		}
		indexes = append(indexes, i)
		used[n.Name] = true
	}
	slices.Sort(indexes)
	next := func() string {
		for i := 0; ; i++ {
			if name := fmt.Sprint("eth", i); !used[name] {
				used[name] = true
				return name
			}
		}
	}
	for _, i := range indexes {
		if nics[i].Name == "" {
			next()
		}
	}
	return next()
}

// switchOff makes comments of what configures interfaces.
func switchOff(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key = strings.TrimSpace(key); key == "lxc.net" || strings.HasPrefix(key, "lxc.net.") {
			b.WriteString(off)
		}
		b.WriteString(line)
	}
	return b.String()
}

// uncommented returns the lines that are no comments.
func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
