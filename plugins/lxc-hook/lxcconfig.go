package main

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxConfig is how much of a container's configuration is read, in bytes. Real ones have a few thousand.
const maxConfig = 1 << 20

// nic is what a container's configuration says of one interface (lxc.net.N.KEY, lxc.container.conf(5)).
type nic struct {
	kind, name string       // the values of type and name
	ipv4       netip.Prefix // the first ipv4.address; the zero Prefix if there is none
}

// configuredIPv4 returns the IPv4 address in the configuration at path of the veth that LXC calls ifname, else of the only
// one to which the configuration gives no name. It returns the zero Prefix if there is none, or the file cannot be read.
// Files that are included are not. (With lxc.net.N.type = empty, LXC 5 fails on any address.)
func configuredIPv4(path, ifname string) netip.Prefix {
	f, err := os.Open(path)
	if err != nil {
		return netip.Prefix{}
	}
	defer f.Close()
	return pick(parseNICs(io.LimitReader(f, maxConfig)), ifname).ipv4
}

// pick returns the veth called ifname, or the only one without a name, or an empty nic.
func pick(nics map[int]nic, ifname string) nic {
	var found []nic
	for _, n := range nics {
		switch {
		case n.kind != "veth":
		case n.name == ifname:
			return n
		case n.name == "":
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return nic{}
	}
	return found[0]
}

// parseNICs reads lxc.net.N.type, name and ipv4.address, and passes over everything else. As for LXC, a key without a
// value takes back what was said before.
func parseNICs(r io.Reader) map[int]nic {
	nics := make(map[int]nic)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxConfig)
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		key, value = strings.TrimSpace(key), unquote(strings.TrimSpace(value))
		if ok && key == "lxc.net" && value == "" {
			clear(nics)
		}
		rest, found := strings.CutPrefix(key, "lxc.net.")
		number, name, _ := strings.Cut(rest, ".")
		index, err := strconv.Atoi(number)
		if !ok || !found || err != nil || index < 0 {
			continue
		}
		n := nics[index]
		n.set(name, value)
		nics[index] = n
	}
	return nics
}

func (n *nic) set(key, value string) {
	switch key {
	case "type":
		n.kind = value
	case "name":
		n.name = value
	case "ipv4.address":
		if value == "" {
			n.ipv4 = netip.Prefix{}
		} else if !n.ipv4.IsValid() {
			n.ipv4 = parseAddress(value)
		}
	}
}

// parseAddress reads ADDRESS[/LENGTH] [BROADCAST]. Without a length, LXC takes that of the address's class (RFC 791).
func parseAddress(value string) netip.Prefix {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return netip.Prefix{}
	}
	if p, err := netip.ParsePrefix(fields[0]); err == nil && p.Addr().Is4() {
		return p
	}
	a, err := netip.ParseAddr(fields[0])
	if err != nil || !a.Is4() {
		return netip.Prefix{}
	}
	bits := 0
	switch first := a.As4()[0]; {
	case first < 128:
		bits = 8
	case first < 192:
		bits = 16
	case first < 224:
		bits = 24
	}
	return netip.PrefixFrom(a, bits)
}

// unquote removes quotation marks around a value.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
