package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
)

// neighbourTable is what attaching and the switch need of the neighbour table: who has which address and MAC.
type neighbourTable struct {
	addrs     map[netip.Addr]session.NodeID
	macs      map[mesh.MAC]session.NodeID
	temporary map[mesh.MAC][]session.NodeID // the other nodes that have given a MAC a temporary lease
}

// readNeighbours publishes the neighbour table to the frame path, to what answers containers, and to Attach. Two nodes that claim one MAC or address are
// ordered: this node's own attachments come first, so that no member can take their traffic away. Containers are told of addresses that moved.
func (n *Node) readNeighbours(now time.Time) {
	t := &neighbourTable{
		addrs: make(map[netip.Addr]session.NodeID), macs: make(map[mesh.MAC]session.NodeID), temporary: make(map[mesh.MAC][]session.NodeID),
	}
	neighbours := n.control.Neighbours()
	for _, nb := range neighbours {
		for _, a := range nb.Addrs {
			claim(n.ID(), t.addrs, a, nb.Node)
		}
		if known(nb) {
			claim(n.ID(), t.macs, mesh.MAC(nb.MAC), nb.Node)
		} else if mac, ok := temporaryMAC(nb); ok && nb.Node != n.ID() {
			t.temporary[mesh.MAC(mac)] = append(t.temporary[mesh.MAC(mac)], nb.Node)
		}
	}
	n.neighbours.Store(t)
	n.fabric.Neighbours(t.macs)
	moved := n.answers.publish(now, n, neighbours, n.cfg.Leases.Leases())
	for _, addr := range moved {
		n.fabric.Say(n.cfg.TAP, n.answers.segment.Load().Announce(nil, addr, n.answers.tables.Load().Holders[addr]))
	}
	offer(n.answers.told, struct{}{})
}

// claim gives key to node, unless self or a node of a lower ID has it.
func claim[K comparable](self session.NodeID, table map[K]session.NodeID, key K, node session.NodeID) {
	holder, taken := table[key]
	if !taken || node == self || holder != self && bytes.Compare(node[:], holder[:]) < 0 {
		table[key] = node
	}
}

// Attach gives an attachment its lease, which is on disk when Attach returns, and lets the members know. The same
// attachment gets the same lease however often it asks. Who comes with a MAC that has asked for addresses before it was attached takes
// over what it was given.
func (n *Node) Attach(ctx context.Context, r ipam.Request) (ipam.Lease, error) {
	a := r.Attachment
	if r.Former == (ipam.Attachment{}) && r.MAC != (ipam.MAC{}) && r.Holder.Source != SourceDHCP && r.Holder.Source != SourceHost {
		r.Former = temporaryAttachment(answer.MAC(r.MAC))
	}
	stranger := n.strangerOf(r)
	defer n.attaching.lock(a, r.Former, stranger)()
	if err := n.precede(a, stranger); err != nil {
		return ipam.Lease{}, err
	}
	lease, err := n.lease(ctx, r)
	if err != nil {
		return ipam.Lease{}, err // names the attachment, or the address that is asked for
	}
	if err := n.control.Upsert(n.neighbour(lease)); err != nil {
		_, released := n.release(a)
		return ipam.Lease{}, errors.Join(fmt.Errorf("telling the members of %v: %w", a, err), released)
	}
	if r.Former != (ipam.Attachment{}) && r.Former != a {
		n.control.Withdraw(n.shown(r.Former), r.Former.IfName)
	}
	return lease, nil
}

// Detach ends an attachment and reports whether there was one.
func (n *Node) Detach(a ipam.Attachment) (bool, error) {
	defer n.attaching.lock(a)()
	existed, err := n.release(a)
	if err != nil {
		return false, fmt.Errorf("releasing the address of %v: %w", a, err)
	}
	n.control.Withdraw(n.shown(a), a.IfName)
	return existed, nil
}

// release ends a lease.
func (n *Node) release(a ipam.Attachment) (bool, error) {
	if n.manager != nil {
		return n.manager.Release(a)
	}
	return n.cfg.Leases.Release(time.Now(), a)
}

// keyed lets one goroutine at a time change an attachment, so that what is on disk and what the members are told agree.
type keyed struct {
	mu   sync.Mutex
	busy map[ipam.Attachment]*attachLock
}

type attachLock struct {
	mu    sync.Mutex
	users int
}

// lock waits until nobody else changes these, of which zero ones do not count, and returns what ends our own turn.
func (k *keyed) lock(attachments ...ipam.Attachment) (unlock func()) {
	slices.SortFunc(attachments, func(a, b ipam.Attachment) int { // so that no two wait for each other
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.IfName, b.IfName))
	})
	var unlocks []func()
	for _, a := range slices.Compact(attachments) {
		if a != (ipam.Attachment{}) {
			unlocks = append(unlocks, k.lockOne(a))
		}
	}
	return func() {
		for _, unlock := range unlocks {
			unlock()
		}
	}
}

func (k *keyed) lockOne(a ipam.Attachment) (unlock func()) {
	k.mu.Lock()
	l := k.busy[a]
	if l == nil {
		if k.busy == nil {
			k.busy = make(map[ipam.Attachment]*attachLock)
		}
		l = new(attachLock)
		k.busy[a] = l
	}
	l.users++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.busy, a)
		}
	}
}

// Leases returns this member's leases.
func (n *Node) Leases() []ipam.Lease { return n.cfg.Leases.Leases() }

// taken reports whether another member's attachment has the address or the MAC.
func (n *Node) taken(addr netip.Addr, mac ipam.MAC) bool {
	t := n.neighbours.Load()
	byAddr, ok := t.addrs[addr] // the zero address is nobody's
	if ok && byAddr != n.ID() {
		return true
	}
	byMAC, ok := t.macs[mesh.MAC(mac)]
	return ok && byMAC != n.ID()
}

// known reports whether it is known which MAC nb has on the wire.
func known(nb control.Neighbour) bool { return nb.MAC != [6]byte{} }

// neighbour returns what the members are told of a lease. Which MAC another plugin's interface has nobody says. That a machine which asked
// for a temporary lease is on this host only its frames say, wherever they come from: switches learn its MAC, and nobody else is shut out.
func (n *Node) neighbour(l ipam.Lease) control.Neighbour {
	mac := l.MAC
	if l.Holder.Source == SourceCNIIPAM || temporary(l) {
		mac = ipam.MAC{}
	}
	addrs := []netip.Addr{l.IPv6}
	if l.IPv4.IsValid() && !l.Lost {
		addrs = append(addrs, l.IPv4)
	}
	return control.Neighbour{
		Container: n.shown(l.Attachment),
		IfName:    l.IfName,
		MAC:       mac,
		Addrs:     addrs,
		Node:      n.ID(),
	}
}

// hostPrefix is in front of a member's name where a container's would be, for its own attachment.
const hostPrefix = "@"

// shown returns the name under which others see an attachment: that of the host itself, which is no container's, for its own.
func (n *Node) shown(a ipam.Attachment) string {
	if a.Container == "" {
		return hostPrefix + n.cfg.NodeName
	}
	return a.Container
}

// isHost reports whether nb is a member's own attachment.
func isHost(nb control.Neighbour) bool { return strings.HasPrefix(nb.Container, hostPrefix) }

// ownNeighbours returns what the members are told of all leases.
func (n *Node) ownNeighbours() []control.Neighbour {
	var own []control.Neighbour
	for _, l := range n.cfg.Leases.Leases() {
		own = append(own, n.neighbour(l))
	}
	return own
}
