package node

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meshnet/meshd/control"
	"meshnet/meshd/session"
)

// Status is the state of a node.
type Status struct {
	Endpoints   []netip.AddrPort // at which others are told to reach this host
	PeersUp     int              // with whom there is a session
	PeersTotal  int              // that have not left
	Attachments int              // of this member, without its own
	Leases      int              // attachments of all members, without their own
	RXBytes     uint64           // received in sessions that are up
	TXBytes     uint64
	Counters    map[string]uint64
	Warnings    []string // for the operator, one sentence each, sorted
}

// PeerState says what is known of a peer.
type PeerState int

// The states of a peer.
const (
	PeerConnecting PeerState = iota // a member, without a session yet
	PeerUp                          // there is a session
	PeerDown                        // nobody hears it
	PeerLeft                        // it left the network
)

// Peer is another member.
type Peer struct {
	Name         string
	ID           session.NodeID
	State        PeerState
	Since        time.Time        // when the membership's view of it began
	Endpoint     netip.AddrPort   // where it is reached; invalid without a session, and through a relay
	Relay        string           // name of the member through which it is reached, or its identity; "": directly
	PathMTU      session.PathMTU  // of the path to Endpoint
	Lanes        int              // of that path in use, the first included
	Endpoints    []netip.AddrPort // where it says it can be reached
	Established  time.Time
	LastReceived time.Time
	Instance     uint64
	Created      bool // it created the network
	Attachments  int
	Warnings     []string

	RXBytes, TXBytes         uint64
	RXDatagrams, TXDatagrams uint64
}

// Neighbour is an attachment of any member.
type Neighbour struct {
	control.Neighbour
	NodeName string
	State    PeerState // of its node; PeerUp for this one
}

// IsHost reports whether nb is a member's own attachment, which is no container.
func (nb Neighbour) IsHost() bool { return isHost(nb.Neighbour) }

// Status returns how the node is. The error is ErrEnded or that of ctx.
func (n *Node) Status(ctx context.Context) (Status, error) {
	st := Status{
		Counters: n.Counters(),
	}
	for _, l := range n.cfg.Leases.Leases() {
		if l.Container != "" { // not the host itself
			st.Attachments++
		}
	}
	for _, nb := range n.control.Neighbours() {
		if !isHost(nb) {
			st.Leases++
		}
	}
	for _, p := range n.Peers() {
		if p.State == PeerLeft {
			continue
		}
		st.PeersTotal++
		if p.State == PeerUp {
			st.PeersUp++
		}
		st.RXBytes += p.RXBytes
		st.TXBytes += p.TXBytes
	}
	err := n.do(ctx, func(now time.Time) {
		st.Endpoints = n.ownEndpoints()
		for subject, w := range n.state.warnings {
			if strings.HasPrefix(subject, memberWarning) || now.Sub(w.at) < warningAge {
				st.Warnings = append(st.Warnings, w.text)
			} else {
				delete(n.state.warnings, subject)
			}
		}
	})
	slices.Sort(st.Warnings)
	return st, err
}

// Peers returns the other members, sorted by name and identity.
func (n *Node) Peers() []Peer {
	attachments := make(map[session.NodeID]int)
	for _, nb := range n.control.Neighbours() {
		if !isHost(nb) {
			attachments[nb.Node]++
		}
	}
	sessions := *n.sessions.Load()
	var peers []Peer
	members := n.control.Members()
	for _, m := range members {
		if m.ID == n.ID() {
			continue
		}
		p := Peer{
			Name: m.Name, ID: m.ID, Since: m.Since, Endpoints: m.Endpoints, Instance: m.Instance, Created: m.Created,
			State: stateOf(m, sessions[m.ID]), Attachments: attachments[m.ID],
		}
		if s := sessions[m.ID]; s != nil {
			e := s.Endpoint()
			p.Endpoint, p.PathMTU, p.Lanes = e.Addr, s.PathMTU(), s.Lanes()
			if e.Relayed() {
				p.Relay = nameOf(e.Hop().Via, members)
			}
			p.Established, p.LastReceived = s.Established(), s.LastReceived()
			t := s.Traffic()
			p.RXBytes, p.TXBytes, p.RXDatagrams, p.TXDatagrams = t.RxBytes, t.TxBytes, t.RxDatagrams, t.TxDatagrams
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return peers
}

// nameOf returns what people call a member.
func nameOf(id session.NodeID, members []control.Member) string {
	for _, m := range members {
		if m.ID == id {
			return m.Name
		}
	}
	return id.Short()
}

// stateOf joins what membership and the session say of a peer.
func stateOf(m control.Member, s *session.Session) PeerState {
	switch {
	case m.State == control.StateLeft:
		return PeerLeft
	case m.State == control.StateDead:
		return PeerDown
	case s == nil:
		return PeerConnecting
	}
	return PeerUp
}

// Neighbours returns the attachments of all members, this one's included, sorted by node, container and interface.
func (n *Node) Neighbours() []Neighbour {
	names := map[session.NodeID]control.Member{}
	for _, m := range n.control.Members() {
		names[m.ID] = m
	}
	sessions := *n.sessions.Load()
	var all []Neighbour
	for _, nb := range n.control.Neighbours() {
		e := Neighbour{Neighbour: nb, NodeName: n.cfg.NodeName, State: PeerUp}
		if mac, ok := temporaryMAC(nb); ok {
			e.MAC = mac
		}
		if nb.Node != n.ID() {
			m := names[nb.Node]
			e.NodeName, e.State = m.Name, stateOf(m, sessions[nb.Node])
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.Container, b.Container), cmp.Compare(a.IfName, b.IfName))
	})
	return all
}
