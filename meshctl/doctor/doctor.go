// Package doctor says what a host can and cannot do in its networks, and what to do about it: facts in, findings out. It looks at nothing
// itself.
package doctor

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"meshnet/meshd/api"
)

// Level is how much a finding matters.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // something is worse than it could be, or will fail one day
	Fail Level = "fail" // something does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Level   Level  `json:"level"`
	Subject string `json:"subject"`          // "clock", or "network home"
	Text    string `json:"text"`             // what there is
	Remedy  string `json:"remedy,omitempty"` // what to do
}

// Facts is what is known of a host.
type Facts struct {
	Kernel  string       // release, as uname -r says it
	TUN     error        // why /dev/net/tun cannot be used
	Synced  *bool        // the clock is kept right by somebody; nil: the kernel does not say
	Addrs   []netip.Addr // of the host's interfaces
	Drops   []string     // chains of the firewall that drop what comes in and no rule accepts
	NoDrops error        // why that is not known

	Meshd  error // why meshd cannot be asked; then the rest is unknown
	Status api.Status
	Peers  []api.Peer
}

// Diagnose returns what there is to say of f, in the order in which things depend on each other.
func Diagnose(f Facts) []Finding {
	var all []Finding
	add := func(found ...Finding) { all = append(all, found...) }
	add(kernel(f), tun(f), clock(f), meshd(f))
	if f.Meshd != nil {
		return all
	}
	add(offloads(f.Status.Offloads, f.Status.Networks)...)
	add(overflow(f.Status.Counters)...)
	for _, w := range f.Status.Warnings {
		add(Finding{Warn, "meshd", w, ""})
	}
	reached := true
	for _, n := range f.Status.Networks {
		found, all := network(n, f.Peers)
		add(found...)
		reached = reached && all
	}
	if len(f.Status.Networks) == 0 {
		add(Finding{Warn, "networks", "this host is in no network", "meshctl network create NAME, or meshctl network join TOKEN"})
	}
	add(firewall(f, reached)...)
	add(nat(f))
	return all
}

// needed is the Linux without which something is missing, and what.
var needed = []struct {
	major, minor int
	what         string
}{
	{4, 18, "datagrams that are sent as one (UDP_SEGMENT)"}, {5, 0, "datagrams that are received as one (UDP_GRO)"},
	{5, 2, "a gateway (--egress nat)"}, {6, 2, "UDP that containers send uncut (USO)"},
}

func kernel(f Facts) Finding {
	major, minor, ok := release(f.Kernel)
	if !ok {
		return Finding{Warn, "kernel", "Linux " + f.Kernel + " is of an unknown version", ""}
	}
	var missing []string
	for _, n := range needed {
		if major < n.major || major == n.major && minor < n.minor {
			missing = append(missing, n.what)
		}
	}
	if len(missing) > 0 {
		return Finding{Warn, "kernel", "Linux " + f.Kernel + " has no " + strings.Join(missing, ", no "), "Linux 6.2 has all"}
	}
	return Finding{OK, "kernel", "Linux " + f.Kernel, ""}
}

// release reads "6.1.0-18-amd64".
func release(s string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(s, ".")
	second := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if len(second) == 0 {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second[0])
	return major, minor, err1 == nil && err2 == nil
}

func tun(f Facts) Finding {
	if f.TUN != nil {
		return Finding{Fail, "tun", "no TAP device can be made: " + f.TUN.Error(),
			"modprobe tun; inside a container, give it the device /dev/net/tun (char 10:200) and CAP_NET_ADMIN"}
	}
	return Finding{OK, "tun", "/dev/net/tun is there", ""}
}

func clock(f Facts) Finding {
	switch {
	case f.Synced == nil:
		return Finding{OK, "clock", "whether something keeps it right is not known", ""}
	case !*f.Synced:
		return Finding{Warn, "clock", "nothing keeps it right; hosts whose clocks differ by 10 minutes cannot talk to each other",
			"timedatectl set-ntp true, with systemd-timesyncd or chrony installed"}
	}
	return Finding{OK, "clock", "it is kept right", ""}
}

func meshd(f Facts) Finding {
	if f.Meshd != nil {
		return Finding{Fail, "meshd", f.Meshd.Error(), "systemctl start meshd; journalctl -u meshd says why it does not run"}
	}
	return Finding{OK, "meshd", fmt.Sprintf("%s on %s, UDP %s", f.Status.Version, f.Status.NodeName, join(f.Status.Listen)), ""}
}

// offloads joins those of the sockets and of all networks.
func offloads(own []api.Offload, networks []api.Network) []Finding {
	var found []Finding
	said := make(map[string]bool)
	look := func(list []api.Offload) {
		for _, o := range list {
			if !o.On && !said[o.Name] {
				said[o.Name] = true
				found = append(found, Finding{Warn, "offload " + o.Name, "it is not in use: " + o.Why, ""})
			}
		}
	}
	look(own)
	for _, n := range networks {
		look(n.Offloads)
	}
	if len(found) == 0 {
		return []Finding{{OK, "offloads", "all are in use", ""}}
	}
	return found
}

func overflow(counters map[string]uint64) []Finding {
	if n := counters["udp_receive_overflow"]; n > 0 {
		return []Finding{{Warn, "receive buffer", fmt.Sprintf("%d datagrams came while it was full, since meshd was started", n),
			"a host that is less busy; or sysctl net.core.rmem_max=4194304, if meshd runs without CAP_NET_ADMIN"}}
	}
	return nil
}

// network looks at one network, and reports whether all its hosts are reached.
func network(n api.Network, peers []api.Peer) (found []Finding, reached bool) {
	subject := "network " + n.Name
	if n.State != api.NetworkUp {
		text := "it is " + string(n.State)
		if n.Error != "" {
			text += ": " + n.Error
		}
		found = append(found, Finding{Fail, subject, text, ""})
	}
	for _, w := range n.Warnings {
		found = append(found, Finding{Warn, subject, w, ""})
	}
	var lost []string
	for _, p := range peers {
		if p.Network != n.Name {
			continue
		}
		switch {
		case p.State == api.PeerDown || p.State == api.PeerConnecting:
			lost = append(lost, p.Name)
		case p.PathCut:
			found = append(found, Finding{Warn, subject, fmt.Sprintf("packets of %d bytes to %s are cut on their way", p.PathMTU, p.Name),
				"a larger MTU on the path, or a firewall that lets \"don't fragment\" through"})
		}
	}
	about := members(n, subject, lost)
	return append(found, about), about.Level == OK
}

func members(n api.Network, subject string, lost []string) Finding {
	const ports = "UDP port 7000, or what meshd --listen says, has to be open on one of the two; systemctl status meshd there"
	switch {
	case n.Peers.Total == 0 && n.Created:
		return Finding{OK, subject, "no other host was heard of since meshd was started: maybe this one, which made it, is the only one", ""}
	case n.Peers.Total == 0:
		return Finding{Fail, subject, "no other host was heard of since meshd was started", ports + "; a default route here; meshctl network token on " +
			"a host that is on the network, and join with it, if all have other addresses now"}
	case n.Peers.Up == 0:
		return Finding{Fail, subject, fmt.Sprintf("none of its %d other hosts is reached", n.Peers.Total), ports + "; a default route here"}
	case len(lost) > 0:
		return Finding{Warn, subject, fmt.Sprintf("%d of %d other hosts are reached, not %s", n.Peers.Up, n.Peers.Total, strings.Join(lost, ", ")), ports}
	}
	return Finding{OK, subject, fmt.Sprintf("all of its %d other hosts are reached", n.Peers.Total), ""}
}

// firewall tells of chains that drop, if somebody is not reached: what their rules accept is not looked at.
func firewall(f Facts, reached bool) []Finding {
	switch {
	case f.NoDrops != nil:
		return []Finding{{OK, "firewall", "it was not looked at: " + f.NoDrops.Error(), ""}}
	case len(f.Drops) == 0:
		return []Finding{{OK, "firewall", "nftables has no chain that drops what comes in by default", ""}}
	}
	text := strings.Join(f.Drops, " and ") + " drops what no rule accepts"
	if reached {
		return []Finding{{OK, "firewall", text + "; all hosts are reached", ""}}
	}
	return []Finding{{Warn, "firewall", text, fmt.Sprintf("a rule there that accepts UDP to %s", ports(f.Status.Listen))}}
}

// nat tells whether others see this host by another address than its own.
func nat(f Facts) Finding {
	own := make(map[netip.Addr]bool)
	for _, a := range f.Addrs {
		own[a.Unmap()] = true
	}
	var seen []string
	said := make(map[netip.AddrPort]bool)
	for _, n := range f.Status.Networks {
		for _, e := range n.Endpoints {
			if !own[e.Addr().Unmap()] && !said[e] {
				said[e] = true
				seen = append(seen, e.String())
			}
		}
	}
	if len(seen) == 0 {
		return Finding{OK, "NAT", "no other address of this host is known than its own", ""}
	}
	return Finding{OK, "NAT", "others reach this host at " + strings.Join(seen, ", ") + ", which is a NAT's, or was said by --endpoint",
		"hosts that do not get through: forward that UDP port to this host"}
}

func join(listen []netip.AddrPort) string {
	var all []string
	for _, l := range listen {
		all = append(all, l.String())
	}
	return strings.Join(all, " ")
}

// ports returns the ports that meshd listens on.
func ports(listen []netip.AddrPort) string {
	var all []string
	for _, l := range listen {
		if p := fmt.Sprint("port ", l.Port()); len(all) == 0 || all[len(all)-1] != p {
			all = append(all, p)
		}
	}
	return strings.Join(all, " and ")
}
