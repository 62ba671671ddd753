package netdev_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

var testMAC = net.HardwareAddr{2, 0, 0, 0xaa, 0xbb, 0xcc}

// testConfig returns how the interface of the container c1 has to be.
func testConfig() netdev.Config {
	return netdev.Config{
		HostName: netdev.HostName("c1", "eth0"),
		Bridge:   meshdtest.Bridge,
		IfName:   "eth0",
		MTU:      1400,
		MAC:      testMAC,
		Addrs:    []netip.Prefix{netip.MustParsePrefix("fd00:1:2::5/64"), netip.MustParsePrefix("10.77.0.5/16")},
		Routes: []netdev.Route{
			{Dst: netip.MustParsePrefix("fd00:1:2::/64")},
			{Dst: netip.MustParsePrefix("fd00:9::/48"), Gateway: netip.MustParseAddr("fd00:1:2::1")},
			{Dst: netip.MustParsePrefix("10.99.0.0/16")},
		},
	}
}

// openContainer makes a namespace and opens it.
func openContainer(t *testing.T) *netdev.Namespace {
	t.Helper()
	path, _ := meshdtest.Container(t)
	return open(t, path)
}

func open(t *testing.T, path string) *netdev.Namespace {
	t.Helper()
	n, err := netdev.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// inside returns a handle in the namespace at path.
func inside(t *testing.T, path string) *netlink.Handle {
	t.Helper()
	ns, err := netns.GetFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// hostLinks returns the names of the host's devices.
func hostLinks(t *testing.T) string {
	t.Helper()
	list, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range list {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}

func TestHostName(t *testing.T) {
	a, b := netdev.HostName("c1", "eth0"), netdev.HostName("c1", "eth1")
	if a != netdev.HostName("c1", "eth0") || a == b || a == netdev.HostName("c1eth", "0") {
		t.Errorf("names %s and %s do not follow from container and interface", a, b)
	}
	if len(a) != 15 || !strings.HasPrefix(a, "mn") {
		t.Errorf("HostName = %q, want mn and 13 characters", a)
	}
}

func TestAdd(t *testing.T) {
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	n, c := open(t, path), testConfig()
	ends, err := netdev.Add(n, c)
	if err != nil {
		t.Fatal(err)
	}
	if ends.Container != testMAC.String() || ends.Host == "" {
		t.Errorf("Add = %+v, want container end %v", ends, testMAC)
	}
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check after Add = %v", err)
	}
	if got, want := hostLinks(t), "lo mesh0 "+c.HostName; got != want {
		t.Errorf("devices of the host are %s, want %s", got, want)
	}
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + c.HostName + "/disable_ipv6")
	if err != nil || strings.TrimSpace(string(b)) != "1" {
		t.Errorf("disable_ipv6 of the host's end is %q, %v, want 1", b, err)
	}
	h := inside(t, path)
	lo, err := h.LinkByName("lo")
	if err != nil || lo.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("lo in the container is %v, %v, want up", lo, err)
	}
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	checkNoDAD(t, h, eth0)
	v4, err := h.AddrList(eth0, netlink.FAMILY_V4)
	if err != nil || len(v4) != 1 || v4[0].IPNet.String() != "10.77.0.5/16" || v4[0].Broadcast.String() != "10.77.255.255" {
		t.Errorf("IPv4 addresses are %v, %v, want 10.77.0.5/16 with broadcast 10.77.255.255", v4, err)
	}
}

// "addresses with nodad": usable at once, not tentative.
func checkNoDAD(t *testing.T, h *netlink.Handle, link netlink.Link) {
	t.Helper()
	addrs, err := h.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.IP.IsGlobalUnicast() && (a.Flags&unix.IFA_F_TENTATIVE != 0 || a.Flags&unix.IFA_F_NODAD == 0) {
			t.Errorf("address %v has flags %#x, want nodad and not tentative", a, a.Flags)
		}
	}
}

// "A host end of the same name is what an earlier run of the same container left, and is replaced": its namespace has
// ended, and the kernel removes the pair when it gets to it.
func TestAddReplacesFormerSelf(t *testing.T) {
	meshdtest.Host(t)
	c := testConfig()
	for range 10 {
		path, remove := meshdtest.Container(t)
		n, err := netdev.OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		for n.CheckStale(c.HostName) != nil { // closed sockets hold the former namespace for an RCU grace period
			runtime.Gosched()
		}
		if _, err := netdev.Add(n, c); err != nil {
			t.Fatal(err)
		}
		if err := netdev.Check(n, c); err != nil {
			t.Errorf("Check = %v", err)
		}
		n.Close()
		remove()
	}
}

// "its other end is in n": a program in the container has renamed it.
func TestAddReplacesRenamed(t *testing.T) {
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	n, c := open(t, path), testConfig()
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	h := inside(t, path)
	if err := h.LinkSetDown(link(t, h, "eth0")); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetName(link(t, h, "eth0"), "other0"); err != nil {
		t.Fatal(err)
	}
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// "unless somebody uses it": a running container keeps its interface when another comes under its name.
func TestAddElsewhere(t *testing.T) {
	meshdtest.Host(t)
	c := testConfig()
	path, _ := meshdtest.Container(t)
	first, second := open(t, path), openContainer(t)
	if err := second.CheckStale(c.HostName); err != nil {
		t.Errorf("CheckStale of nothing = %v", err)
	}
	if _, err := netdev.Add(first, c); err != nil {
		t.Fatal(err)
	}
	if _, err := netdev.Add(second, c); !errors.Is(err, netdev.ErrElsewhere) {
		t.Errorf("Add in another namespace: error = %v, want ErrElsewhere", err)
	}
	if err := second.CheckStale(c.HostName); !errors.Is(err, netdev.ErrElsewhere) {
		t.Errorf("CheckStale for another namespace = %v, want ErrElsewhere", err)
	}
	if err := first.CheckStale(c.HostName); err != nil {
		t.Errorf("CheckStale for its own namespace = %v", err)
	}
	if err := netdev.Check(first, c); err != nil {
		t.Errorf("Check = %v", err)
	}
	other, _ := meshdtest.Container(t)
	for _, row := range []struct {
		path string
		want bool
	}{{path, true}, {other, false}, {"/run/netns/there-is-none", false}} {
		if got, err := netdev.LeadsTo(row.path, c.HostName); got != row.want || err != nil {
			t.Errorf("LeadsTo(%s) = %v, %v, want %v", row.path, got, err, row.want)
		}
	}
}

func TestAddErrors(t *testing.T) {
	rows := []struct {
		name   string
		change func(*netdev.Config)
		want   string // a part of the error
	}{
		{"no bridge", func(c *netdev.Config) { c.Bridge = "none0" }, "there is no bridge none0"},
		{"bridge is no bridge", func(c *netdev.Config) { c.Bridge = "lo" }, "lo is no bridge"},
		{"MTU too large", func(c *netdev.Config) { c.MTU = 1 << 20 }, "making veth"},
		{"MAC of a group", func(c *netdev.Config) { c.MAC = net.HardwareAddr{1, 0, 0, 0, 0, 1} }, "making veth"},
		{"bad address", func(c *netdev.Config) {
			c.Addrs = append(c.Addrs, netip.MustParsePrefix("ff02::1/64"))
		}, "adding address ff02::1/64"},
		{"bad route", func(c *netdev.Config) { c.Routes[1].Gateway = netip.MustParseAddr("2001:db8::1") }, "adding the route to fd00:9::/48"},
		{"name too long", func(c *netdev.Config) { c.IfName = "abcdefghijklmnopq" }, "abcdefghijklmnopq"},
		{"host's name is taken", func(c *netdev.Config) { c.HostName = "lo" }, "lo is no veth"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			meshdtest.Host(t)
			path, _ := meshdtest.Container(t)
			c := testConfig()
			row.change(&c)
			_, err := netdev.Add(open(t, path), c)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Add error = %v, want one with %q", err, row.want)
			}
			if got, want := hostLinks(t), "lo mesh0"; got != want {
				t.Errorf("devices of the host are %s, want %s", got, want)
			}
			if list, err := inside(t, path).LinkList(); err != nil || len(list) != 1 {
				t.Errorf("the container has %d devices, %v, want 1", len(list), err)
			}
		})
	}
}

// "ADD on existing ifname is an error", and leaves what exists alone.
func TestAddExists(t *testing.T) {
	meshdtest.Host(t)
	n, c := openContainer(t), testConfig()
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	if _, err := netdev.Add(n, c); !errors.Is(err, netdev.ErrExists) {
		t.Errorf("second Add error = %v, want ErrExists", err)
	}
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check after the second Add = %v", err)
	}
}

func TestDelete(t *testing.T) {
	meshdtest.Host(t)
	path, remove := meshdtest.Container(t)
	n, err := netdev.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	n.Close()
	for _, when := range []string{"first", "second"} {
		if err := netdev.Delete(c.HostName); err != nil {
			t.Errorf("%s Delete = %v", when, err)
		}
	}
	if list, err := inside(t, path).LinkList(); err != nil || len(list) != 1 {
		t.Errorf("the container has %d devices, %v, want 1", len(list), err)
	}
	remove()
	if err := netdev.Delete(c.HostName); err != nil {
		t.Errorf("Delete without the namespace = %v", err)
	}
	if err := netdev.Delete(meshdtest.Bridge); err == nil {
		t.Error("Delete of a bridge succeeded")
	}
}

func TestCheck(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(t *testing.T, host, inside *netlink.Handle, c netdev.Config) error
		want  string
	}{
		{"host end gone", func(t *testing.T, host, _ *netlink.Handle, c netdev.Config) error {
			return host.LinkDel(link(t, host, c.HostName))
		}, "looking for mn"},
		{"host end down", func(t *testing.T, host, _ *netlink.Handle, c netdev.Config) error {
			return host.LinkSetDown(link(t, host, c.HostName))
		}, "is down"},
		{"host end out of the bridge", func(t *testing.T, host, _ *netlink.Handle, c netdev.Config) error {
			return host.LinkSetNoMaster(link(t, host, c.HostName))
		}, "is not a port of bridge mesh0"},
		{"container end down", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			return in.LinkSetDown(link(t, in, "eth0"))
		}, "eth0 in the container is down"},
		{"MAC", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			return in.LinkSetHardwareAddr(link(t, in, "eth0"), net.HardwareAddr{2, 0, 0, 0, 0, 9})
		}, "has MAC address 02:00:00:00:00:09"},
		{"MTU", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			return in.LinkSetMTU(link(t, in, "eth0"), 1300)
		}, "has MTU 1300, want 1400"},
		{"address", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			addr, err := netlink.ParseAddr("fd00:1:2::5/64")
			if err != nil {
				return err
			}
			return in.AddrDel(link(t, in, "eth0"), addr)
		}, "lacks address fd00:1:2::5/64"},
		{"IPv4 address", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			addr, err := netlink.ParseAddr("10.77.0.5/16")
			if err != nil {
				return err
			}
			return in.AddrDel(link(t, in, "eth0"), addr)
		}, "lacks address 10.77.0.5/16"},
		{"IPv4 length", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			short, err := netlink.ParseAddr("10.77.0.5/8")
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr("10.77.0.5/16")
			if err != nil {
				return err
			}
			eth0 := link(t, in, "eth0")
			return errors.Join(in.AddrDel(eth0, addr), in.AddrAdd(eth0, short))
		}, "lacks address 10.77.0.5/16"},
		{"route", func(t *testing.T, _, in *netlink.Handle, c netdev.Config) error {
			_, dst, err := net.ParseCIDR("10.99.0.0/16")
			if err != nil {
				return err
			}
			return in.RouteDel(&netlink.Route{LinkIndex: link(t, in, "eth0").Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK})
		}, "lacks the route to 10.99.0.0/16"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			meshdtest.Host(t)
			path, _ := meshdtest.Container(t)
			n, c := open(t, path), testConfig()
			if _, err := netdev.Add(n, c); err != nil {
				t.Fatal(err)
			}
			host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			if err := row.spoil(t, host, inside(t, path), c); err != nil {
				t.Fatal(err)
			}
			if err := netdev.Check(n, c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Check = %v, want an error with %q", err, row.want)
			}
		})
	}
}

func link(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("looking for %s: %v", name, err)
	}
	return l
}
