package node

import (
	"fmt"
	"slices"

	"meshnet/ipam"
)

// strangerOf names the attachment that has the MAC of r's attachment to be, if a stranger has asked DHCP in its name.
func (n *Node) strangerOf(r ipam.Request) ipam.Attachment {
	switch {
	case r.Holder.Source == SourceDHCP:
		return r.Attachment // it is the stranger itself
	case r.MAC != (ipam.MAC{}):
		return temporaryAttachment(r.MAC)
	}
	return temporaryAttachment(n.cfg.Leases.FirstMAC(r.Attachment))
}

// precede ends the temporary lease of stranger, whose MAC attachment a is about to get: while a container restarts, anybody could ask in its
// name, and it would come back with another MAC and address. Both are locked.
func (n *Node) precede(a, stranger ipam.Attachment) error {
	if a == stranger {
		return nil
	}
	leases := n.cfg.Leases.Leases()
	if slices.ContainsFunc(leases, func(l ipam.Lease) bool { return l.Attachment == a }) {
		return nil // it keeps the MAC that it has
	}
	if !slices.ContainsFunc(leases, func(l ipam.Lease) bool { return l.Attachment == stranger && temporary(l) }) {
		return nil
	}
	if _, err := n.release(stranger); err != nil {
		return fmt.Errorf("ending the temporary lease of the MAC of %v: %w", a, err)
	}
	n.control.Withdraw(stranger.Container, stranger.IfName)
	n.log.Info("a temporary lease has ended", "container", stranger.Container, "why", "its MAC is that of "+a.String())
	return nil
}
