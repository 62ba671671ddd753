package node

import (
	"slices"
	"time"

	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
)

// yield ends the leases of MACs that are a container's, on this host or another: an attachment precedes. And it looks for machines with a temporary lease that asked another host for one since: they may have moved there. Anybody can ask in
// the name of a MAC, so nothing is taken from who is still here: the lease ends when it is not renewed for as long as it was given.
func (a *attendant) yield(now time.Time) {
	t, leases := a.n.neighbours.Load(), a.n.answers.tables.Load().Leases
	for mac, v := range a.held {
		if a.leasing[mac] {
			continue // it is looked at when it is made
		}
		if !leases[mac].Temporary { // it ended when a container was attached here
			delete(a.held, mac)
			a.ended(now)
			continue
		}
		if _, attached := t.macs[mesh.MAC(mac)]; attached {
			a.end(now, mac, "its MAC is that of a container")
			continue
		}
		others := t.temporary[mesh.MAC(mac)]
		if slices.ContainsFunc(others, func(id session.NodeID) bool { return !slices.Contains(v.elsewhere, id) }) {
			v.shorten(now)
		}
		v.elsewhere = others
		a.held[mac] = v
	}
}
