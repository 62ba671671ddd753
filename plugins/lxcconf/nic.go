package lxcconf

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

// NIC is what a container's configuration says of one interface (lxc.net.N.KEY, lxc.container.conf(5)).
type NIC struct {
	Kind, Name string       // the values of type and name
	IPv4       netip.Prefix // the first ipv4.address; the zero Prefix if there is none
}

// ConfiguredIPv4 returns the IPv4 address in the configuration at path of the veth that LXC calls ifname, else of the only
// one to which the configuration gives no name. It returns the zero Prefix if there is none, or the file cannot be read.
// Files that are included are not. (With lxc.net.N.type = empty, LXC 5 fails on any address.)
func ConfiguredIPv4(path, ifname string) netip.Prefix {
	f, err := os.Open(path)
	if err != nil {
		return netip.Prefix{}
	}
	defer f.Close()
	return pick(Parse(io.LimitReader(f, maxConfig)), ifname).IPv4
}

// pick returns the veth called ifname, or the only one without a name, or an empty NIC.
func pick(nics map[int]NIC, ifname string) NIC {
	var found []NIC
	for _, n := range nics {
		switch {
		case n.Kind != "veth":
		case n.Name == ifname:
			return n
		case n.Name == "":
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return NIC{}
	}
	return found[0]
}

// Parse reads lxc.net.N.type, name and ipv4.address, and passes over everything else. As for LXC, a key without a
// value takes back what was said before.
func Parse(r io.Reader) map[int]NIC {
	nics := make(map[int]NIC)
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

func (n *NIC) set(key, value string) {
	switch key {
	case "type":
		n.Kind = value
	case "name":
		n.Name = value
	case "ipv4.address":
		if value == "" {
			n.IPv4 = netip.Prefix{}
		} else if !n.IPv4.IsValid() {
			n.IPv4 = parseAddress(value)
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
