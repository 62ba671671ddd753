package node

import (
	"fmt"
	"slices"

	"meshnet/ipam"
	"meshnet/meshd/answer"
)

// reserved says whose a MAC is that is no container's or machine's, whoever asks in its name; "" if nobody's.
func (n *Node) reserved(mac answer.MAC) string {
	if n.answers.segment.Load().Speaks(mac) {
		return "the gateway's"
	}
	if n.cfg.BridgeMAC == nil {
		return ""
	}
	for _, m := range n.control.Members() {
		if n.cfg.BridgeMAC(m.ID) == mac {
			return "that of the bridge of host " + m.Name
		}
	}
	return ""
}

// strangerOf names the attachment that has the MAC of r's attachment to be, if a stranger has asked DHCP in its name. It names the
// attachment itself if there can be none, or if that is the former one, which it takes over.
func (n *Node) strangerOf(r ipam.Request) ipam.Attachment {
	switch {
	case r.Holder.Source == SourceDHCP:
		return r.Attachment // it is the stranger itself
	case r.MAC != (ipam.MAC{}) && temporaryAttachment(r.MAC) == r.Former:
		return r.Attachment
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
