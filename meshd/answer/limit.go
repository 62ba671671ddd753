package answer

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// How much of a container is answered: so many frames in a second, and as many at once. A container that boots sends some ten
// frames for its addresses. ARP and ND cost less than to carry the question to every host, DHCP some ten times as much.
const (
	resolveRate = 2000
	dhcpRate    = 50
)

// limiters is how many rates are kept apart for each kind of frame. MACs that fall together share one.
const limiters = 256

// Limiter bounds how many frames are answered, so that no container can keep the host busy. Each MAC has a rate of its own, so that
// one does not push out the others. Its zero value is not ready; safe for concurrent use, and without locks.
type Limiter struct {
	seed    maphash.Seed
	origin  time.Time
	resolve [limiters]rate
	dhcp    [limiters]rate
}

// NewLimiter returns a Limiter that has seen nothing.
func NewLimiter(now time.Time) *Limiter { return &Limiter{seed: maphash.MakeSeed(), origin: now} }

// Allow reports whether a frame, of which Asks is true, may be answered.
func (l *Limiter) Allow(now time.Time, frame []byte) bool {
	i := maphash.Bytes(l.seed, frame[6:12]) % limiters
	at := now.Sub(l.origin)
	if etherType, p := untag(frame); etherType == etherTypeARP || etherType == etherTypeIPv6 && nextHeader(p) == protocolICMPv6 {
		return l.resolve[i].allow(at, time.Second/resolveRate)
	}
	return l.dhcp[i].allow(at, time.Second/dhcpRate)
}

// rate is when the next frame would be on time, if all of a second had come evenly: the generic cell rate algorithm
// (ITU-T I.371, annex A).
type rate struct{ due atomic.Int64 }

// allow reports whether a frame at now is no more than a second early, every being the time between two.
func (r *rate) allow(now, every time.Duration) bool {
	for {
		due := r.due.Load()
		next := max(time.Duration(due), now) + every
		if next-now > time.Second {
			return false
		}
		if r.due.CompareAndSwap(due, int64(next)) {
			return true
		}
	}
}
