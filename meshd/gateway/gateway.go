package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Config says what the gateway of a network is.
type Config struct {
	Bridge string
	Device string         // the end of the veth that has the gateway's MAC and addresses
	Port   string         // the end that is in the bridge
	Table  string         // of nftables; nobody else's
	MAC    [6]byte        // the gateway's
	MTU    int            // bytes
	Addrs  []netip.Addr   // the gateway's
	Own    []netip.Addr   // of the host itself, one of each family at most
	Links  []netip.Prefix // of the containers: IPv4 pools and the IPv6 /64

	// Other networks of this host, which containers do not reach by the gateway: by the bridge that is theirs alone, and by their addresses
	// where they are in a bridge that leads elsewhere, too.
	OtherBridges []string
	OtherLinks   []netip.Prefix
}

// Ensure makes what is missing of the gateway.
func Ensure(c Config) error {
	if _, err := os.Stat(key("ipv6", "all", "forwarding")); errors.Is(err, fs.ErrNotExist) {
		c = c.withoutIPv6()
	}
	for _, step := range []struct {
		what string
		do   func(Config) error
	}{
		{"making " + c.Device, ensureDevice},
		{"filtering", ensureTable}, // before there are addresses, and what it keeps back gets through
		{"keeping " + c.Port + " the gateway's place", ensurePlace},
		{"giving " + c.Device + " its addresses", ensureAddrs},
		{"giving " + c.Bridge + " the host's address", ensureOwn},
		{"forwarding", ensureForwarding},
	} {
		if err := step.do(c); err != nil {
			return fmt.Errorf("gateway: %s: %w", step.what, err)
		}
	}
	return nil
}

// withoutIPv6 returns c as a kernel can have it that has no IPv6.
func (c Config) withoutIPv6() Config {
	c.Addrs = slices.DeleteFunc(slices.Clone(c.Addrs), netip.Addr.Is6)
	c.Own = slices.DeleteFunc(slices.Clone(c.Own), netip.Addr.Is6)
	isIPv6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	c.Links, c.OtherLinks = slices.DeleteFunc(slices.Clone(c.Links), isIPv6), slices.DeleteFunc(slices.Clone(c.OtherLinks), isIPv6)
	return c
}

// ensureDevice makes the veth, puts one end into the bridge and sets both up.
func ensureDevice(c Config) error {
	device, err := netlink.LinkByName(c.Device)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = c.Device, c.MTU, net.HardwareAddr(c.MAC[:])
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: c.Port, PeerMTU: uint32(c.MTU)}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		if err := configure(c.Device); err != nil {
			return err
		}
		device, err = netlink.LinkByName(c.Device)
	}
	if err != nil {
		return err
	}
	port, err := netlink.LinkByName(c.Port)
	if err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return err
	}
	if port.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := set("ipv6", c.Port, "disable_ipv6", "1"); err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(port, bridge); err != nil {
			return err
		}
	}
	for _, l := range []netlink.Link{port, device} {
		if l.Attrs().Flags&net.FlagUp == 0 {
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensurePlace tells the bridge that the gateway's MAC is behind its port, whoever else sends with it. The kernel calls that sticky.
func ensurePlace(c Config) error {
	port, err := netlink.LinkByName(c.Port)
	if err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: port.Attrs().Index, Family: unix.AF_BRIDGE, HardwareAddr: c.MAC[:],
		Flags: netlink.NTF_MASTER | netlink.NTF_STICKY, State: netlink.NUD_NOARP, // static: it does not age
	})
}

// configure sets what an interface of the host in a network needs: it answers for its own addresses only, since the bridge and the
// gateway are on one link; packets may come by one and go by the other; router advertisements are for containers.
func configure(name string) error {
	for _, s := range []struct{ family, key, value string }{
		{"ipv4", "arp_ignore", "1"}, {"ipv4", "arp_announce", "2"}, {"ipv4", "rp_filter", "2"},
		{"ipv6", "accept_ra", "0"}, {"ipv6", "autoconf", "0"}, {"ipv6", "addr_gen_mode", "0"}, {"ipv6", "disable_ipv6", "0"},
	} {
		if err := set(s.family, name, s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}

// ensureAddrs gives the device the gateway's addresses. They are of no subnet: the way to the containers is the bridge.
func ensureAddrs(c Config) error {
	device, err := netlink.LinkByName(c.Device)
	if err != nil {
		return err
	}
	for _, a := range c.Addrs {
		if err := addAddr(device, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return fmt.Errorf("%v: %w", a, err)
		}
	}
	return nil
}

// ensureOwn gives the bridge the host's own addresses, and the routes to all containers.
func ensureOwn(c Config) error {
	bridge, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return err
	}
	if err := configure(c.Bridge); err != nil {
		return err
	}
	if err := dropFormer(c, bridge); err != nil {
		return err
	}
	for _, a := range c.Own {
		if err := addAddr(bridge, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return fmt.Errorf("%v: %w", a, err)
		}
	}
	for _, p := range c.Links {
		route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: ipNet(p.Masked()), Scope: netlink.SCOPE_LINK}
		if i := slices.IndexFunc(c.Own, func(own netip.Addr) bool { return own.Is4() == p.Addr().Is4() }); i >= 0 {
			route.Src = c.Own[i].AsSlice()
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %v: %w", p, err)
		}
	}
	return nil
}

// dropFormer takes back addresses that were the host's own and are not any more: those of the containers' prefixes that are of no subnet.
// What people give the bridge has one.
func dropFormer(c Config, bridge netlink.Link) error {
	list, err := netlink.AddrList(bridge, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		ones, bits := a.Mask.Size()
		ours := slices.ContainsFunc(c.Links, func(p netip.Prefix) bool { return p.Contains(addr) })
		if !ok || ones != bits || !ours || slices.Contains(c.Own, addr) {
			continue
		}
		if err := netlink.AddrDel(bridge, &a); err != nil {
			return fmt.Errorf("taking back %v: %w", addr, err)
		}
	}
	return nil
}

// addAddr adds an address to a link. The host is its only holder, so duplicates need not be looked for.
func addAddr(link netlink.Link, p netip.Prefix) error {
	addr := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
	if p.Addr().Is4() {
		addr.Flags = unix.IFA_F_NOPREFIXROUTE
	}
	return netlink.AddrReplace(link, addr)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// ensureForwarding lets the kernel forward packets. A kernel that forwards IPv6 takes no router advertisements unless it is told to:
// interfaces that took some go on to do so.
func ensureForwarding(Config) error {
	if err := set("ipv4", "all", "forwarding", "1"); err != nil {
		return err
	}
	if value, err := os.ReadFile(key("ipv6", "all", "forwarding")); err != nil || strings.TrimSpace(string(value)) == "1" {
		return ignoreMissing(err)
	}
	files, err := filepath.Glob(key("ipv6", "*", "accept_ra"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if value, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(value)) == "1" {
			if err := os.WriteFile(f, []byte("2"), 0); ignoreMissing(err) != nil {
				return err
			}
		}
	}
	return set("ipv6", "all", "forwarding", "1")
}

// key is the file of a setting of an interface.
func key(family, name, setting string) string {
	return filepath.Join("/proc/sys/net", family, "conf", name, setting)
}

// set changes a setting of an interface if it is another. A kernel without IPv6 has none of its settings.
func set(family, name, setting, value string) error {
	file := key(family, name, setting)
	if old, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	err := os.WriteFile(file, []byte(value), 0)
	if family == "ipv6" {
		err = ignoreMissing(err)
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
