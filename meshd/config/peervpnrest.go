package config

import (
	"net/netip"
	"strings"

	"meshnet/meshd/token"
)

// bridge translates what concerned the TAP device.
func (p peerVPN) bridge(w *tomlWriter) {
	bridge := bridgeOf(p["upcmd"])
	if _, ok := p["interface"]; ok {
		w.note("interface %s: meshd names its TAP itself and puts it into a bridge, which containers share.", p["interface"])
	}
	if cmd, ok := p["upcmd"]; ok {
		if bridge != "" {
			w.note("upcmd %s: meshd does that.", cmd)
		} else {
			w.note("upcmd %s: meshd runs no commands; let the bridge's owner do it (ifupdown, systemd-networkd).", cmd)
		}
	}
	if bridge != "" {
		w.set("bridge", bridge)
	}
}

// bridgeOf returns the bridge into which a command puts the TAP: "brctl addif BRIDGE TAP" or "ip link set TAP master
// BRIDGE".
func bridgeOf(cmd string) string {
	words := strings.Fields(cmd)
	for i := range len(words) - 1 {
		if w := words[i]; (w == "addif" || w == "master") && token.CheckIfName(words[i+1]) == nil {
			return words[i+1]
		}
	}
	return ""
}

// addresses translates the addresses of the TAP device.
func (p peerVPN) addresses(w *tomlWriter) {
	if a, ok := p["ifconfig4"]; ok {
		w.note("ifconfig4 %s: containers get addresses from meshd. For one of the host's own, on the bridge:\n"+
			"ip address add %s dev BRIDGE", a, a)
	}
	a, ok := p["ifconfig6"]
	if !ok {
		return
	}
	prefix, err := netip.ParsePrefix(a)
	if err == nil && token.CheckIPv6(prefix.Masked()) == nil {
		w.note("ifconfig6 %s: containers get addresses in this prefix from meshd. The same on all hosts. For an address of\n"+
			"the host's own, on the bridge: ip address add %s dev BRIDGE", a, a)
		w.set("ipv6", prefix.Masked().String())
		return
	}
	w.note("ifconfig6 %s: containers get addresses from meshd. For one of the host's own, on the bridge:\n"+
		"ip address add %s dev BRIDGE", a, a)
}

// rest says what replaces the options that have no equivalent.
func (p peerVPN) rest(w *tomlWriter) {
	first := true
	for _, option := range peerVPNOptions() {
		value, ok := p[option]
		text := peerVPNReplacement(option, p.on(option, false))
		if !ok || text == "" {
			continue
		}
		if first {
			w.blank()
			w.note("Not needed, or replaced:")
		}
		first = false
		w.note("%s: %s", strings.TrimSpace(option+" "+value), text)
	}
}

// peerVPNReplacement says what replaces an option that has no equivalent in the file, or why nothing has to; "" if it has
// one. on is the value of a boolean option.
func peerVPNReplacement(option string, on bool) string {
	switch option {
	case "enabletunneling":
		if on {
			return "always so."
		}
		return "every member can carry containers; attach none here."
	case "enablerelay":
		if on {
			return "members do not relay: any two hosts need a path, so one of the two needs an open UDP port."
		}
		return "members do not relay."
	case "enablenat64clat":
		if on {
			return "give members behind NAT64 by DNS name in endpoints: DNS64 finds the way."
		}
		return "never done."
	case "enablendpcache":
		return "neighbour discovery crosses the mesh as it is; there is nothing to configure."
	case "enablevirtserv":
		return "no equivalent."
	case "engine":
		return "not needed: the CPU's AES instructions are used where both hosts have them, else ChaCha20-Poly1305."
	case "enableprivdrop", "user", "group", "chroot":
		return "the systemd unit confines meshd (CapabilityBoundingSet, ProtectSystem and others)."
	case "enableseccomp", "forceseccomp":
		return "SystemCallFilter= in a drop-in of the systemd unit."
	case "enableconsole":
		return "meshctl status, meshctl peers."
	case "echo":
		return "not needed."
	}
	return ""
}
