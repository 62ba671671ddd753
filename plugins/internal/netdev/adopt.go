package netdev

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// Adopt makes the veth that a runtime has made for a container into what c says. c.HostName is the name that the
// runtime gave the host's end; the container's end is in the namespace under whatever name, and down: the runtime
// renames it and sets it up later, and what is set here survives that. An end that is in another bridge than c.Bridge
// already is an error, because moving it would undo what somebody has configured.
//
// The MAC address is set as well, since others know the container by it. A runtime that has an address of its own
// configured (lxc.net.0.hwaddr) sets that later.
//
// The host's end gets an alias, by which others know whose it is. Addresses that the runtime sets itself, later, are left
// to it (Config.Later): LXC fails on finding them.
//
// Routes other than those of the subnets need an interface that is up; if there are any, it is set up. A kernel before
// 6.2 cannot rename it then, so that the runtime fails.
//
// On error the veth is left to the runtime, which removes it.
func Adopt(n *Namespace, c Config) (Ends, error) {
	host, err := openHost()
	if err != nil {
		return Ends{}, err
	}
	defer host.Close()
	inside, err := n.handle()
	if err != nil {
		return Ends{}, err
	}
	defer inside.Close()
	bridge, err := findBridge(host, c.Bridge)
	if err != nil {
		return Ends{}, err
	}
	outer, inner, err := findPair(host, inside, c.HostName)
	if err != nil {
		return Ends{}, err
	}
	if err := checkMaster(host, outer, bridge); err != nil {
		return Ends{}, err
	}
	if err := host.LinkSetMTU(outer, c.MTU); err != nil {
		return Ends{}, fmt.Errorf("setting the MTU of %s: %w", c.HostName, err)
	}
	if err := setAlias(host, outer, c.Alias); err != nil {
		return Ends{}, err
	}
	if err := setUpHost(host, outer, bridge); err != nil {
		return Ends{}, err
	}
	if err := address(n, inside, inner, c); err != nil {
		return Ends{}, err
	}
	if slices.ContainsFunc(c.Routes, func(r Route) bool { return !c.connected(r) }) {
		if err = bringUp(inside, inner, c); err == nil {
			announce(host, inside, outer, inner, c)
		}
	} else {
		err = setUpLoopback(inside)
	}
	if err != nil {
		return Ends{}, err
	}
	return Ends{Host: outer.Attrs().HardwareAddr.String(), Container: c.MAC.String()}, nil
}

// findPair returns both ends of the veth whose host end is called hostName. IFLA_LINK of either end is the interface
// index of the other in its own namespace (drivers/net/veth.c, veth_get_iflink).
func findPair(host, inside *netlink.Handle, hostName string) (outer, inner netlink.Link, err error) {
	outer, err = host.LinkByName(hostName)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for %s: %w", hostName, err)
	}
	if outer.Type() != "veth" {
		return nil, nil, fmt.Errorf("%s is no veth but a device of type %s", hostName, outer.Type())
	}
	inner, err = inside.LinkByIndex(outer.Attrs().ParentIndex)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil, fmt.Errorf("the other end of %s is not in the container", hostName)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the other end of %s in the container: %w", hostName, err)
	}
	if inner.Type() != "veth" || inner.Attrs().ParentIndex != outer.Attrs().Index {
		return nil, nil, fmt.Errorf("the other end of %s is not in the container", hostName)
	}
	return outer, inner, nil
}

// checkMaster refuses a host end that is a port of another bridge.
func checkMaster(host *netlink.Handle, outer, bridge netlink.Link) error {
	master := outer.Attrs().MasterIndex
	if master == 0 || master == bridge.Attrs().Index {
		return nil
	}
	name := fmt.Sprintf("the device of index %d", master)
	if link, err := host.LinkByIndex(master); err == nil {
		name = link.Attrs().Name
	}
	return fmt.Errorf("%s is a port of %s already, and the network's bridge is %s: leave the bridge out of the container's configuration, or name that one",
		outer.Attrs().Name, name, bridge.Attrs().Name)
}
