package control

import (
	"maps"
	"time"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/session"
)

// leftRetention is how long a member that left is still shown. That it left is remembered for longer, with the
// neighbour table.
const leftRetention = 5 * time.Minute

// deadRetention is how long a member that vanished is called and shown: as long as its attachments are.
const deadRetention = neighbour.Retention

// maxMembers bounds the members that are remembered.
const maxMembers = 8192

// roster is all members as this node knows them. It is pure state: not safe for concurrent use.
type roster struct {
	members map[session.NodeID]Member
	alive   int
}

func newRoster() *roster { return &roster{members: make(map[session.NodeID]Member)} }

// up notes that a member is alive and what it says about itself.
func (r *roster) up(now time.Time, id session.NodeID, m meta) (Member, bool) {
	old, ok := r.members[id]
	if !ok && len(r.members) >= maxMembers {
		return Member{}, false
	}
	member := Member{ID: id, Name: m.name, Endpoints: m.endpoints, Instance: m.instance, Created: m.created, Relays: m.relays,
		State: StateAlive, Since: old.Since}
	if !old.Alive() || old.Instance != m.instance {
		member.Since = now
	}
	r.set(member)
	return member, true
}

// down notes that a member vanished or left, and reports whether that is news.
func (r *roster) down(now time.Time, id session.NodeID, s State) (Member, bool) {
	m, ok := r.members[id]
	if !ok || m.State == s || m.State == StateLeft {
		return m, false
	}
	m.State, m.Since = s, now
	r.set(m)
	return m, true
}

// set stores m and keeps the count.
func (r *roster) set(m Member) {
	if r.members[m.ID].Alive() {
		r.alive--
	}
	if m.Alive() {
		r.alive++
	}
	r.members[m.ID] = m
}

// sweep forgets who has been gone for long.
func (r *roster) sweep(now time.Time) {
	maps.DeleteFunc(r.members, func(_ session.NodeID, m Member) bool {
		gone := now.Sub(m.Since)
		return m.State == StateDead && gone >= deadRetention || m.State == StateLeft && gone >= leftRetention
	})
}

// with returns the IDs of the members in state s.
func (r *roster) with(s State) []session.NodeID {
	var ids []session.NodeID
	for id, m := range r.members {
		if m.State == s {
			ids = append(ids, id)
		}
	}
	return ids
}

// list returns all members, in no order.
func (r *roster) list() []Member {
	all := make([]Member, 0, len(r.members))
	for _, m := range r.members {
		all = append(all, m)
	}
	return all
}
