package node

import (
	"slices"
	"time"

	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
)

// yield looks for machines with a temporary lease that asked another host for one since: they may have moved there. Anybody can ask in
// the name of a MAC, so nothing is taken from who is still here: the lease ends when it is not renewed for as long as it was given.
func (a *attendant) yield(now time.Time) {
	t := a.n.neighbours.Load()
	for mac, v := range a.held {
		others := t.temporary[mesh.MAC(mac)]
		if slices.ContainsFunc(others, func(id session.NodeID) bool { return !slices.Contains(v.elsewhere, id) }) {
			v.shorten(now)
		}
		v.elsewhere = others
		a.held[mac] = v
	}
}

// shorten makes the lease end temporaryGrace from now, unless it is renewed. Whoever holds it was told to renew it before that.
func (v *validity) shorten(now time.Time) {
	for _, until := range []*time.Time{&v.v4, &v.v6, &v.kept} {
		if until.After(now) {
			*until = now
		}
	}
}
