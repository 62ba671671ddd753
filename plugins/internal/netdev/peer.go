package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrElsewhere says that the veth's other end is in another network namespace that still exists.
var ErrElsewhere = errors.New("the container has an interface in another running network namespace")

// CheckStale returns an error that wraps ErrElsewhere if there is a veth whose host end is called hostName and whose
// other end is in a live namespace other than n: somebody uses it. There being none is success, and so is one that may
// be replaced: its other end is in n, or its namespace has ended and the kernel is about to remove the pair.
func (n *Namespace) CheckStale(hostName string) error {
	host, err := openHost()
	if err != nil {
		return err
	}
	defer host.Close()
	return checkStale(host, n, hostName)
}

func checkStale(host *netlink.Handle, n *Namespace, hostName string) error {
	outer, err := host.LinkByName(hostName)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for %s: %w", hostName, err)
	}
	in, err := isIn(host, n.file, outer)
	if err != nil || in {
		return err
	}
	alive, err := peerAlive(outer)
	if err != nil {
		return fmt.Errorf("looking for the other end of %s: %w", hostName, err)
	}
	if alive {
		return ErrElsewhere
	}
	return nil
}

// LeadsTo says whether path is the network namespace that the other end of the veth called hostName is in. What cannot
// be opened is not.
func LeadsTo(path, hostName string) (bool, error) {
	file, err := openNamespace(path)
	if err != nil {
		return false, nil
	}
	defer file.Close()
	host, err := openHost()
	if err != nil {
		return false, err
	}
	defer host.Close()
	outer, err := host.LinkByName(hostName)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", hostName, err)
	}
	return isIn(host, file, outer)
}

// isIn says whether the other end of outer is in the namespace that file is. A veth whose ends are in the same namespace
// has no IFLA_LINK_NETNSID, and that of an end in another is the host's ID of that namespace; the kernel has given it
// one when it said so (rtnl_fill_link_netnsid, net/core/rtnetlink.c).
func isIn(host *netlink.Handle, file *os.File, outer netlink.Link) (bool, error) {
	id, err := host.GetNetNsIdByFd(int(file.Fd()))
	if err != nil {
		return false, fmt.Errorf("looking for the ID of a network namespace: %w", err)
	}
	return id >= 0 && id == outer.Attrs().NetNsID, nil
}

// peerAlive says whether the other end of outer is in a live namespace that is not the host. IFLA_LINK_NETNSID alone does
// not: it stays until the kernel's worker cleans up after the namespace. IFLA_TARGET_NETNSID (Linux 4.15) asks in that
// namespace, and is EINVAL as soon as nobody holds it (get_net_ns_by_id, net/core/net_namespace.c).
func peerAlive(outer netlink.Link) (bool, error) {
	id, index := outer.Attrs().NetNsID, outer.Attrs().ParentIndex
	if id < 0 || index <= 0 {
		return false, nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, binary.NativeEndian.AppendUint32(nil, uint32(id))))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return err == nil, err
}
