package netsim

import (
	"net/netip"
	"time"
)

// A Fate says what became of a datagram when it was sent.
type Fate uint8

// The fates of a datagram at its sender. Passed still leaves it to the destination to exist and to have room.
const (
	Passed Fate = iota
	Lost
	Dropped
	Partitioned
	Oversized
)

func (f Fate) String() string {
	switch f {
	case Passed:
		return "passed"
	case Lost:
		return "lost"
	case Dropped:
		return "dropped"
	case Partitioned:
		return "partitioned"
	case Oversized:
		return "oversized"
	}
	return "unknown"
}

// An Event is one datagram as Tap sees it.
type Event struct {
	Time     time.Time // when it was sent
	From, To netip.AddrPort
	Datagram []byte // the sender's buffer: valid until the observer returns, not to be changed
	Fate     Fate
}

// Send sends one datagram from any address, as a stranger who forges his source address, or who replays what he
// recorded, would. It does not keep datagram.
func (n *Network) Send(from, to netip.AddrPort, datagram []byte) {
	n.send(time.Now(), route{from, to}, datagram, false)
}

// send decides the fate of one datagram, which is not cut if it has to stay whole, and puts it on its way.
func (n *Network) send(now time.Time, r route, datagram []byte, whole bool) {
	r = n.leave(now, r)
	n.mu.Lock()
	filter, observer := n.filter, n.observer
	n.mu.Unlock()
	keep := filter == nil || filter(r.from, r.to, datagram)
	fate := n.dispatch(now, r, datagram, keep, whole)
	if observer != nil {
		observer(Event{Time: now, From: r.from, To: r.to, Datagram: datagram, Fate: fate})
	}
}

func (n *Network) dispatch(now time.Time, r route, datagram []byte, keep, whole bool) Fate {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats.Sent++
	l := n.link(r)
	f := l.draw(&n.settings)
	switch {
	case n.cuts[r] || n.group[r.from] != n.group[r.to]:
		n.stats.Partitioned++
		return Partitioned
	case !keep || n.takeDrop(r.from):
		n.stats.Dropped++
		return Dropped
	case n.oversized(r, len(datagram), whole):
		n.stats.Oversized++
		return Oversized
	case f.lost:
		n.stats.Lost++
		return Lost
	}
	at := l.arrival(now, f)
	n.push(at, l, datagram)
	if f.twice {
		n.stats.Duplicated++
		n.push(at.Add(f.behind), l, datagram)
	}
	return Passed
}

// takeDrop uses up one datagram of DropNext, if one is left.
func (n *Network) takeDrop(from netip.AddrPort) bool {
	left := n.dropNext[from]
	if left <= 0 {
		return false
	}
	if n.dropNext[from] = left - 1; left == 1 {
		delete(n.dropNext, from)
	}
	return true
}
