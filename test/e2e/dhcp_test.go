package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// dhcpClient is a DHCP client as distributions have them.
type dhcpClient struct {
	name string
	ipv6 bool
	// start starts it on eth0 of c, in the background.
	start func(c *lab.Container) []*lab.Process
}

// The scripts by which dhclient and udhcpc set addresses. Those of Debian would write /etc/resolv.conf as well.
const (
	dhclientScript = `#!/bin/sh
case $reason in
PREINIT6) for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do ip -6 addr show dev $interface scope link | grep -q tentative || exit 0; sleep 0.2; done ;;
BOUND|RENEW|REBIND|REBOOT) ip addr replace $new_ip_address/$new_subnet_mask dev $interface ;;
BOUND6|RENEW6|REBIND6) ip addr replace $new_ip6_address/128 dev $interface ;;
RELEASE|EXPIRE) ip -4 addr flush dev $interface ;;
esac
exit 0
`
	udhcpcScript = `#!/bin/sh
case $1 in
bound|renew) ip addr add $ip/$mask dev $interface ;;
deconfig) ip -4 addr flush dev $interface ;;
esac
exit 0
`
	networkdFile = `[Match]
Name=eth0
[Network]
DHCP=yes
LinkLocalAddressing=ipv6
[DHCPv4]
ClientIdentifier=mac
`
)

func dhcpClients() []dhcpClient {
	return []dhcpClient{
		{"dhclient", true, func(c *lab.Container) (all []*lab.Process) {
			for _, family := range []string{"-4", "-6"} {
				file := "/run/dhclient-" + c.Name + family
				all = append(all, c.Start("dhclient", family, "-d", "-sf", "/run/dhclient-script", "-lf", file+".leases", "-pf", file+".pid", "eth0"))
			}
			return all
		}},
		{"udhcpc", false, func(c *lab.Container) []*lab.Process {
			return []*lab.Process{c.Start("busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/run/udhcpc-script", "-R")}
		}},
		{"dhcpcd", true, func(c *lab.Container) []*lab.Process {
			return []*lab.Process{c.Start("sh", "-c", "mkdir -p /var/lib/dhcpcd; mount -t tmpfs none /run; exec dhcpcd -B -d -L -c /bin/true -f /dev/null eth0")}
		}},
		{"networkd", true, func(c *lab.Container) []*lab.Process {
			return []*lab.Process{c.Start("sh", "-c", `mount -o remount,ro /sys && mount -t tmpfs none /run && mkdir -p /run/systemd/network /run/systemd/netif/links \
				/run/systemd/netif/leases /run/systemd/netif/lldp && printf '`+strings.ReplaceAll(networkdFile, "\n", `\n`)+`' > /run/systemd/network/eth0.network &&
				chown -R systemd-network /run/systemd/netif && exec /lib/systemd/systemd-networkd`)}
		}},
	}
}

// writeScripts puts the scripts on a host.
func writeScripts(h *lab.Host) {
	for name, text := range map[string]string{"dhclient-script": dhclientScript, "udhcpc-script": udhcpcScript} {
		h.Write("/run/"+name, text)
		h.Output("chmod", "755", "/run/"+name)
	}
}

// "Containers get their attachment's addresses over DHCPv4 and v6", with the clients that distributions have; machines that nobody
// attached get some of their own. All reach each other, and no question who has an address crosses the mesh.
//
//	a: a container for each client, attached ══ underlay ══ b: a machine for each client, plugged into the bridge
func TestDHCPClients(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	a, b := hosts[0], hosts[1]
	watcher := b.Plug("watcher", "mesh0").Packets()
	var containers []*lab.Container
	for _, h := range hosts {
		writeScripts(h)
	}
	for _, client := range dhcpClients() {
		attached := "a" + client.name
		a.Output("ip", "netns", "add", attached)
		a.Output("meshctl", "attach", "--netns", "/run/netns/"+attached, "--container", attached)
		c := a.NetNS(attached)
		want := c.Addrs()
		if !client.ipv6 {
			want = want[:1]
		}
		a.Output("ip", "-n", attached, "addr", "flush", "dev", "eth0", "scope", "global")
		gets(t, client, c, func(got []netip.Addr) bool { return slices.Equal(got, want) }, fmt.Sprint(want))

		m := b.Plug("b"+client.name, "mesh0")
		families := 1
		if client.ipv6 {
			families = 2
		}
		gets(t, client, m, func(got []netip.Addr) bool { return len(got) == families && got[0].Is4() }, "addresses of its own")
		if listed := leasedTo(b, m); !slices.Equal(listed[:families], m.Addrs()) {
			t.Errorf("%s has %v, meshctl leases shows %v", m.Name, m.Addrs(), listed)
		}
		containers = append(containers, c, m)
	}
	for _, from := range containers { // who was not attached is asked for, as on any switch
		for _, to := range containers {
			if from.Host != to.Host {
				from.Reaches(to, 10*time.Second)
			}
		}
	}
	b.Output("ip", "netns", "add", "db")
	b.Output("meshctl", "attach", "--netns", "/run/netns/db", "--container", "db")
	a.Until("db is known", func() bool { return heldBy(a, "db") != nil }, nil)
	frames(t, watcher)
	for _, from := range containers {
		if from.Host == a {
			from.Reaches(b.NetNS("db"), 10*time.Second)
		}
	}
	strangers := map[string]int{}
	for _, f := range frames(t, watcher) {
		for _, c := range containers {
			if c.Host == a && bytes.Equal(f[6:12], macOf(c)) && isQuestion(f) {
				strangers[fmt.Sprintf("%s: %x", c.Name, f[:min(len(f), 80)])]++
			}
		}
	}
	if len(strangers) > 0 {
		t.Errorf("questions that crossed the mesh: %v", strangers)
	}
	counters := status(a).Networks[0].Counters
	for _, name := range []string{"answer_arp_answered", "answer_nd_answered", "answer_rs_answered", "answer_dhcp4_answered", "answer_dhcp6_answered"} {
		if counters[name] == 0 {
			t.Errorf("counter %s of host a = 0", name)
		}
	}
	t.Logf("status of a: %s", a.Output("meshctl", "status"))
}

// gets runs a client in c until c has the addresses that it should have.
func gets(t *testing.T, client dhcpClient, c *lab.Container, right func([]netip.Addr) bool, want string) {
	t.Helper()
	processes := client.start(c)
	c.Host.Within(30*time.Second, client.name+" gets "+want, func() bool { return right(c.Addrs()) }, func() string {
		said := ""
		for _, p := range processes {
			said += p.Out.String() + p.Err.String()
		}
		return fmt.Sprintf("it has %v; it says:\n%s", c.Addrs(), said)
	})
}

// leasedTo returns the addresses that a host lists for the MAC of c.
func leasedTo(h *lab.Host, c *lab.Container) []netip.Addr {
	for _, l := range leases(h) {
		if bytes.Equal(l.MAC[:], macOf(c)) {
			slices.SortFunc(l.Addresses, netip.Addr.Compare)
			return l.Addresses
		}
	}
	return nil
}

// macOf returns the MAC of eth0.
func macOf(c *lab.Container) []byte {
	_, after, _ := strings.Cut(c.Link(), "link/ether ")
	mac, err := net.ParseMAC(after[:17])
	if err != nil {
		panic(err)
	}
	return mac
}

// frames returns what a watcher has seen.
func frames(t *testing.T, watcher *lab.Packets) (all [][]byte) {
	t.Helper()
	for {
		f, err := watcher.Next(200 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			return all
		}
		all = append(all, f)
	}
}

// isQuestion reports whether a frame asks who has a container's address: an ARP request, or a neighbour solicitation for what is not
// link-local.
func isQuestion(f []byte) bool {
	switch binary.BigEndian.Uint16(f[12:]) {
	case unix.ETH_P_ARP:
		return true
	case unix.ETH_P_IPV6:
		return len(f) >= 78 && f[20] == unix.IPPROTO_ICMPV6 && f[54] == 135 && f[62] != 0xfe
	}
	return false
}

// An LXC container whose image runs a DHCP client, as LXC's busybox template does, keeps its attachment's address.
//
//	a: lxc "web" with udhcpc ══ underlay ══ b: lxc "db"
func TestLXCContainerThatAsksDHCP(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	script := strings.ReplaceAll(udhcpcScript, "\n", `\n`)
	for _, privileged := range []bool{true, false} {
		name := fmt.Sprintf("web-%v", privileged)
		web := hosts[0].LXC(lab.LXC{Name: name, Privileged: privileged, Hook: lab.HookEmpty})
		db := hosts[1].LXC(lab.LXC{Name: fmt.Sprintf("db-%v", privileged)})
		want := web.IPv4()
		if r := web.Try("/bin/sh", "-c", "printf '"+script+"' > /tmp/script && chmod 755 /tmp/script && ip -4 addr flush dev eth0"); r.Code != 0 {
			t.Fatal(r.Stdout + r.Stderr)
		}
		hostname := web.Try("/bin/busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", "/tmp/script")
		if hostname.Code != 0 || web.IPv4() != want {
			t.Fatalf("udhcpc: exit %d, address %v, want %v: %s", hostname.Code, web.Addrs(), want, hostname.Stdout+hostname.Stderr)
		}
		allReach(t, web, db)
	}
}

// A machine that nobody attached gives its lease back when it says so; in a closed network it gets none, and on a bridge that others
// made, nobody is answered.
//
//	a: open; b: closed; c: with a bridge of its own
func TestWhoIsAnsweredDHCP(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	for _, h := range hosts {
		writeScripts(h)
		h.StartMeshd()
	}
	c.Output("ip", "link", "add", "br0", "type", "bridge")
	token := a.Output("meshctl", "network", "create", "mesh")
	b.Output("meshctl", "network", "join", "--dhcp", "closed", token)
	c.Output("meshctl", "network", "join", "--bridge", "br0", token)
	meshed(t, hosts...)

	m := a.Plug("m", "mesh0")
	p := m.Start("busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/run/udhcpc-script", "-R")
	a.Until("an address", func() bool { return len(m.Addrs()) == 1 }, func() string { return p.Out.String() + p.Err.String() })
	var lease []api.Lease
	b.Until("the lease on every host", func() bool { lease = leases(b); return len(lease) == 1 }, nil)
	if !strings.HasPrefix(lease[0].Container, "dhcp-") || !bytes.Equal(lease[0].MAC[:], macOf(m)) {
		t.Errorf("lease = %+v, want one of dhcp-MAC with MAC %x", lease[0], macOf(m))
	}
	p.Signal(unix.SIGTERM) // -R: it releases
	b.Until("the lease has gone", func() bool { return len(leases(b)) == 0 }, nil)

	for h, bridge := range map[*lab.Host]string{b: "mesh0", c: "br0"} {
		m := h.Plug("m", bridge)
		if r := m.Try("busybox", "udhcpc", "-f", "-q", "-n", "-t", "3", "-T", "1", "-i", "eth0", "-s", "/run/udhcpc-script"); r.Code == 0 {
			t.Errorf("%s answers: %s", h.Name, r.Stdout+r.Stderr)
		}
	}
	if n := status(b).Networks[0].Counters["answer_dhcp4_closed"]; n == 0 {
		t.Error("answer_dhcp4_closed of b = 0")
	}
	if got := status(c).Networks[0].DHCP; got != "off" {
		t.Errorf("DHCP on c is %s, want off", got)
	}
}
