package netdev_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

// addRuntimeVeth does what LXC does before script.up: the host's end is up, the container's end inside, down, and under
// a name of no meaning.
func addRuntimeVeth(t *testing.T, path, master string) {
	t.Helper()
	ns, err := netns.GetFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "vethHOST"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "vethAbCdEf", PeerNamespace: netlink.NsFd(ns)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	if master != "" {
		bridge, err := netlink.LinkByName(master)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetMaster(veth, bridge); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		t.Fatal(err)
	}
}

// finish does what LXC does after script.up, inside the container: rename, set up.
func finish(t *testing.T, path string) {
	t.Helper()
	h := inside(t, path)
	l := link(t, h, "vethAbCdEf")
	if err := h.LinkSetName(l, "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	checkNoDAD(t, h, l)
}

func TestAdopt(t *testing.T) {
	connected := func(c *netdev.Config) { c.Routes = c.Routes[:1] }
	rows := []struct {
		name   string
		link   string // lxc.net.0.link
		change func(*netdev.Config)
	}{
		{"without link", "", connected},
		{"in the network's bridge", meshdtest.Bridge, connected},
		{"with routes", "", func(*netdev.Config) {}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			meshdtest.Host(t)
			path, _ := meshdtest.Container(t)
			addRuntimeVeth(t, path, row.link)
			n, c := open(t, path), testConfig()
			c.HostName = "vethHOST"
			row.change(&c)
			if _, err := netdev.Adopt(n, c); err != nil {
				t.Fatal(err)
			}
			finish(t, path)
			if err := netdev.Check(n, c); err != nil {
				t.Errorf("Check after Adopt = %v", err)
			}
		})
	}
}

// "The host's end gets an alias, by which others know whose it is."
func TestAdoptAlias(t *testing.T) {
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	addRuntimeVeth(t, path, "")
	c := testConfig()
	c.HostName, c.Alias = "vethHOST", netdev.HostName("c1", "eth0")
	if _, err := netdev.Adopt(open(t, path), c); err != nil {
		t.Fatal(err)
	}
	if l, err := netlink.LinkByName("vethHOST"); err != nil || l.Attrs().Alias != c.Alias {
		t.Errorf("the host's end is %+v, %v, want alias %s", l, err, c.Alias)
	}
}

// "Addresses that the runtime sets itself, later, are left to it", with the routes that need them.
func TestAdoptLater(t *testing.T) {
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	addRuntimeVeth(t, path, "")
	n, c := open(t, path), testConfig()
	c.HostName = "vethHOST"
	ipv4 := c.Addrs[1]
	c.Addrs, c.Later = c.Addrs[:1], c.Addrs[1:]
	c.Routes = append(c.Routes[:1],
		netdev.Route{Dst: netip.MustParsePrefix("10.77.0.0/16")}, // the kernel's, once the address is there
		netdev.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.77.0.1")})
	if _, err := netdev.Adopt(n, c); err != nil {
		t.Fatal(err)
	}
	h := inside(t, path)
	eth0 := link(t, h, "vethAbCdEf")
	if v4, err := h.AddrList(eth0, netlink.FAMILY_V4); err != nil || len(v4) != 0 {
		t.Errorf("IPv4 addresses are %v, %v, want none yet", v4, err)
	}
	addr, err := netlink.ParseAddr(ipv4.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddrAdd(eth0, addr); err != nil { // as LXC does, which fails on one that is there
		t.Fatal(err)
	}
	finish(t, path)
	c.Addrs = append(c.Addrs, ipv4)
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func TestAdoptErrors(t *testing.T) {
	rows := []struct {
		name     string
		link     string
		hostName string
		want     string
	}{
		{"in another bridge", "lxcbr0", "vethHOST", "vethHOST is a port of lxcbr0 already, and the network's bridge is mesh0"},
		{"no such veth", "", "vethNONE", "looking for vethNONE"},
		{"no veth", "", meshdtest.Bridge, "mesh0 is no veth"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			meshdtest.Host(t)
			meshdtest.AddBridge(t, "lxcbr0")
			path, _ := meshdtest.Container(t)
			addRuntimeVeth(t, path, row.link)
			c := testConfig()
			c.HostName = row.hostName
			if _, err := netdev.Adopt(open(t, path), c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Adopt error = %v, want one with %q", err, row.want)
			}
		})
	}
}

func TestAdoptOfAnotherContainer(t *testing.T) {
	meshdtest.Host(t)
	mine, _ := meshdtest.Container(t)
	addRuntimeVeth(t, mine, "")
	other := openContainer(t)
	c := testConfig()
	c.HostName = "vethHOST"
	if _, err := netdev.Adopt(other, c); err == nil || !strings.Contains(err.Error(), "is not in the container") {
		t.Errorf("Adopt error = %v, want one that the end is not in the container", err)
	}
}
