package netdev

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// handle returns a netlink handle inside the namespace. The caller closes it.
func (n *Namespace) handle() (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(n.file.Fd()), unix.NETLINK_ROUTE)
	if err != nil && errors.Is(n.do(func() error { return nil }), unix.EPERM) { // netlink hides the cause
		return nil, errNotRoot
	}
	if err != nil {
		return nil, fmt.Errorf("entering the container's network namespace: %w", err)
	}
	return h, nil
}

// address puts MTU, MAC and addresses on the container's end; it may be down.
func address(n *Namespace, h *netlink.Handle, link netlink.Link, c Config) error {
	name := link.Attrs().Name
	if err := n.do(func() error { return setSysctls(name, c.hasIPv6()) }); err != nil {
		return fmt.Errorf("preparing %s in the container: %w", name, err)
	}
	if err := h.LinkSetMTU(link, c.MTU); err != nil {
		return fmt.Errorf("setting the MTU of %s in the container: %w", name, err)
	}
	if err := h.LinkSetHardwareAddr(link, c.MAC); err != nil {
		return fmt.Errorf("setting the MAC address of %s in the container: %w", name, err)
	}
	for _, a := range c.Addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("adding address %v to %s in the container: %w", a, name, err)
		}
	}
	return nil
}

// setSysctls sets what addresses need on a device of this thread's namespace: IPv6 if there is an address of it, which some runtimes switch off in new namespaces; and arp_notify, by which the kernel announces IPv4 addresses
// when the device is set up or its MAC address is set (Documentation/networking/ip-sysctl.rst; see announce).
func setSysctls(name string, ipv6 bool) error {
	if ipv6 {
		if err := setDisableIPv6(name, "0"); err != nil {
			return fmt.Errorf("enabling IPv6: %w", err)
		}
	}
	if err := setSysctl("ipv4/conf/"+name+"/arp_notify", "1"); err != nil {
		return fmt.Errorf("setting arp_notify: %w", err)
	}
	return nil
}

// route adds the routes that the kernel does not make itself. The container's end is up.
func route(h *netlink.Handle, link netlink.Link, c Config) error {
	for _, r := range c.Routes {
		if c.connected(r) {
			continue
		}
		nr := &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: ipNet(r.Dst.Masked()),
			MTU: r.MTU, AdvMSS: r.AdvMSS, Priority: r.Priority,
		}
		if r.Table != nil {
			nr.Table = *r.Table
		}
		if r.Gateway.IsValid() {
			nr.Gw = r.Gateway.AsSlice()
			if c.later(r) {
				nr.SetFlag(netlink.FLAG_ONLINK)
			}
		} else if r.Dst.Addr().Is4() {
			nr.Scope = netlink.SCOPE_LINK
		}
		if r.Scope != nil {
			nr.Scope = netlink.Scope(*r.Scope)
		}
		if err := h.RouteReplace(nr); err != nil {
			return fmt.Errorf("adding the route to %v in the container: %w", r.Dst, err)
		}
	}
	return nil
}

// setUpLoopback sets lo up, which nobody else does in a new namespace.
func setUpLoopback(h *netlink.Handle) error {
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("setting lo up in the container: %w", err)
	}
	return nil
}

// ErrExists says that the container has an interface of that name.
var ErrExists = errors.New("the container has an interface of that name already")

// CheckFree returns an error that wraps ErrExists if the namespace has an interface called ifname.
func (n *Namespace) CheckFree(ifname string) error {
	h, err := n.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	return checkFree(h, ifname)
}

func checkFree(h *netlink.Handle, ifname string) error {
	_, err := h.LinkByName(ifname)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = ErrExists
	}
	return fmt.Errorf("looking for %s in the container: %w", ifname, err)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
