package netdev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Add makes the veth of a container. The container's end is made inside the namespace, under its final name, so the
// host never sees it. A host end of the same name is what an earlier run of the same container left, and is replaced,
// unless somebody uses it (CheckStale). Two that make the same veth must not run at the same time.
//
// On error nothing of the veth remains; the error wraps ErrExists if the container has an interface called c.IfName, and
// ErrElsewhere if somebody uses what is there; that remains.
func Add(n *Namespace, c Config) (Ends, error) {
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
	if err := checkFree(inside, c.IfName); err != nil {
		return Ends{}, err
	}
	bridge, err := findBridge(host, c.Bridge)
	if err != nil {
		return Ends{}, err
	}
	if err := checkStale(host, n, c.HostName); err != nil {
		return Ends{}, err
	}
	if err := deleteAll(host, c.HostName); err != nil {
		return Ends{}, err
	}
	if err := addVeth(host, n, c); err != nil {
		return Ends{}, err
	}
	ends, err := setUpVeth(host, inside, n, bridge, c)
	if err != nil {
		return Ends{}, errors.Join(err, deleteAll(host, c.HostName))
	}
	return ends, nil
}

func addVeth(host *netlink.Handle, n *Namespace, c Config) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.HostName
	attrs.MTU = c.MTU
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         c.IfName,
		PeerHardwareAddr: c.MAC,
		PeerNamespace:    netlink.NsFd(n.file.Fd()),
	}
	if err := host.LinkAdd(veth); err != nil {
		return fmt.Errorf("making veth %s with %s in the container: %w", c.HostName, c.IfName, err)
	}
	return nil
}

func setUpVeth(host, inside *netlink.Handle, n *Namespace, bridge netlink.Link, c Config) (Ends, error) {
	outer, err := host.LinkByName(c.HostName)
	if err != nil {
		return Ends{}, fmt.Errorf("looking for %s: %w", c.HostName, err)
	}
	if err := setAlias(host, outer, c.Alias); err != nil {
		return Ends{}, err
	}
	if err := setUpHost(host, outer, bridge); err != nil {
		return Ends{}, err
	}
	inner, err := inside.LinkByName(c.IfName)
	if err != nil {
		return Ends{}, fmt.Errorf("looking for %s in the container: %w", c.IfName, err)
	}
	if err := address(n, inside, inner, c); err != nil {
		return Ends{}, err
	}
	if err := bringUp(inside, inner, c); err != nil {
		return Ends{}, err
	}
	if err := shape(host, outer, c); err != nil {
		return Ends{}, err
	}
	announce(host, inside, outer, inner, c)
	return Ends{Host: outer.Attrs().HardwareAddr.String(), Container: c.MAC.String()}, nil
}

// bringUp sets lo and the container's end up, and adds the routes, which need that.
func bringUp(inside *netlink.Handle, inner netlink.Link, c Config) error {
	if err := setUpLoopback(inside); err != nil {
		return err
	}
	if err := inside.LinkSetUp(inner); err != nil {
		return fmt.Errorf("setting %s up in the container: %w", inner.Attrs().Name, err)
	}
	return route(inside, inner, c)
}
