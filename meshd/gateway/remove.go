package gateway

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Exists reports whether there is a gateway, or what is left of one: its device is made first and goes last.
func Exists(c Config) (bool, error) {
	_, err := netlink.LinkByName(c.Device)
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("gateway: looking for %s: %w", c.Device, err)
	}
	return true, nil
}

// Remove removes what Ensure made, but for what it has set up in the kernel as a whole. That there is nothing is no error.
func Remove(c Config) error {
	if err := removeAll(c); err != nil {
		return fmt.Errorf("removing the gateway %s: %w", c.Device, err)
	}
	return nil
}

func removeAll(c Config) error {
	link, err := netlink.LinkByName(c.Device)
	there := !errors.As(err, new(netlink.LinkNotFoundError))
	if there && err == nil {
		err = netlink.LinkSetDown(link) // or packets would pass that the rules keep back
	}
	if there && err != nil {
		return err
	}
	if err := errors.Join(removeOwn(c), removeTable(c.Table)); err != nil || !there {
		return err
	}
	return netlink.LinkDel(link)
}

// removeOwn takes the host's own addresses, whichever they are, and the routes back from the bridge, if that is there.
func removeOwn(c Config) error {
	bridge, err := netlink.LinkByName(c.Bridge)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range c.Links {
		err := netlink.RouteDel(&netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: ipNet(p.Masked()), Scope: netlink.SCOPE_LINK})
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	c.Own = nil
	if err := dropFormer(c, bridge); err != nil {
		return err
	}
	return set("ipv6", c.Bridge, "disable_ipv6", "1")
}
