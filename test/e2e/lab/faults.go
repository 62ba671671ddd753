package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// faults is the underlay's bad weather, as the nftables ruleset of its bridge.
func (l *Lab) faults(rules ...string) {
	l.tb.Helper()
	ruleset := "flush ruleset\ntable bridge lab {\n chain weather {\n  type filter hook forward priority 0\n  " + strings.Join(rules, "\n  ") + "\n }\n}\n"
	if r := l.try(l.underlay, ruleset, "nft", "-f", "-"); r.Code != 0 {
		l.tb.Fatalf("underlay: nft: %s", r.Stderr)
	}
}

// Singly has the hosts hand bursts to the underlay packet by packet from now on, so that each is captured, and lost or not, by itself.
func (l *Lab) Singly() {
	l.tb.Helper()
	for _, h := range l.hosts {
		l.must(h.ns, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "tx-udp-segmentation", "off")
	}
}

// BlackHole drops all IP packets of more than mtu bytes on the underlay, and says so to nobody. It calls Singly.
func (l *Lab) BlackHole(mtu int) {
	l.tb.Helper()
	l.Singly()
	l.faults(fmt.Sprintf("meta length > %d drop", mtu))
}

// Lose drops that share of all underlay packets, at random. percent is below 100. It calls Singly.
func (l *Lab) Lose(percent int) {
	l.tb.Helper()
	l.Singly()
	l.faults(fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// Partition cuts a host off from all others.
func (l *Lab) Partition(h *Host) {
	l.tb.Helper()
	l.faults(fmt.Sprintf("iifname %q drop", h.port()), fmt.Sprintf("oifname %q drop", h.port()))
}

// Apart cuts two hosts off from each other.
func (l *Lab) Apart(a, b *Host) {
	l.tb.Helper()
	l.faults(fmt.Sprintf("iifname %q oifname %q drop", a.port(), b.port()), fmt.Sprintf("iifname %q oifname %q drop", b.port(), a.port()))
}

// Heal ends BlackHole, Lose, Partition and Apart.
func (l *Lab) Heal() {
	l.tb.Helper()
	l.faults()
}

// MTU sets that of the underlay. Below 1280 it has no IPv6 any more (RFC 8200, section 5).
func (l *Lab) MTU(bytes int) {
	l.tb.Helper()
	mtu := strconv.Itoa(bytes)
	for _, h := range l.hosts {
		l.must(l.underlay, "ip", "link", "set", h.port(), "mtu", mtu)
		l.must(h.ns, "ip", "link", "set", "eth0", "mtu", mtu)
	}
	l.must(l.underlay, "ip", "link", "set", "ix", "mtu", mtu)
}
