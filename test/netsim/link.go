package netsim

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"
)

// jitterStep is the grain of drawn delays. Datagrams that were sent together then often arrive together, and one firing
// of the timer serves them all.
const jitterStep = 100 * time.Microsecond

// A link is one direction between two addresses: its stream of chances, and its order. Guarded by Network.mu.
type link struct {
	route
	id      uint64    // orders links that deliver at the same instant
	chances *rand.PCG // see doc.go
	last    time.Time // when the last datagram in order arrives
	sent    uint64    // datagrams so far, copies included: orders those that arrive at the same instant
}

// A fate is what chance has in store for one datagram. It is drawn whole, whatever the settings and however the
// datagram ends, so that the next one finds the stream at the same place.
type fate struct {
	lost, late, twice   bool
	delay, hold, behind time.Duration // in transit; on top of that if late; of the copy if twice
}

func (n *Network) link(r route) *link {
	l, ok := n.links[r]
	if !ok {
		h := fnv.New64a()
		h.Write(binary.BigEndian.AppendUint64(nil, n.seed))
		for _, addr := range []netip.AddrPort{r.from, r.to} {
			b := addr.Addr().As16()
			h.Write(binary.BigEndian.AppendUint16(b[:], addr.Port()))
		}
		id := h.Sum64()
		l = &link{route: r, id: id, chances: rand.NewPCG(n.seed, id)}
		n.links[r] = l
	}
	return l
}

func (l *link) draw(s *settings) fate {
	slowest := max(s.latencyMax, time.Millisecond)
	return fate{
		lost:   l.chance(s.loss),
		late:   l.chance(s.reorder),
		twice:  l.chance(s.duplicate),
		delay:  l.between(s.latencyMin, s.latencyMax),
		hold:   l.between(slowest, 3*slowest),
		behind: l.between(slowest, 3*slowest),
	}
}

// chance is true with probability p; one draw.
func (l *link) chance(p float64) bool { return float64(l.chances.Uint64()>>11)/(1<<53) < p }

// between returns an evenly drawn duration in steps of jitterStep; one draw.
func (l *link) between(low, high time.Duration) time.Duration {
	steps := uint64((high-low)/jitterStep) + 1
	return low + time.Duration(l.chances.Uint64()%steps)*jitterStep
}

// arrival says when a datagram sent now arrives: not before its predecessor, unless it is late itself.
func (l *link) arrival(now time.Time, f fate) time.Time {
	at := now.Add(f.delay)
	if f.late {
		return at.Add(f.hold)
	}
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at
}
