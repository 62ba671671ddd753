package neighbour

import (
	"maps"
	"time"

	"meshnet/meshd/session"
)

const (
	// Retention is how long a table outlives its owner's last sign of life: a host that was shut down on Friday
	// evening finds on Monday morning that nobody has taken its containers' addresses.
	Retention = 72 * time.Hour
	// leftNews is how long digests go on telling that a node has left; by then push/pull has reached all.
	leftNews = time.Hour

	// maxTables and maxTotal bound the tables and the entries of all: what 4,096 hosts of 64 containers need.
	maxTables = 4096
	maxTotal  = 1 << 18
)

// Tables is the neighbour table of a network: the table of each node. It is not safe for concurrent use.
type Tables struct {
	self   session.NodeID
	tables map[session.NodeID]*table
	left   map[session.NodeID]departure
	total  int // entries of all tables
}

// departure remembers that a node left.
type departure struct {
	epoch uint64
	at    time.Time
}

// NewTables returns the tables of node self, whose own is empty and has the given epoch.
func NewTables(now time.Time, self session.NodeID, epoch uint64) *Tables {
	return &Tables{
		self:   self,
		tables: map[session.NodeID]*table{self: newTable(epoch, now)},
		left:   make(map[session.NodeID]departure),
	}
}

// Outcome says what a message changed.
type Outcome struct {
	Fresh   bool // there was news in it: relay it
	Changed bool // All returns something else than before
	Behind  bool // ops of its owner are missing
}

// Apply takes in a gossiped update.
func (ts *Tables) Apply(now time.Time, u Update) Outcome {
	if u.Owner == ts.self || ts.gone(u.Owner, u.Epoch) {
		return Outcome{}
	}
	t := ts.tables[u.Owner]
	if t == nil {
		if len(ts.tables) >= maxTables {
			return Outcome{}
		}
		t = newTable(u.Epoch, now)
		ts.tables[u.Owner] = t
	}
	if u.Epoch < t.epoch {
		return Outcome{}
	}
	defer ts.recount(t, len(t.entries))
	var o Outcome
	hidden := t.previous != nil
	if u.Epoch > t.epoch {
		t.startEpoch(u.Epoch)
		o.Fresh, hidden = true, true
	}
	if u.Head > t.head {
		t.head = u.Head
		o.Fresh = true
	}
	if ts.total < maxTotal {
		for _, op := range u.Ops {
			if t.apply(op) {
				o.Fresh, o.Changed = true, true
			}
		}
	}
	t.settle()
	o.Behind = t.behind()
	o.Changed = o.Changed || hidden && t.previous == nil
	t.seen = later(t.seen, now)
	return o
}

// Replace takes in a whole table that was fetched and reports whether All has changed: it counts if it is newer than
// what is held.
func (ts *Tables) Replace(now time.Time, w Table) bool {
	if w.Owner == ts.self || ts.gone(w.Owner, w.Epoch) || w.Age >= Retention || ts.total+len(w.Entries) > maxTotal {
		return false
	}
	t := ts.tables[w.Owner]
	switch {
	case t == nil && len(ts.tables) >= maxTables:
		return false
	case t == nil:
		t = newTable(w.Epoch, now.Add(-w.Age))
		ts.tables[w.Owner] = t
	case !t.newer(w.Epoch, w.Version):
		return false
	}
	defer ts.recount(t, len(t.entries))
	t.seen = later(t.seen, now.Add(-w.Age))
	t.replace(w)
	return true
}

// recount keeps total right; it is deferred with the number of t's entries before a change.
func (ts *Tables) recount(t *table, before int) { ts.total += len(t.entries) - before }

// Leave forgets the table of a node that left with the instance epoch, for good, and reports whether that was news.
func (ts *Tables) Leave(now time.Time, owner session.NodeID, epoch uint64) bool {
	d, known := ts.left[owner]
	if owner == ts.self || ts.gone(owner, epoch) || !known && len(ts.left) >= maxTables {
		return false
	}
	d.epoch, d.at = epoch, later(d.at, now)
	ts.left[owner] = d
	if t := ts.tables[owner]; t != nil && t.epoch <= epoch {
		ts.drop(owner)
	}
	return true
}

// HasLeft reports whether owner is known to have left with this instance or a later one.
func (ts *Tables) HasLeft(owner session.NodeID, epoch uint64) bool { return ts.gone(owner, epoch) }

func (ts *Tables) gone(owner session.NodeID, epoch uint64) bool {
	d, ok := ts.left[owner]
	return ok && epoch <= d.epoch
}

func (ts *Tables) drop(owner session.NodeID) {
	ts.total -= len(ts.tables[owner].entries)
	delete(ts.tables, owner)
}

// Behind reports whether the copy of goal.Owner's table lacks ops that are known to exist, or has not reached goal.
func (ts *Tables) Behind(goal Mark) bool {
	if goal.Owner == ts.self || ts.gone(goal.Owner, goal.Epoch) {
		return false
	}
	t := ts.tables[goal.Owner]
	return t == nil || t.behind() || t.newer(goal.Epoch, goal.Version)
}

// Held returns how far the copy of owner's table is complete.
func (ts *Tables) Held(owner session.NodeID) Mark {
	m := Mark{Owner: owner}
	if t := ts.tables[owner]; t != nil {
		m.Epoch, m.Version = t.epoch, t.complete
	}
	return m
}

// Answer returns the table that a peer asks for, if one newer than what the peer holds is here, and at one version.
func (ts *Tables) Answer(now time.Time, held Mark) (Table, bool) {
	t := ts.tables[held.Owner]
	if t == nil || t.epoch < held.Epoch || t.epoch == held.Epoch && t.complete <= held.Version {
		return Table{}, false
	}
	return t.snapshot(held.Owner, ts.age(now, held.Owner, t))
}

// age returns how long ago owner was last a member.
func (ts *Tables) age(now time.Time, owner session.NodeID, t *table) time.Duration {
	if owner == ts.self {
		return 0
	}
	return max(now.Sub(t.seen), 0)
}

// Digests returns what is held of each table, and who has left lately.
func (ts *Tables) Digests(now time.Time) []Digest {
	digests := make([]Digest, 0, len(ts.tables))
	for owner, t := range ts.tables {
		digests = append(digests, Digest{Owner: owner, Epoch: t.epoch, Version: t.complete, Age: ts.age(now, owner, t)})
	}
	for owner, d := range ts.left {
		if age := now.Sub(d.at); age < leftNews {
			digests = append(digests, Digest{Owner: owner, Epoch: d.epoch, Age: age, Left: true})
		}
	}
	return digests
}

// Comparison is what a peer's digests say that is news here.
type Comparison struct {
	Goals   []Mark // how far the peer's copies are, where it holds more: to be fetched
	Left    []Left // departures
	Changed bool   // All returns something else than before
}

// Compare takes in a peer's digests.
func (ts *Tables) Compare(now time.Time, digests []Digest) Comparison {
	var c Comparison
	for _, d := range digests {
		heard := now.Add(-d.Age)
		switch t := ts.tables[d.Owner]; {
		case d.Owner == ts.self || d.Age >= Retention:
		case d.Left:
			if ts.Leave(heard, d.Owner, d.Epoch) {
				c.Left, c.Changed = append(c.Left, Left{Owner: d.Owner, Epoch: d.Epoch}), true
			}
		case ts.gone(d.Owner, d.Epoch):
		case t != nil && !t.newer(d.Epoch, d.Version):
			t.seen = later(t.seen, heard)
		case d.Version == 0: // an empty table needs no fetching
			c.Changed = ts.Replace(now, Table{Owner: d.Owner, Epoch: d.Epoch, Age: d.Age}) || c.Changed
		default:
			c.Goals = append(c.Goals, Mark{Owner: d.Owner, Epoch: d.Epoch, Version: d.Version})
		}
	}
	return c
}

// Seen notes that the owners are members now.
func (ts *Tables) Seen(now time.Time, owners []session.NodeID) {
	for _, owner := range owners {
		if t := ts.tables[owner]; t != nil {
			t.seen = later(t.seen, now)
		}
	}
}

// Sweep forgets tables and departures older than Retention and reports whether All has changed.
func (ts *Tables) Sweep(now time.Time) bool {
	changed := false
	for owner, t := range ts.tables {
		if owner != ts.self && now.Sub(t.seen) >= Retention {
			ts.drop(owner)
			changed = true
		}
	}
	maps.DeleteFunc(ts.left, func(_ session.NodeID, d departure) bool { return now.Sub(d.at) >= Retention })
	return changed
}

// All returns the attachments of all nodes, in no order. The caller owns the slice, not the addresses in it.
func (ts *Tables) All() []Neighbour {
	all := make([]Neighbour, 0, ts.total)
	for _, t := range ts.tables {
		if t.previous != nil {
			for _, n := range t.visible() {
				all = append(all, n)
			}
			continue
		}
		for _, e := range t.entries {
			if !e.withdrawn {
				all = append(all, e.neighbour)
			}
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
