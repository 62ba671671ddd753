package control

import (
	"math/rand/v2"
	"time"

	"meshnet/meshd/session"
)

const (
	// politeDelay is how long the older of two nodes that meet leaves the exchange of states to the newer one.
	politeDelay = time.Second
	// retryMin to retryMax is how long after a failed exchange the next one follows; it doubles.
	retryMin = time.Second
	retryMax = 30 * time.Second
	// recheck is how long an exchange of states takes to show effect: some rounds of gossip, for a member that has
	// to refute its own death first.
	recheck = 2 * time.Second
	// reviveInterval is how often a member that vanished is called, and if a session with it is up nevertheless,
	// tried. It bounds the time that a healed partition goes unnoticed.
	reviveInterval = 10 * time.Second
	// maxJoins bounds the exchanges under way at once. Nodes that start together soon learn of each other from the
	// first few.
	maxJoins = 4
)

// introductions are the peers with whom states have to be exchanged, and when. It is pure state: not safe for
// concurrent use.
type introductions struct {
	pending map[session.NodeID]*introduction
	busy    int // exchanges under way
}

type introduction struct {
	due      time.Time
	failures int
	busy     bool
}

func newIntroductions() *introductions {
	return &introductions{pending: make(map[session.NodeID]*introduction)}
}

// met plans an exchange with a peer of whom a session is up: at once if this node is the newer of the two.
func (in *introductions) met(now time.Time, id session.NodeID, newer bool) {
	due := now
	if !newer {
		due = now.Add(politeDelay)
	}
	i := in.pending[id]
	if i == nil {
		i = &introduction{due: due}
		in.pending[id] = i
	}
	i.failures = 0
	if due.Before(i.due) {
		i.due = due
	}
}

// lost plans to call a member that vanished.
func (in *introductions) lost(now time.Time, id session.NodeID) {
	if in.pending[id] == nil {
		in.pending[id] = &introduction{due: now.Add(jitter(reviveInterval))}
	}
}

// take returns the peers whose time has come.
func (in *introductions) take(now time.Time) []session.NodeID {
	var ids []session.NodeID
	for id, i := range in.pending {
		if !i.busy && !i.due.After(now) {
			ids = append(ids, id)
		}
	}
	return ids
}

// start marks an exchange as under way and reports whether there is room for one.
func (in *introductions) start(id session.NodeID) bool {
	if in.busy >= maxJoins {
		return false
	}
	in.pending[id].busy = true
	in.busy++
	return true
}

// finish ends an exchange and plans to look whether it had effect, or the next one.
func (in *introductions) finish(now time.Time, id session.NodeID, ok bool) {
	i := in.pending[id]
	i.busy = false
	in.busy--
	i.due = now.Add(recheck)
	if !ok {
		i.due = now.Add(jitter(min(retryMin<<min(i.failures, 5), retryMax)))
		i.failures++
	}
}

// postpone plans to call a member again that vanished and has no session.
func (in *introductions) postpone(now time.Time, id session.NodeID) {
	in.pending[id].due = now.Add(jitter(reviveInterval))
}

// drop forgets a peer: it is an alive member, or has gone.
func (in *introductions) drop(id session.NodeID) { delete(in.pending, id) }

// next returns when take has something to return, or the zero time. Peers that wait for room do not count: whoever
// finishes makes room.
func (in *introductions) next() time.Time {
	var next time.Time
	if in.busy >= maxJoins {
		return next
	}
	for _, i := range in.pending {
		if !i.busy && (next.IsZero() || i.due.Before(next)) {
			next = i.due
		}
	}
	return next
}

// jitter returns d, more or less a quarter.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }
