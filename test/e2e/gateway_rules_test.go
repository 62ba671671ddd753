package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// attachedTo makes a network namespace on a host and attaches it to a network.
func attachedTo(h *lab.Host, network, name string) *lab.Container {
	h.Output("ip", "netns", "add", name)
	h.Output("meshctl", "attach", "--netns", "/run/netns/"+name, "--container", name, network)
	return h.NetNS(name)
}

// unreached fails if a host or container reaches an address.
func unreached(t *testing.T, h *lab.Host, enter []string, to netip.Addr, who string) {
	t.Helper()
	family := "-4"
	if to.Is6() {
		family = "-6"
	}
	if r := h.Try(append(enter, "busybox", "ping", family, "-c", "2", "-W", "1", to.String())...); r.Code == 0 {
		t.Errorf("%s reaches %v:\n%s", who, to, h.Try("nft", "list", "ruleset").Stdout)
	}
}

// "A network is not another's way out, nor a host that of containers of other hosts, nor one's way in."
//
//	a: web, secret; way out of mesh and other ══ underlay ══ b: far, remote; no way out ══ c: a stranger with routes to the containers
//	web, far are on network mesh, secret, remote on other
func TestWhatTheGatewayLetsThrough(t *testing.T) {
	const dir = "/proc/sys/net/bridge"
	if _, err := os.Stat(dir); err != nil { // this kernel has no rules of IP for bridged frames
		letsThrough(t, "true")
		return
	}
	for _, call := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables "+call, func(t *testing.T) {
			letsThrough(t, "for t in iptables ip6tables; do echo "+call+" > "+dir+"/bridge-nf-call-$t; done")
		})
	}
}

// letsThrough tests it on a host on which a shell has run setup.
func letsThrough(t *testing.T, setup string) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	a.Output("sh", "-c", setup)
	withGateway(t, a)
	b.StartMeshd()
	b.Output("meshctl", "network", "join", "--egress", "none", a.Output("meshctl", "network", "token", "mesh"))
	a.Output("meshctl", "network", "create", "--egress", "nat", "--pool", "10.99.0.0/16", "other")
	b.Output("meshctl", "network", "join", "--egress", "none", a.Output("meshctl", "network", "token", "other"))
	meshed(t, a, b)
	web, secret := attachedTo(a, "mesh", "web"), attachedTo(a, "other", "secret")
	far, remote := attachedTo(b, "mesh", "far"), attachedTo(b, "other", "remote")

	for i, to := range []netip.Addr{c.IPv4, c.IPv6} {
		pings(t, a, web.Enter(), to.String())
		pings(t, a, secret.Enter(), to.String())
		pings(t, a, web.Enter(), []netip.Addr{far.IPv4(), far.Addr()}[i].String())
		pings(t, a, secret.Enter(), []netip.Addr{remote.IPv4(), remote.Addr()}[i].String())
	}
	for _, x := range []*lab.Container{secret, remote} {
		for _, addr := range x.Addrs() {
			unreached(t, a, web.Enter(), addr, "web of network mesh")
		}
	}
	for _, x := range []*lab.Container{web, far, secret, remote} {
		c.Try("ip", "route", "replace", netip.PrefixFrom(x.IPv4(), 16).Masked().String(), "via", a.IPv4.String())
		c.Try("ip", "-6", "route", "replace", netip.PrefixFrom(x.Addr(), 64).Masked().String(), "via", a.IPv6.String())
		for _, addr := range x.Addrs() {
			unreached(t, c, nil, addr, "a stranger")
		}
	}
	for _, own := range ownAddrs(a) {
		b.Output("ip", "-n", "far", "route", "add", "default", "via", own.String(), "dev", "eth0")
		pings(t, b, far.Enter(), own.String())
	}
	for _, to := range append([]netip.Addr{c.IPv4, c.IPv6}, remote.Addrs()...) {
		unreached(t, b, far.Enter(), to, "far, by host a, where its own host has no way out,")
	}

	// What the host publishes is reached: web answers in the host's place, one hop behind it.
	a.Output("nft", "add table ip published")
	a.Output("nft", "add chain ip published prerouting { type nat hook prerouting priority -100; }")
	a.Output("nft", "add rule ip published prerouting iifname eth0 icmp type echo-request dnat to "+web.IPv4().String())
	if r := c.Try("busybox", "ping", "-c", "3", "-W", "2", a.IPv4.String()); r.Code != 0 || !strings.Contains(r.Stdout, "ttl=63") {
		t.Errorf("a published container is not reached: %s%s", r.Stdout, r.Stderr)
	}
}

// "A source that is no container's does not leave the host."
func TestForgedSourcesStayOnTheHost(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "c")
	a, c := hosts[0], hosts[1]
	withGateway(t, a)
	web := attachedTo(a, "mesh", "web")
	pings(t, a, web.Enter(), c.IPv4.String())
	pings(t, a, web.Enter(), c.IPv6.String())
	forged := []netip.Addr{netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")}
	capture := l.Capture()
	for i, to := range []netip.Addr{c.IPv4, c.IPv6} {
		a.Output("ip", "-n", "web", "addr", "add", netip.PrefixFrom(forged[i], forged[i].BitLen()).String(), "dev", "lo")
		if r := web.Try("busybox", "ping", "-I", forged[i].String(), "-c", "2", "-W", "1", to.String()); r.Code == 0 || !strings.Contains(r.Stdout, "2 packets transmitted") {
			t.Errorf("web sends as %v: exit %d, %s%s", forged[i], r.Code, r.Stdout, r.Stderr)
		}
	}
	for _, p := range capture.Stop() {
		for _, addr := range forged {
			if sourceOf(p.Frame) == addr {
				t.Errorf("on the underlay: a packet from %v: %x", addr, p.Frame)
			}
		}
	}
}

// sourceOf returns where a frame's IP packet comes from; invalid if it is another's.
func sourceOf(frame []byte) (src netip.Addr) {
	switch {
	case len(frame) >= 34 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP:
		src, _ = netip.AddrFromSlice(frame[26:30])
	case len(frame) >= 54 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IPV6:
		src, _ = netip.AddrFromSlice(frame[22:38])
	}
	return src
}

// The rules are there again after whoever flushed or changed them, and those of an older meshd are replaced.
func TestGatewayRulesAreKept(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	withGateway(t, a)
	web := attachedTo(a, "mesh", "web")
	pings(t, a, web.Enter(), "192.0.2.2")
	table := strings.Fields(a.Output("nft", "list", "tables"))[2]
	rules := func() string { return a.Output("nft", "--stateless", "list", "table", "inet", table) }
	want := rules()
	for _, change := range []string{
		"flush table inet " + table,
		"flush chain inet " + table + " sources",
		"flush chain inet " + table + " forward",
		"insert rule inet " + table + " forward accept",
		"add chain inet " + table + " forward { policy drop; }",
		"delete chain inet " + table + " postrouting",
		"add table inet " + table + " { flags dormant; }",
		"delete table inet " + table + "; add table inet " + table,
	} {
		a.Output("nft", change)
		a.Until("the rules are as they were after "+change, func() bool { return rules() == want }, rules)
	}
	pings(t, a, web.Enter(), "192.0.2.2")

	handle := a.Output("nft", "--handle", "list", "tables")
	a.Output("ip", "route", "flush", "dev", "mesh0")
	a.Until("meshd has looked once more", func() bool { return strings.Contains(a.Output("ip", "route"), "dev mesh0") }, nil)
	if now := a.Output("nft", "--handle", "list", "tables"); now != handle {
		t.Errorf("rules that nobody changed were replaced: %s is %s now", handle, now)
	}
}

// A container that sends with the gateway's MAC does not get what its neighbours send to the gateway, and is told of.
func TestGatewayKeepsItsPlace(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	withGateway(t, a)
	web := attachedTo(a, "mesh", "web")
	pings(t, a, web.Enter(), "192.0.2.2")
	gateway, err := net.ParseMAC(strings.TrimSpace(a.Output("sh", "-c", "cat /sys/class/net/mg*/address")))
	if err != nil {
		t.Fatal(err)
	}
	thief := a.Plug("thief", "mesh0").Packets()
	arp := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, gateway...)
	arp = append(append(arp, 10, 77, 0, 1, 0, 0, 0, 0, 0, 0), 10, 77, 0, 1)
	pinging := web.Start("busybox", "ping", "-i", "0.1", "-c", "20", "-W", "1", "192.0.2.2")
	for range 20 {
		if err := errors.Join(thief.Send(ethernet(broadcast, gateway, 0x88b5, random(50))), thief.Send(ethernet(broadcast, gateway, unix.ETH_P_ARP, arp))); err != nil {
			t.Fatal(err)
		}
		f, err := thief.Next(50 * time.Millisecond)
		for ; f != nil && err == nil; f, err = thief.Next(50 * time.Millisecond) {
			if bytes.Equal(f[:6], gateway) {
				t.Fatalf("the thief gets what is for the gateway: %x", f)
			}
		}
	}
	a.Until("it is told of", func() bool {
		return strings.Contains(a.Output("meshctl", "status"), "sends with the gateway's MAC "+gateway.String())
	}, func() string { return a.Output("meshctl", "status") })
	if <-pinging.Done(); !strings.Contains(pinging.Out.String(), " 0% packet loss") {
		t.Errorf("web does not reach the outside any more:\n%s", pinging.Out.String())
	}
}
