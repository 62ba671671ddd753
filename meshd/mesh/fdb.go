package mesh

import (
	"bytes"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"meshnet/meshd/session"
)

const (
	// ageingTime is how long a learned MAC is believed without a frame from it: BR_DEFAULT_AGEING_TIME in
	// include/linux/if_bridge.h.
	ageingTime = 300 * time.Second
	// refreshInterval bounds how often a busy MAC's entry is written to, so that cores do not fight for it.
	refreshInterval = time.Second
	// never is the age at which an entry was seen that was not.
	never = time.Duration(math.MinInt64)
)

// table is the fdb as the frame path reads it. It does not change once published; its entries' ages do.
type table map[MAC]*entry

// entry says behind which peer a MAC is.
type entry struct {
	peer   *peer
	static bool         // from the neighbour table
	seen   atomic.Int64 // when a frame from it last came, a time.Duration since shared.origin, or never
}

func newEntry(p *peer, static bool, seen time.Duration) *entry {
	e := &entry{peer: p, static: static}
	e.seen.Store(int64(seen))
	return e
}

// refresh notes that a frame came.
func (e *entry) refresh(now time.Duration) {
	if seen := time.Duration(e.seen.Load()); seen == never || now-seen >= refreshInterval {
		e.seen.Store(int64(now))
	}
}

// Entry is one line of the fdb, for people.
type Entry struct {
	MAC    MAC
	Node   session.NodeID // behind which it is; this node's own identity for what is behind the TAP
	Static bool           // from the neighbour table; else learned
	Age    time.Duration  // since its last frame, to the second; negative if there was none
}

// FDB returns the fdb as of now, sorted by MAC. Safe for concurrent use.
func (s *Switch) FDB(now time.Time) []Entry {
	fdb := *s.shared.fdb.Load()
	entries := make([]Entry, 0, len(fdb))
	for mac, e := range fdb {
		age := time.Duration(-1)
		if seen := time.Duration(e.seen.Load()); seen != never {
			age = max(0, s.shared.age(now)-seen)
		}
		entries = append(entries, Entry{MAC: mac, Node: e.peer.id, Static: e.static, Age: age})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return entries
}
