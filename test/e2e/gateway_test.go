package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// withGateway starts meshd on the hosts and makes a network of them in which containers get out by their hosts.
func withGateway(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.StartMeshd()
	}
	token := hosts[0].Output("meshctl", "network", "create", "--egress", "nat", "mesh")
	for _, h := range hosts[1:] {
		h.Output("meshctl", "network", "join", "--egress", "nat", token)
	}
	meshed(t, hosts...)
	for _, h := range hosts {
		h.Until("its own addresses", func() bool { return len(ownAddrs(h)) == 2 }, func() string { return h.Output("meshctl", "status") })
	}
}

// ownAddrs returns the addresses of a host in the network.
func ownAddrs(h *lab.Host) []netip.Addr {
	for _, l := range leases(h) {
		if l.Container == "@"+h.Name && len(l.Addresses) == 2 && strings.Contains(h.Output("ip", "addr", "show", "dev", "mesh0"), l.Addresses[1].String()+"/") {
			return l.Addresses
		}
	}
	return nil
}

// pings fails unless a host or container reaches an address within some seconds.
func pings(t *testing.T, h *lab.Host, enter []string, to string) {
	t.Helper()
	family := "-4"
	if strings.Contains(to, ":") {
		family = "-6"
	}
	var said string
	h.Until(fmt.Sprintf("%v reaches %s", enter, to), func() bool {
		r := h.Try(append(enter, "busybox", "ping", family, "-c", "1", "-W", "1", to)...)
		said = r.Stdout + r.Stderr
		return r.Code == 0
	}, func() string {
		return said + h.Try("sh", "-c", "ip addr; ip route; ip -6 route; nft list ruleset; bridge fdb; ip neigh").Stdout
	})
}

// "Containers reach the internet through their own host (NAT), and hosts and containers reach each other", whatever host they are on.
//
//	a: web, machine with DHCP ══ underlay ══ b: db ══ c: no meshnet, and no route to any container
func TestGateway(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	withGateway(t, a, b)
	b.WriteCNI("mesh", "1.0.0", "")
	web, db := a.LXC(lab.LXC{Name: "web"}), b.CNI("mesh", "db")
	web.Reaches(db, waitMesh)
	writeScripts(a)
	machine := a.Plug("machine", "mesh0")
	gets(t, dhcpClients()[2], machine, func(got []netip.Addr) bool { return len(got) == 2 }, "addresses of its own")

	for _, to := range []netip.Addr{c.IPv4, c.IPv6} {
		pings(t, a, web.Enter(), to.String())
		pings(t, b, db.Enter(), to.String())
		pings(t, a, machine.Enter(), to.String())
	}
	if n := status(b).Networks[0]; n.Attachments != 1 || n.Leases != 3 {
		t.Errorf("b has %d containers of %d, want 1 of 3: web, machine and db", n.Attachments, n.Leases)
	}
	for _, e := range status(a).Networks[0].Endpoints {
		if e.Addr() != a.IPv4 && e.Addr() != a.IPv6 {
			t.Errorf("endpoint %v of a is none of the underlay", e)
		}
	}
	prefix := netip.PrefixFrom(web.Addr(), 64).Masked()
	gateways := []string{"10.77.0.1", prefix.Addr().Next().String()}
	for i, h := range []*lab.Host{a, b} {
		other, local, remote := []*lab.Host{b, a}[i], []*lab.Container{web, db}[i], []*lab.Container{db, web}[i]
		for _, g := range gateways {
			pings(t, h, local.Enter(), g)
		}
		for _, addr := range ownAddrs(h) {
			pings(t, h, local.Enter(), addr.String())
			pings(t, other, remote.Enter(), addr.String())
			pings(t, other, nil, addr.String())
		}
		for _, addr := range append(local.Addrs(), remote.Addrs()...) {
			pings(t, h, nil, addr.String())
		}
	}
}

// A DHCP client renews, and releases, at the gateway's own address.
func TestRenewalAtTheGateway(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	withGateway(t, a)
	writeScripts(a)
	m := a.Plug("m", "mesh0")
	p := m.Start("busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/run/udhcpc-script", "-R")
	obtained := func(n int) func() bool {
		return func() bool { return strings.Count(p.Out.String()+p.Err.String(), "obtained") >= n }
	}
	said := func() string { return p.Out.String() + p.Err.String() }
	a.Until("a lease", obtained(1), said)
	a.Until("it is listed", func() bool { return len(leasedTo(a, m)) == 2 }, said)
	p.Signal(unix.SIGUSR1) // renew, which udhcpc does at the server's address first
	a.Until("it is renewed", obtained(2), said)
	p.Signal(unix.SIGTERM)
	a.Until("it is released", func() bool { return leasedTo(a, m) == nil }, said)
	if n := status(a).Networks[0].Counters["answer_dhcp4_noted"]; n != 1 {
		t.Errorf("releases = %d, want 1", n)
	}
}

// A lease is released by the MAC that has it, whatever a packet to the gateway says.
func TestReleaseOfAnothersLease(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	withGateway(t, a)
	machine := a.Plug("m", "mesh0")
	m, thief := machine.Packets(), a.Plug("thief", "mesh0").Packets()
	if err := m.Send(discover(m.MAC)); err != nil {
		t.Fatal(err)
	}
	var held []netip.Addr
	a.Until("a lease", func() bool { held = leasedTo(a, machine); return len(held) == 2 }, nil)
	gateway, err := net.ParseMAC(strings.TrimSpace(a.Output("sh", "-c", "cat /sys/class/net/mg*/address")))
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddr("10.77.0.1")
	release, err := dhcpv4.New(dhcpv4.WithHwAddr(m.MAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease), dhcpv4.WithClientIP(held[0].AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())))
	if err != nil {
		t.Fatal(err)
	}
	a.Until("meshd hears the gateway", func() bool { // the thief tries until it is heard
		if err := thief.Send(dhcpFrame(gateway, thief.MAC, held[0], server, release)); err != nil {
			t.Fatal(err)
		}
		return status(a).Networks[0].Counters["answer_dhcp4_invalid"] > 0
	}, nil)
	if got := leasedTo(a, machine); !slices.Equal(got, held) {
		t.Errorf("after another's release the machine has %v, want %v", got, held)
	}
	if err := m.Send(dhcpFrame(gateway, m.MAC, held[0], server, release)); err != nil {
		t.Fatal(err)
	}
	a.Until("it is released", func() bool {
		return leasedTo(a, machine) == nil && status(a).Networks[0].Counters["answer_dhcp4_noted"] == 1
	}, func() string { return fmt.Sprint(status(a).Networks[0].Counters) })
}

// The gateway is there again after whoever flushed it, survives meshd, and goes with the network, with all that was made for it.
func TestGatewayIsKeptAndRemoved(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	c := netip.MustParseAddr("192.0.2.2")
	state := func() string {
		links := a.Output("sh", "-c", "ip -o link | cut -d: -f2 | cut -d@ -f1 | sort")
		return links + "\n" + a.Output("ip", "route") + "\n" + a.Output("ip", "-6", "route") + "\n" + a.Output("nft", "list", "tables")
	}
	before := state()
	withGateway(t, a)
	web := a.LXC(lab.LXC{Name: "web"})
	pings(t, a, web.Enter(), c.String())

	device := strings.TrimSpace(a.Output("sh", "-c", "ip -o link show type veth | cut -d: -f2 | cut -d@ -f1 | grep mg"))
	a.Output("ip", "link", "del", device)
	a.Output("nft", "flush", "ruleset")
	a.Output("ip", "route", "flush", "dev", "mesh0")
	pings(t, a, web.Enter(), c.String())

	a.Meshd().Kill9()
	pings(t, a, web.Enter(), c.String())
	a.StartMeshd()
	pings(t, a, web.Enter(), c.String())

	// What was the host's own address once, and is not any more, goes; what people give the bridge stays.
	a.Output("ip", "addr", "add", "10.77.9.9/32", "dev", "mesh0")
	a.Output("ip", "addr", "add", "10.77.9.8/16", "dev", "mesh0")
	a.Until("a former address has gone", func() bool { return !strings.Contains(a.Output("ip", "addr"), "10.77.9.9/") }, nil)
	if !strings.Contains(a.Output("ip", "addr"), "10.77.9.8/16") {
		t.Error("an address that somebody gave the bridge has gone")
	}

	a.StopLXC("web")
	a.Output("meshctl", "network", "leave", "mesh")
	a.Until("everything is as before", func() bool { return state() == before }, func() string { return fmt.Sprintf("before\n%s\nnow\n%s", before, state()) })
}

// The configuration file takes the gateway back, and leaves the network as it is.
func TestGatewayByConfigurationFile(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	file := func(egress string) {
		a.Write("/run/meshd.toml", "[[network]]\nname = \"mesh\"\npsk = \"twelve little words\"\ncreate = true\negress = \""+egress+"\"\n")
	}
	file("nat")
	d := a.StartMeshd("--config", "/run/meshd.toml")
	web := a.LXC(lab.LXC{Name: "web"})
	want := web.Addrs()
	pings(t, a, web.Enter(), "192.0.2.2")
	d.Stop()
	file("none")
	d = a.StartMeshd("--config", "/run/meshd.toml")
	a.Until("no gateway", func() bool { return !hasGateway(a) }, func() string { return a.Output("ip", "addr") + a.Output("nft", "list", "ruleset") })
	if _, err := web.Ping(netip.MustParseAddr("192.0.2.2"), 56); err == nil {
		t.Error("the container still gets out")
	}
	if got := leases(a); len(got) != 1 || fmt.Sprint(web.Addrs()) != fmt.Sprint(want) {
		t.Errorf("leases %v, addresses %v, want those of web, %v", got, web.Addrs(), want)
	}

	// Somebody asks for addresses with the MAC of the host's bridge, before that is the gateway's host.
	mac, err := net.ParseMAC(a.Output("cat", "/sys/class/net/mesh0/address"))
	if err != nil {
		t.Fatal(err)
	}
	thief := a.Plug("thief", "mesh0").Packets()
	a.Until("meshd has heard of it", func() bool {
		if err := thief.Send(discover(mac)); err != nil {
			t.Fatal(err)
		}
		return status(a).Networks[0].Counters["answer_dhcp4_waiting"] > 0
	}, func() string { return fmt.Sprint(status(a).Networks[0].Counters) })
	d.Stop()
	file("nat")
	d = a.StartMeshd("--config", "/run/meshd.toml")
	pings(t, a, web.Enter(), "192.0.2.2")
	a.Until("the host has its own addresses all the same", func() bool { return len(ownAddrs(a)) == 2 }, func() string { return a.Output("meshctl", "status") })

	// What there is in the kernel goes, even if the host's lease is lost.
	d.Stop()
	a.Output("rm", "-r", "/var/lib/meshnet/networks/mesh/leases")
	file("none")
	a.StartMeshd("--config", "/run/meshd.toml")
	a.Until("no gateway", func() bool { return !hasGateway(a) }, func() string { return a.Output("ip", "addr") + a.Output("nft", "list", "ruleset") })
}

// hasGateway reports whether there is anything of a gateway on a host.
func hasGateway(h *lab.Host) bool {
	links, addrs, routes := h.Output("ip", "-o", "link"), h.Output("ip", "-o", "addr", "show", "dev", "mesh0"), h.Output("ip", "route")
	return strings.Contains(links, "mg") || addrs != "" || strings.Contains(routes, "mesh0") || ownAddrs(h) != nil || h.Output("nft", "list", "tables") != ""
}

// discover returns a DHCPDISCOVER.
func discover(mac net.HardwareAddr) []byte {
	m, err := dhcpv4.New(dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))
	if err != nil {
		panic(err)
	}
	return dhcpFrame(broadcast, mac, netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), m)
}

// dhcpFrame returns the frame in which a DHCP client sends m.
func dhcpFrame(dst, src []byte, from, to netip.Addr, m *dhcpv4.DHCPv4) []byte {
	u := udp(from, to, m.ToBytes())
	binary.BigEndian.PutUint16(u, 68)
	binary.BigEndian.PutUint16(u[2:], 67)
	u[6], u[7] = 0, 0 // no checksum (RFC 768)
	return ethernet(dst, src, unix.ETH_P_IP, ipv4(from, to, unix.IPPROTO_UDP, 0, u))
}

// What a host's own rules keep from being forwarded is said, with the way out; egress nat in a bridge of others is refused.
func TestGatewayObstacles(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	for _, line := range []string{
		"add table ip filter", "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", "add chain ip filter DOCKER-USER",
		"add rule ip filter FORWARD jump DOCKER-USER",
	} {
		a.Output("nft", line)
	}
	withGateway(t, a)
	web := a.LXC(lab.LXC{Name: "web"})
	var said string
	a.Until("the obstacle is said", func() bool {
		said = a.Output("meshctl", "status")
		return strings.Contains(said, "chain FORWARD of table filter") && strings.Contains(said, "iptables -I DOCKER-USER -i mg")
	}, func() string { return said })
	if _, err := web.Ping(netip.MustParseAddr("192.0.2.2"), 56); err == nil {
		t.Error("the rules of the host do not keep anything back")
	}
	device := a.Output("sh", "-c", "ip -o link show type veth | cut -d: -f2 | cut -d@ -f1 | grep mg | tr -d ' '")
	a.Output("nft", "add rule ip filter DOCKER-USER iifname "+device+" accept")
	a.Output("nft", "add rule ip filter DOCKER-USER oifname mesh0 accept")
	pings(t, a, web.Enter(), "192.0.2.2")

	a.Output("nft", "delete table ip filter")

	// firewalld has no policy: its last rule rejects.
	for _, line := range []string{
		"add table inet firewalld", "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }",
		"add chain inet firewalld filter_FWD_trusted", "add rule inet firewalld filter_FWD_trusted accept",
		"add rule inet firewalld filter_FORWARD ct state established,related accept",
		"add rule inet firewalld filter_FORWARD reject with icmpx type admin-prohibited",
	} {
		a.Output("nft", line)
	}
	a.Until("firewalld's rule is said", func() bool {
		said = a.Output("meshctl", "status")
		return strings.Contains(said, "chain filter_FORWARD of table firewalld") && strings.Contains(said, "firewall-cmd --permanent --zone=trusted --add-interface=mg")
	}, func() string { return said })
	if _, err := web.Ping(netip.MustParseAddr("192.0.2.2"), 56); err == nil {
		t.Error("firewalld does not keep anything back")
	}
	for _, name := range []string{"mesh0", device} { // as firewalld makes it of the commands
		a.Output("nft", "insert rule inet firewalld filter_FORWARD iifname "+name+" goto filter_FWD_trusted")
	}
	pings(t, a, web.Enter(), "192.0.2.2")

	a.Output("ip", "link", "add", "br0", "type", "bridge")
	r := a.Try("meshctl", "network", "create", "--bridge", "br0", "--egress", "nat", "other")
	if r.Code == 0 || !strings.Contains(r.Stderr, "br0 is there already") {
		t.Errorf("egress nat in a bridge of others: exit %d, %s", r.Code, r.Stderr)
	}
}
