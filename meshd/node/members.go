package node

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meshnet/meshd/control"
	"meshnet/meshd/session"
)

const (
	// callBackDelay is how long an older member leaves it to a newcomer to make the session, before it tries itself:
	// both at once would make two.
	callBackDelay = time.Second
	// saveInterval bounds how often known members are written to disk.
	saveInterval = 10 * time.Second
	// strangersAfter is how long members known from an earlier run are called although nobody else knows them.
	strangersAfter = 10 * time.Minute
	// maxObserved is how many of the addresses that peers see us at are passed on.
	maxObserved = 2
	// maxEndpoints is how many endpoints of a peer are tried.
	maxEndpoints = 8
)

// reconcile makes the set of wanted sessions follow the members.
func (n *Node) reconcile(now time.Time) {
	members := n.control.Members()
	known := make(map[session.NodeID]bool, len(members))
	for _, m := range members {
		if m.ID == n.ID() {
			continue
		}
		known[m.ID] = true
		if m.State == control.StateLeft {
			n.forget(now, m.ID)
			continue
		}
		n.wantMember(now, m)
		if m.Alive() && n.state.metAt.IsZero() {
			n.state.metAt = now
			close(n.joined)
		}
	}
	n.machine.SetRelays(now, relaysOf(n.ID(), members))
	n.forgetStrangers(now, known)
	n.checkMembers(now, members)
	n.state.dirty = true
}

// wantMember asks for a session with m. The member that started later calls at once, the other one a little later.
func (n *Node) wantMember(now time.Time, m control.Member) {
	endpoints := n.usable(m.Endpoints)
	w, ok := n.state.wanted[m.ID]
	if ok && slices.Equal(w.endpoints, endpoints) {
		return
	}
	if !ok {
		w.at = now
		if m.Instance > n.cfg.Instance && (*n.sessions.Load())[m.ID] == nil {
			w.at = now.Add(callBackDelay)
		}
	}
	w.endpoints, w.asked = endpoints, false
	n.state.wanted[m.ID] = w
}

// want handles control's wish to talk to a peer that has no session.
func (n *Node) want(now time.Time, id session.NodeID) {
	if w, ok := n.state.wanted[id]; ok && w.asked {
		n.machine.Connect(now, id, w.endpoints)
	}
}

// forget ends all interest in a peer.
func (n *Node) forget(now time.Time, id session.NodeID) {
	delete(n.state.wanted, id)
	n.machine.Forget(now, id, 0)
	if (*n.sessions.Load())[id] != nil {
		n.publishSessions(func(t sessionTable) { delete(t, id) })
		delete(n.state.paths, id)
		delete(n.state.routes, id)
	}
	n.fabric.RemovePeer(id)
}

// forgetStrangers stops calling those whom we remember but no member knows any more.
func (n *Node) forgetStrangers(now time.Time, known map[session.NodeID]bool) {
	if n.state.metAt.IsZero() || now.Sub(n.state.metAt) < strangersAfter {
		return
	}
	for id := range n.state.wanted {
		if !known[id] && (*n.sessions.Load())[id] == nil {
			n.forget(now, id)
		}
	}
}

// checkMembers looks for what members must not share: a name, or the making of the network.
func (n *Node) checkMembers(now time.Time, members []control.Member) {
	warnings := make(map[string]string)
	for _, c := range n.control.NameConflicts() {
		warnings[memberWarning+c.Name] = "hosts " + c.Members[0].ID.Short() + " and " + c.Members[1].ID.Short() + " are both called " +
			c.Name + ": give one of them another name (meshd --name)"
	}
	var creators []string
	for _, m := range members {
		if m.Created && m.State != control.StateLeft {
			creators = append(creators, m.Name)
		}
	}
	if len(creators) > 1 {
		slices.Sort(creators)
		warnings[memberWarning+"created"] = "hosts " + strings.Join(creators, " and ") + " both created the network: only one may " +
			"(create = true)"
	}
	maps.DeleteFunc(n.state.warnings, func(subject string, _ warning) bool {
		return strings.HasPrefix(subject, memberWarning) && warnings[subject] == ""
	})
	for subject, text := range warnings {
		n.warn(now, subject, text)
	}
}

// memberWarning begins the subjects of warnings that last as long as their cause.
const memberWarning = "members: "

// usable returns the endpoints that may be tried: none inside the overlay, which would carry the mesh by itself.
func (n *Node) usable(endpoints []netip.AddrPort) []netip.AddrPort {
	var usable []netip.AddrPort
	for _, e := range endpoints {
		if len(usable) < maxEndpoints && e.Port() != 0 && e.Addr().IsValid() && !e.Addr().IsUnspecified() && !n.inOverlay(e.Addr()) {
			usable = append(usable, e)
		}
	}
	return usable
}

// save hands the known members over to be written.
func (n *Node) save(now time.Time) {
	n.state.dirty, n.state.nextSave = false, now.Add(saveInterval)
	var peers []KnownPeer
	for _, m := range n.control.Members() {
		if m.ID == n.ID() || m.State == control.StateLeft {
			continue
		}
		seen := m.Since
		if m.Alive() {
			seen = now
		}
		peers = append(peers, KnownPeer{ID: m.ID, Name: m.Name, Endpoints: m.Endpoints, Seen: seen})
	}
	if len(peers) > 0 {
		n.cfg.SaveKnown(peers)
	}
}
