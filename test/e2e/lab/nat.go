package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
)

// NAT is a kind of router between a host and the underlay, by RFC 3489's names; it speaks IPv4 only.
type NAT string

// The kinds of NAT, as Linux does them. All but Symmetric have one port for all destinations.
const (
	FullCone          NAT = "full cone"          // lets everybody in
	AddressRestricted NAT = "address-restricted" // lets in from what addresses something was sent to
	PortRestricted    NAT = "port-restricted"    // lets in what was asked for
	Symmetric         NAT = "symmetric"          // the same, and has another port for each destination
)

// rules returns the nftables ruleset of a router before the host with an address: what is for nobody leaves no trace in its tables.
func (n NAT) rules(host netip.Addr) string {
	source, in, out, pass := "masquerade", "", "accept", ""
	switch n {
	case FullCone:
		in, pass = "meta l4proto udp dnat to "+host.String(), "accept"
	case AddressRestricted:
		in, pass = "meta l4proto udp dnat to "+host.String(), "ip daddr . udp dport . ip saddr @asked accept"
		out = "meta l4proto udp update @asked { ip saddr . udp sport . ip daddr } accept"
	case Symmetric:
		source = "masquerade fully-random"
	}
	return fmt.Sprintf(`flush ruleset
table ip nat {
 set asked {
  type ipv4_addr . inet_service . ipv4_addr
  flags dynamic,timeout
  timeout 60s
 }
 chain pre {
  type nat hook prerouting priority dstnat
  iifname "out" %s
 }
 chain post {
  type nat hook postrouting priority srcnat
  oifname "out" %s
 }
 chain through {
  type filter hook forward priority 0; policy drop
  iifname "in" %s
  ct state established,related accept
  iifname "out" %s
 }
 chain here {
  type filter hook input priority 0
  iifname "out" drop
 }
}
`, in, source, out, pass)
}

// HostBehind boots a host behind a router of its own. The router has the address on the underlay that the host would have, and the
// host 10.9.n.2.
func (l *Lab) HostBehind(kind NAT, name string) *Host {
	l.tb.Helper()
	return l.host(name, true, kind)
}

// bootBehind plugs eth0 of the n-th host into a router and that into the underlay.
func (h *Host) bootBehind(n byte) {
	l := h.lab
	l.tb.Helper()
	external := netip.AddrFrom4([4]byte{192, 0, 2, n})
	h.IPv4 = netip.AddrFrom4([4]byte{10, 9, n, 2})
	h.router = l.namespace("nat-"+h.Name, "")
	plug(l, l.underlay, h.port(), h.router, "out")
	l.must(l.underlay, "ip", "link", "set", h.port(), "master", "ix", "up")
	plug(l, h.router, "in", h.ns, "eth0")
	for _, command := range [][]string{
		{"ip", "addr", "add", external.String() + "/24", "dev", "out"},
		{"ip", "addr", "add", fmt.Sprintf("10.9.%d.1/24", n), "dev", "in"},
		{"ip", "link", "set", "out", "up"},
		{"ip", "link", "set", "in", "up"},
		{"sysctl", "-qw", "net.ipv4.ip_forward=1"},
	} {
		l.must(h.router, command...)
	}
	l.must(h.ns, "ip", "addr", "add", h.IPv4.String()+"/24", "dev", "eth0")
	l.must(h.ns, "ip", "link", "set", "eth0", "up")
	l.must(h.ns, "ip", "route", "add", "default", "via", fmt.Sprintf("10.9.%d.1", n))
	if r := l.try(h.router, h.nat.rules(h.IPv4), "nft", "-f", "-"); r.Code != 0 {
		l.tb.Fatalf("%s: nft: %s", h.router.name, r.Stderr)
	}
}

// plug makes a cable between two machines.
func plug(l *Lab, a *namespace, port string, b *namespace, peer string, more ...string) {
	l.tb.Helper()
	args := append([]string{"link", "add", port, "type", "veth", "peer", "name", peer}, more...)
	cable := exec.Command("ip", append(args, "netns", strconv.Itoa(b.holder.Process.Pid))...)
	var out []byte
	err := a.do(network, func() (err error) { // not in its pid namespace: there, the other's pid is unknown
		out, err = cable.CombinedOutput()
		return err
	})
	if err != nil {
		l.tb.Fatalf("plugging %s into %s: %v: %s", b.name, a.name, err, out)
	}
}
