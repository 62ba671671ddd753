package node

import (
	"fmt"
	"net/netip"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
)

// neighbourTable is what attaching and the switch need of the neighbour table: who has which address and MAC.
type neighbourTable struct {
	all   []control.Neighbour
	addrs map[netip.Addr]session.NodeID
	macs  map[mesh.MAC]session.NodeID
}

// readNeighbours publishes the neighbour table to the frame path and to Attach.
func (n *Node) readNeighbours() {
	t := &neighbourTable{
		all:   n.control.Neighbours(),
		addrs: make(map[netip.Addr]session.NodeID),
		macs:  make(map[mesh.MAC]session.NodeID),
	}
	for _, nb := range t.all {
		for _, a := range nb.Addrs {
			t.addrs[a] = nb.Node
		}
		t.macs[nb.MAC] = nb.Node
	}
	n.neighbours.Store(t)
	n.fabric.Neighbours(t.macs)
}

// Attach gives an attachment its lease, which is on disk with its holder when Attach returns, and lets the members know.
// The same attachment gets the same lease however often it asks, and whoever holds it.
func (n *Node) Attach(a ipam.Attachment, holder ipam.Holder) (ipam.Lease, error) {
	lease, err := n.cfg.Leases.Lease(time.Now(), ipam.Request{Attachment: a, Holder: holder, IPv4: ipam.V4Request{None: true}}, n.taken)
	if err != nil {
		return ipam.Lease{}, fmt.Errorf("leasing an address for %s/%s: %w", a.Container, a.IfName, err)
	}
	n.control.Upsert(n.neighbour(lease))
	return lease, nil
}

// Detach ends an attachment and reports whether there was one.
func (n *Node) Detach(a ipam.Attachment) (bool, error) {
	existed, err := n.cfg.Leases.Release(time.Now(), a)
	if err != nil {
		return false, fmt.Errorf("releasing the address of %s/%s: %w", a.Container, a.IfName, err)
	}
	n.control.Withdraw(a.Container, a.IfName)
	return existed, nil
}

// Leases returns this member's leases.
func (n *Node) Leases() []ipam.Lease { return n.cfg.Leases.Leases() }

// taken reports whether another member's attachment has the address or the MAC.
func (n *Node) taken(addr netip.Addr, mac ipam.MAC) bool {
	t := n.neighbours.Load()
	byAddr, ok := t.addrs[addr]
	if ok && byAddr != n.ID() {
		return true
	}
	byMAC, ok := t.macs[mesh.MAC(mac)]
	return ok && byMAC != n.ID()
}

// neighbour returns what the members are told of a lease.
func (n *Node) neighbour(l ipam.Lease) control.Neighbour {
	return control.Neighbour{
		Container: l.Container,
		IfName:    l.IfName,
		MAC:       l.MAC,
		Addrs:     []netip.Addr{l.IPv6},
		Node:      n.ID(),
	}
}

// ownNeighbours returns what the members are told of all leases.
func (n *Node) ownNeighbours() []control.Neighbour {
	var own []control.Neighbour
	for _, l := range n.cfg.Leases.Leases() {
		own = append(own, n.neighbour(l))
	}
	return own
}
