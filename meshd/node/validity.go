package node

import (
	"time"

	"meshnet/meshd/session"
)

// temporaryGrace is how long after its time a lease is kept for who had it.
const temporaryGrace = time.Hour

// validity is until when a container was told that it holds its addresses; zero: it has not asked for them, or released them.
type validity struct {
	v4, v6    time.Time
	kept      time.Time        // anyhow
	elsewhere []session.NodeID // the other nodes that have given it a lease, as far as they are known
}

// ends returns when the lease is nobody's any more.
func (v validity) ends() time.Time {
	end := v.kept
	for _, t := range []time.Time{v.v4, v.v6} {
		if t.After(end) {
			end = t
		}
	}
	return end.Add(temporaryGrace)
}

// shorten makes the lease end temporaryGrace from now, unless it is renewed. Whoever holds it was told to renew it before that.
func (v *validity) shorten(now time.Time) {
	for _, until := range []*time.Time{&v.v4, &v.v6, &v.kept} {
		if until.After(now) {
			*until = now
		}
	}
}
