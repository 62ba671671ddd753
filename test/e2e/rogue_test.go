package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// "A rogue DHCP server or RA in a container": blocked at the boundary, counted, shown. "A container that takes its neighbour's MAC or
// address": dropped, counted, shown, and told that the address is in use.
//
//	a: evil, web ══ underlay ══ b: db, watched
func TestContainersThatPlayOthers(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	a, b := hosts[0], hosts[1]
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	lists(t, hosts, web, db)
	evil := a.Plug("evil", "mesh0")
	out, watcher := evil.Packets(), b.Plug("watcher", "mesh0").Packets()

	link := netip.MustParseAddr("fe80::bad")
	offer := udp(netip.MustParseAddr("10.77.0.250"), netip.MustParseAddr("255.255.255.255"), random(300))
	binary.BigEndian.PutUint16(offer, 67)
	binary.BigEndian.PutUint16(offer[2:], 68)
	offer[6], offer[7] = 0, 0
	ra := append([]byte{134, 0, 0, 0, 64, 0, 7, 8}, make([]byte, 8)...)
	all := netip.MustParseAddr("ff02::1")
	binary.BigEndian.PutUint16(ra[2:], ^sum(pseudo(link, all, unix.IPPROTO_ICMPV6, len(ra)), ra))
	raPacket := ipv6(link, all, unix.IPPROTO_ICMPV6, ra)
	raPacket[7] = 255
	claim := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, out.MAC...)
	claim = append(append(append(claim, db.IPv4().AsSlice()...), broadcast...), db.IPv4().AsSlice()...)
	for _, f := range [][]byte{
		ethernet(broadcast, out.MAC, unix.ETH_P_IP, ipv4(netip.MustParseAddr("10.77.0.250"), netip.MustParseAddr("255.255.255.255"), unix.IPPROTO_UDP, 0, offer)),
		ethernet([]byte{0x33, 0x33, 0, 0, 0, 1}, out.MAC, unix.ETH_P_IPV6, raPacket),
		ethernet(broadcast, out.MAC, unix.ETH_P_ARP, claim),
		ethernet(broadcast, macOf(db), experimental, random(100)),
	} {
		if err := out.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]uint64{"answer_rogue_dhcp4": 1, "answer_rogue_router": 1, "answer_arp_claimed": 1, "mesh_source_remote": 1}
	var counters map[string]uint64
	a.Until("everything is counted", func() bool {
		counters = status(a).Networks[0].Counters
		for name, n := range want {
			if counters[name] < n {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprint(counters) })
	for _, f := range frames(t, watcher) {
		if bytes.Equal(f[6:12], out.MAC) && (isQuestion(f) || bytes.HasSuffix(f, ra) || bytes.Contains(f, offer)) {
			t.Errorf("crossed the mesh: %x", f)
		}
	}
	for _, text := range []string{"plays a DHCP server", "plays a router", "says that it has " + db.IPv4().String() + ", which is that of db/eth0 on b"} {
		a.Until("the warning "+text, func() bool { return strings.Contains(a.Output("meshctl", "status"), text) }, func() string { return a.Output("meshctl", "status") })
	}

	// RFC 5227 and RFC 4862: who probes for an address in use is told so, whether it is here or elsewhere.
	for _, c := range []*lab.Container{web, db} {
		if r := evil.Try("busybox", "arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", c.IPv4().String()); r.Code == 0 {
			t.Errorf("%v of %s is free, says arping: %s", c.IPv4(), c.Name, r.Stdout)
		}
		a.Output("ip", "-n", "evil", "addr", "add", c.Addr().String()+"/64", "dev", "eth0")
		a.Until("duplicate address detection finds "+c.Addr().String(), func() bool {
			return strings.Contains(a.Output("ip", "-n", "evil", "-6", "addr", "show", "dev", "eth0"), c.Addr().String()+"/64 scope global dadfailed")
		}, func() string { return a.Output("ip", "-n", "evil", "-6", "addr", "show", "dev", "eth0") })
	}
	if r := evil.Try("busybox", "arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", "10.77.200.200"); r.Code != 0 {
		t.Errorf("a free address is in use, says arping: %s", r.Stdout)
	}
	web.Reaches(db, 10*time.Second)
}
