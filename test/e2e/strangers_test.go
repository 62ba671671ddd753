package e2e

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// advertisement returns the ICMPv6 message in which mac says that it has target, for to.
func advertisement(mac []byte, from, to, target netip.Addr) []byte {
	m := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...)
	m = append(append(m, 2, 1), mac...)
	binary.BigEndian.PutUint16(m[2:], ^sum(pseudo(from, to, unix.IPPROTO_ICMPV6, len(m)), m))
	return m
}

// Every form in which a kernel takes that somebody has an address is held back when it is another's, and counted.
//
//	a: evil, db ══ underlay ══ b: web
func TestClaimsInDisguise(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	a, b := hosts[0], hosts[1]
	db, web := a.LXC(lab.LXC{Name: "db"}), b.LXC(lab.LXC{Name: "web"})
	lists(t, hosts, db, web)
	out := a.Plug("evil", "mesh0").Packets()
	web.Reaches(db, 10*time.Second)

	claim := func(hardware byte) []byte {
		p := append([]byte{0, hardware, 8, 0, 6, 4, 0, 2}, out.MAC...)
		return append(append(append(p, db.IPv4().AsSlice()...), macOf(web)...), web.IPv4().AsSlice()...)
	}
	link := netip.MustParseAddr("fe80::bad")
	nd := func(next byte) []byte {
		m := advertisement(out.MAC, link, web.Addr(), db.Addr())
		if next != unix.IPPROTO_ICMPV6 {
			m = append([]byte{unix.IPPROTO_ICMPV6, 0, 1, 4, 0, 0, 0, 0}, m...)
		}
		p := ipv6(link, web.Addr(), next, m)
		p[7] = 255
		return ethernet(macOf(web), out.MAC, unix.ETH_P_IPV6, p)
	}
	tagged := append([]byte{0, 0, 8, 6}, claim(1)...)
	for _, test := range []struct {
		name, counter string
		frame         []byte
	}{
		{"hardware type 6", "mesh_boundary_arp_hardware", ethernet(macOf(web), out.MAC, unix.ETH_P_ARP, claim(6))},
		{"priority tag", "answer_arp_claimed", ethernet(macOf(web), out.MAC, unix.ETH_P_8021Q, tagged)},
		{"service tag", "answer_arp_claimed", ethernet(macOf(web), out.MAC, unix.ETH_P_8021AD, tagged)},
		{"neighbour advertisement", "answer_nd_claimed", nd(unix.IPPROTO_ICMPV6)},
		{"behind destination options", "mesh_boundary_nd_extension", nd(unix.IPPROTO_DSTOPTS)},
		{"behind hop-by-hop options", "mesh_boundary_nd_extension", nd(unix.IPPROTO_HOPOPTS)},
	} {
		web.Reaches(db, 10*time.Second) // so that the kernel has an entry to change
		before := status(a).Networks[0].Counters[test.counter]
		if err := out.Send(test.frame); err != nil {
			t.Fatal(err)
		}
		a.Until(test.name+" is counted", func() bool { return status(a).Networks[0].Counters[test.counter] > before }, nil)
		if neigh := web.Try("/bin/busybox", "ip", "neigh").Stdout; strings.Contains(neigh, net.HardwareAddr(out.MAC).String()) {
			t.Errorf("%s: web believes it:\n%s", test.name, neigh)
		}
	}
	web.Reaches(db, 10*time.Second)
}

// discovered returns a DHCPDISCOVER of mac.
func discovered(t *testing.T, mac []byte) []byte {
	m, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		t.Fatal(err)
	}
	from, all := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	u := udp(from, all, m.ToBytes())
	binary.BigEndian.PutUint16(u, 68)
	binary.BigEndian.PutUint16(u[2:], 67)
	u[6], u[7] = 0, 0
	return ethernet(broadcast, mac, unix.ETH_P_IP, ipv4(from, all, unix.IPPROTO_UDP, 0, u))
}

// Who asks DHCP in the name of a machine, or of a host's bridge, on another host takes neither off the mesh; and a machine that moves is given
// an address where it comes.
//
//	a: web, evil, then vm ══ underlay ══ b: machine, then vm
func TestStrangersKeepTheirMACs(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	a, b := hosts[0], hosts[1]
	web := a.LXC(lab.LXC{Name: "web"})
	lists(t, hosts, web)
	machine := b.Plug("machine", "mesh0")
	a.Output("meshctl", "ipam", "reserve", "10.77.252.0/24")
	b.Output("ip", "-n", "machine", "addr", "add", "10.77.252.9/16", "dev", "eth0")
	b.Output("ip", "addr", "add", "10.77.252.10/16", "dev", "mesh0")
	reached := func(to string) func() bool {
		return func() bool { return web.Try("/bin/busybox", "ping", "-c", "1", "-W", "1", to).Code == 0 }
	}
	b.Until("web reaches the machine", reached("10.77.252.9"), nil)
	b.Until("web reaches the host", reached("10.77.252.10"), nil)
	bridge, err := net.ParseMAC(strings.TrimSpace(b.Output("cat", "/sys/class/net/mesh0/address")))
	if err != nil {
		t.Fatal(err)
	}
	out := a.Plug("evil", "mesh0").Packets()
	for _, mac := range [][]byte{bridge, macOf(machine)} {
		if err := out.Send(discovered(t, mac)); err != nil {
			t.Fatal(err)
		}
	}
	b.Until("b knows the lease that a has given", func() bool {
		for _, l := range leases(b) {
			if bytes.Equal(l.MAC[:], macOf(machine)) {
				return true
			}
		}
		return false
	}, func() string { return b.Output("meshctl", "leases") })
	b.Until("web still reaches the machine", reached("10.77.252.9"), func() string { return b.Output("meshctl", "status") })
	b.Until("web still reaches the host", reached("10.77.252.10"), func() string { return b.Output("meshctl", "status") })
	if n := status(b).Networks[0].Counters["mesh_source_remote"]; n != 0 {
		t.Errorf("b dropped %d frames for their source, want 0", n)
	}

	for _, h := range hosts {
		writeScripts(h)
	}
	client := []string{"busybox", "udhcpc", "-n", "-q", "-t", "5", "-T", "1", "-i", "eth0", "-s", "/run/udhcpc-script"}
	vm := a.Plug("vm", "mesh0")
	mac := macOf(vm)
	if r := vm.Try(client...); r.Code != 0 {
		t.Fatalf("udhcpc on a: %s", r.Stdout+r.Stderr)
	}
	a.Output("ip", "-n", "vm", "link", "del", "eth0")
	vm = b.Plug("vm-on-b", "mesh0")
	b.Output("ip", "-n", "vm-on-b", "link", "set", "eth0", "down")
	b.Output("ip", "-n", "vm-on-b", "link", "set", "eth0", "address", net.HardwareAddr(mac).String())
	b.Output("ip", "-n", "vm-on-b", "link", "set", "eth0", "up")
	b.Until("it has an address on b", func() bool { return vm.Try(client...).Code == 0 && len(vm.Addrs()) > 0 }, nil)
	for _, addr := range vm.Addrs() {
		if addr.Is4() {
			b.Until("web reaches it on b", reached(addr.String()), func() string { return b.Output("meshctl", "status") })
		}
	}
}
