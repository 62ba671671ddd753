package netdev

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
)

// dumpTries bounds how often the devices are listed anew because one came or went meanwhile (NLM_F_DUMP_INTR).
const dumpTries = 5

// What the names of devices of this package begin with; the rest is the same for all devices of one container interface.
const (
	vethPrefix = "mn" // the host's end
	ifbPrefix  = "mi" // what the container sends passes it before the bridge, if the rate of that is limited
)

// List returns the names of the host's ends of veths that Add has given that alias.
func List(alias string) ([]string, error) {
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		if a := l.Attrs(); l.Type() == "veth" && a.Alias == alias && a.Name == nameOf(vethPrefix, a.Name) {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// Alias returns the alias of a device of the host, and whether there is one.
func Alias(name string) (alias string, there bool, err error) {
	h, err := openHost()
	if err != nil {
		return "", false, err
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("looking for %s: %w", name, err)
	}
	return link.Attrs().Alias, true, nil
}

// Sweep removes the devices that limit rates of containers whose veth is gone: the kernel removes veths with their
// containers, but not these.
func Sweep() error {
	links, err := listLinks()
	if err != nil {
		return err
	}
	h, err := openHost()
	if err != nil {
		return err
	}
	defer h.Close()
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		if l.Type() != "ifb" || name != nameOf(ifbPrefix, name) {
			continue
		}
		// Asked anew, since a list is not of one moment: the veth is made first.
		if _, err := h.LinkByName(nameOf(vethPrefix, name)); errors.As(err, new(netlink.LinkNotFoundError)) {
			errs = append(errs, deleteIfb(h, name))
		}
	}
	return errors.Join(errs...)
}

// nameOf returns the name with another beginning that belongs to a name of this package; "" if it is none.
func nameOf(begin, name string) string {
	if len(name) != len(HostName("", "")) || !strings.HasPrefix(name, vethPrefix) && !strings.HasPrefix(name, ifbPrefix) {
		return ""
	}
	return begin + name[2:]
}

func listLinks() ([]netlink.Link, error) {
	h, err := openHost()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var links []netlink.Link
	for range dumpTries {
		if links, err = h.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	return links, nil
}
