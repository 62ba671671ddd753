package neighbour

import (
	"maps"
	"time"

	"meshnet/meshd/session"
)

// maxAhead bounds the ops that a copy holds above a gap. A burst of attachments arrives out of order, and seldom more
// than some dozens; beyond this the copy waits to be fetched.
const maxAhead = 1024

// table is a node's table as held here: the node's own, or a copy.
type table struct {
	epoch     uint64
	complete  uint64              // every op up to this version is in entries
	head      uint64              // the newest version heard of
	ahead     map[uint64]struct{} // versions above complete whose ops are in entries already
	entries   map[Key]entry
	withdrawn int               // entries that are only kept while an older op may arrive
	previous  map[Key]Neighbour // what was visible in the last epoch; nil once complete has reached head
	seen      time.Time         // the owner was a member then, as far as we know
}

// entry is an attachment after the op of a version. A withdrawn one is kept while an older op may still arrive.
type entry struct {
	version   uint64
	withdrawn bool
	neighbour Neighbour
}

// tombs returns 1 for a withdrawn entry.
func (e entry) tombs() int {
	if e.withdrawn {
		return 1
	}
	return 0
}

func newTable(epoch uint64, now time.Time) *table {
	return &table{epoch: epoch, ahead: make(map[uint64]struct{}), entries: make(map[Key]entry), seen: now}
}

// newer reports whether version of epoch is news to this copy.
func (t *table) newer(epoch, version uint64) bool {
	return epoch > t.epoch || epoch == t.epoch && version > t.complete
}

// behind reports whether ops are missing.
func (t *table) behind() bool { return t.complete < t.head }

// startEpoch empties the table for a new epoch, keeping what is visible until the copy is complete.
func (t *table) startEpoch(epoch uint64) {
	previous := t.visible()
	*t = table{epoch: epoch, ahead: make(map[uint64]struct{}), entries: make(map[Key]entry), previous: previous, seen: t.seen}
}

// apply takes in one op and reports whether it was new.
func (t *table) apply(op Op) bool {
	if _, ok := t.ahead[op.Version]; ok || op.Version <= t.complete || len(t.ahead) >= maxAhead {
		return false
	}
	k := op.Neighbour.Key()
	old, ok := t.entries[k]
	if !ok && len(t.entries) >= MaxEntries+maxAhead {
		return false
	}
	if !ok || old.version < op.Version {
		e := entry{version: op.Version, withdrawn: op.Kind == OpWithdraw, neighbour: op.Neighbour}
		t.entries[k] = e
		t.withdrawn += e.tombs() - old.tombs()
	}
	t.ahead[op.Version] = struct{}{}
	t.head = max(t.head, op.Version)
	return true
}

// settle moves complete up over what is held, and drops what only mattered below it.
func (t *table) settle() {
	before := t.complete
	for {
		if _, ok := t.ahead[t.complete+1]; !ok {
			break
		}
		t.complete++
		delete(t.ahead, t.complete)
	}
	if t.complete != before && t.withdrawn > 0 {
		maps.DeleteFunc(t.entries, func(_ Key, e entry) bool {
			over := e.withdrawn && e.version <= t.complete
			if over {
				t.withdrawn--
			}
			return over
		})
	}
	if !t.behind() {
		t.previous = nil
	}
}

// replace makes the copy that of w, which is newer, keeping ops above w's version that are held already.
func (t *table) replace(w Table) {
	if w.Epoch != t.epoch {
		t.startEpoch(w.Epoch)
	}
	entries := make(map[Key]entry, len(w.Entries))
	for _, n := range w.Entries {
		entries[n.Key()] = entry{version: w.Version, neighbour: n}
	}
	t.withdrawn = 0
	for k, e := range t.entries {
		if e.version > w.Version {
			entries[k] = e
			t.withdrawn += e.tombs()
		}
	}
	maps.DeleteFunc(t.ahead, func(v uint64, _ struct{}) bool { return v <= w.Version })
	t.entries, t.complete, t.head = entries, w.Version, max(t.head, w.Version)
	t.settle()
}

// visible returns what the table shows: its entries, and those of the last epoch until the copy is complete.
func (t *table) visible() map[Key]Neighbour {
	all := make(map[Key]Neighbour, len(t.entries))
	maps.Copy(all, t.previous)
	for k, e := range t.entries {
		if e.withdrawn {
			delete(all, k)
		} else {
			all[k] = e.neighbour
		}
	}
	return all
}

// snapshot returns the whole table, and false if the copy is not exactly at one version.
func (t *table) snapshot(owner session.NodeID, age time.Duration) (Table, bool) {
	if len(t.ahead) > 0 || len(t.entries) > MaxEntries {
		return Table{}, false
	}
	s := Table{Owner: owner, Epoch: t.epoch, Version: t.complete, Age: age, Entries: make([]Neighbour, 0, len(t.entries))}
	for _, e := range t.entries {
		s.Entries = append(s.Entries, e.neighbour)
	}
	return s, true
}
