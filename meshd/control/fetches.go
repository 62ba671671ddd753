package control

import (
	"math/rand/v2"
	"time"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/session"
)

const (
	// gapDelay is how long a missing op may still arrive by gossip before the whole table is fetched.
	gapDelay = time.Second
	// spreadPerMember, times the number of members, is the time over which all of them spread the fetches that one
	// message caused: an owner answers at most 50 in a second.
	spreadPerMember = 20 * time.Millisecond
	// maxFetchAttempts bounds the attempts for one goal; push/pull brings it up again if need be.
	maxFetchAttempts = 6
	// maxFetches bounds the tables to be fetched: a peer's digests can name any number of nodes.
	maxFetches = 4096
)

// fetches are the tables that have to be fetched, by owner. It is pure state: not safe for concurrent use.
type fetches struct {
	pending map[session.NodeID]*fetch
}

type fetch struct {
	goal     neighbour.Mark
	holder   session.NodeID // who holds it; zero if only the owner is known to
	due      time.Time
	attempts int
	busy     bool
}

func newFetches() *fetches { return &fetches{pending: make(map[session.NodeID]*fetch)} }

// gap plans to fetch a table that gossip has left incomplete.
func (f *fetches) gap(now time.Time, goal neighbour.Mark, members int) {
	spread := time.Duration(max(members, 1)) * spreadPerMember
	f.plan(goal, session.NodeID{}, now.Add(gapDelay+rand.N(spread)))
}

// held plans to fetch a table from a peer that holds it.
func (f *fetches) held(now time.Time, goal neighbour.Mark, holder session.NodeID) {
	f.plan(goal, holder, now)
}

func (f *fetches) plan(goal neighbour.Mark, holder session.NodeID, due time.Time) {
	p := f.pending[goal.Owner]
	if p == nil && len(f.pending) >= maxFetches {
		return
	}
	if p == nil {
		f.pending[goal.Owner] = &fetch{goal: goal, holder: holder, due: due}
		return
	}
	if goal.Epoch > p.goal.Epoch || goal.Epoch == p.goal.Epoch && goal.Version > p.goal.Version {
		p.goal, p.attempts = goal, 0
	}
	if holder != (session.NodeID{}) {
		p.holder = holder
	}
	if due.Before(p.due) {
		p.due = due
	}
}

// take marks the fetches whose time has come as busy and returns them.
func (f *fetches) take(now time.Time) []*fetch {
	var due []*fetch
	for _, p := range f.pending {
		if !p.busy && !p.due.After(now) {
			p.busy = true
			due = append(due, p)
		}
	}
	return due
}

// finish ends a fetch that take returned: for good if done, or if it has been tried too often.
func (f *fetches) finish(now time.Time, owner session.NodeID, done bool) {
	p := f.pending[owner]
	p.busy = false
	p.attempts++
	if done || p.attempts >= maxFetchAttempts {
		delete(f.pending, owner)
		return
	}
	p.holder = session.NodeID{}
	p.due = now.Add(jitter(time.Second << p.attempts))
}

// next returns when take has something to return, or the zero time.
func (f *fetches) next() time.Time {
	var next time.Time
	for _, p := range f.pending {
		if !p.busy && (next.IsZero() || p.due.Before(next)) {
			next = p.due
		}
	}
	return next
}
