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

// Lose drops that share of all underlay packets, at random. percent is below 100. From then on the hosts hand a burst to the underlay
// packet by packet, so that each is lost or not by itself.
func (l *Lab) Lose(percent int) {
	l.tb.Helper()
	for _, h := range l.hosts {
		l.must(h.ns, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "tx-udp-segmentation", "off")
	}
	l.faults(fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// Partition cuts a host off from all others.
func (l *Lab) Partition(h *Host) {
	l.tb.Helper()
	l.faults(fmt.Sprintf("iifname %q drop", h.port()), fmt.Sprintf("oifname %q drop", h.port()))
}

// Heal ends Lose and Partition.
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
