package netdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Ends tells callers the MAC addresses of the two ends, as text.
type Ends struct{ Host, Container string }

// openHost returns a handle for the calling thread's namespace. The caller closes it.
func openHost() (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return h, nil
}

// findBridge returns the bridge called name.
func findBridge(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("there is no bridge %s on this host; is it the host on which meshd runs?", name)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for bridge %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("%s is no bridge but a device of type %s", name, link.Type())
	}
	return link, nil
}

// setUpHost makes the host's end a port of the bridge that is up and has no IPv6 of its own: what the host says to
// itself on that link is nobody's business. Hairpin and isolation stay as for every new port: off.
func setUpHost(h *netlink.Handle, link, bridge netlink.Link) error {
	name := link.Attrs().Name
	if err := disableIPv6(name); err != nil {
		return fmt.Errorf("disabling IPv6 on %s: %w", name, err)
	}
	if link.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := h.LinkSetMaster(link, bridge); err != nil {
			return fmt.Errorf("putting %s into bridge %s: %w", name, bridge.Attrs().Name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}

// setAlias gives a device an alias, unless that is empty.
func setAlias(h *netlink.Handle, link netlink.Link, alias string) error {
	if alias == "" {
		return nil
	}
	if err := h.LinkSetAlias(link, alias); err != nil {
		return fmt.Errorf("giving %s the alias %s: %w", link.Attrs().Name, alias, err)
	}
	return nil
}

// disableIPv6 switches IPv6 off on a device of this thread's namespace. A kernel without IPv6, and a read-only /proc,
// leave nothing to do: the device then has a link-local address at most.
func disableIPv6(name string) error { return setDisableIPv6(name, "1") }

func setDisableIPv6(name, value string) error {
	return setSysctl("ipv6/conf/"+name+"/disable_ipv6", value)
}

// setSysctl sets one of net, if it is there and can be written.
func setSysctl(path, value string) error {
	err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// Delete removes the veth whose host end is called hostName, and with it the container's end. There being none is
// success: the kernel removes the pair with the container's namespace. What limits the container's rate, which the kernel does
// not remove, goes as well.
func Delete(hostName string) error {
	h, err := openHost()
	if err != nil {
		return err
	}
	defer h.Close()
	return deleteAll(h, hostName)
}

func deleteAll(h *netlink.Handle, hostName string) error {
	err := deleteVeth(h, hostName)
	if ifb := nameOf(ifbPrefix, hostName); ifb != "" {
		err = errors.Join(err, deleteIfb(h, ifb))
	}
	return err
}

func deleteVeth(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for %s: %w", name, err)
	}
	if link.Type() != "veth" {
		return fmt.Errorf("%s is no veth but a device of type %s: not removing it", name, link.Type())
	}
	err = h.LinkDel(link)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) { // gone meanwhile, with its namespace
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}
