package tap

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// EnsureBridge makes the bridge if there is none, and reports whether it did. The bridge gets the given MTU in bytes
// and MAC address (fixed, because a bridge without one takes on that of whatever port comes and goes), no spanning tree
// and a forward delay of 0, so that a port forwards at once, no multicast snooping, which without a querier loses
// groups, and no IPv6, so that the host itself says nothing on the overlay. A bridge that is there already is used as
// it is, only set up if it was down. A name that is taken by another kind of device is an error.
func EnsureBridge(name string, mtu int, mac [6]byte) (created bool, err error) {
	if created, err = ensureBridge(name, mtu, mac); err != nil {
		return false, fmt.Errorf("making bridge %s: %w", name, err)
	}
	return created, nil
}

func ensureBridge(name string, mtu int, mac [6]byte) (created bool, err error) {
	link, err := lookBridge(name)
	if err != nil {
		return false, err
	}
	if link != nil {
		return false, setUp(link)
	}
	if err := addBridge(name, mtu, mac); err != nil {
		return false, err
	}
	if err := startBridge(name); err != nil {
		return false, errors.Join(err, deleteLink(name))
	}
	return true, nil
}

func startBridge(name string) error {
	if err := disableIPv6(name); err != nil {
		return err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return setUp(link)
}

// addBridge makes the bridge in one request, so that none is ever seen half made. The netlink package cannot set the
// forward delay.
func addBridge(name string, mtu int, mac [6]byte) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac[:]))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, nl.Uint8Attr(0))
	req.AddData(info)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return needsAdmin(err)
	}
	return nil
}

// Attach makes the TAP device a port of the bridge, and sets it up; it leaves the bridge that it is in.
func Attach(tap, bridge string) error {
	if err := attachPort(tap, bridge); err != nil {
		return fmt.Errorf("attaching %s to bridge %s: %w", tap, bridge, err)
	}
	return nil
}

func attachPort(tap, bridge string) error {
	master, err := lookBridge(bridge)
	if err != nil {
		return err
	}
	if master == nil {
		return errors.New("there is no such bridge")
	}
	port, err := netlink.LinkByName(tap)
	if err != nil {
		return err
	}
	if port.Attrs().MasterIndex != master.Attrs().Index {
		if err := netlink.LinkSetMaster(port, master); err != nil {
			return needsAdmin(err)
		}
	}
	return setUp(port)
}

// RemoveBridge removes the bridge; that there is none is not an error. What is still in it loses it, and nothing else.
func RemoveBridge(name string) error {
	bridge, err := lookBridge(name)
	if err == nil && bridge != nil {
		err = deleteLink(name)
	}
	if err != nil {
		return fmt.Errorf("removing bridge %s: %w", name, err)
	}
	return nil
}

// BridgeExists reports whether there is a bridge of that name; false as well if it cannot be told.
func BridgeExists(name string) bool {
	link, _ := lookBridge(name)
	return link != nil
}

// lookBridge returns the bridge, or nil if there is none; a device of another kind is an error.
func lookBridge(name string) (netlink.Link, error) {
	link, err := lookLink(name)
	if link == nil {
		return nil, err
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("the name is taken by a device of kind %q; remove it, or choose another bridge", kind(link))
	}
	return link, nil
}

// MovePorts makes those ports of one bridge whose name or alias match says that it wants ports of the other. A bridge that is not there
// has none.
func MovePorts(from, to string, match func(name string) bool) error {
	if err := movePorts(from, to, match); err != nil {
		return fmt.Errorf("moving the containers of bridge %s to %s: %w", from, to, err)
	}
	return nil
}

func movePorts(from, to string, match func(name string) bool) error {
	old, err := lookBridge(from)
	if err != nil || old == nil {
		return err
	}
	master, err := lookBridge(to)
	if err != nil {
		return err
	}
	if master == nil {
		return fmt.Errorf("there is no bridge %s", to)
	}
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return err
	}
	var failed []error
	for _, l := range links {
		a := l.Attrs()
		if a.MasterIndex == old.Attrs().Index && (match(a.Name) || a.Alias != "" && match(a.Alias)) {
			failed = append(failed, netlink.LinkSetMaster(l, master))
		}
	}
	return needsAdmin(errors.Join(failed...))
}
