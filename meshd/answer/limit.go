package answer

import (
	"sync/atomic"
	"time"
)

// How much of a container is answered: so many frames in a second, and as many at once. A container that boots sends some ten
// frames for its addresses. ARP and ND cost less than to carry the question to every host, DHCP some ten times as much.
const (
	resolveRate = 2000
	dhcpRate    = 50
)

// Limiter bounds how many frames are answered, so that no container can keep the host busy. Each MAC with a lease has rates of its own,
// in its Lease; all others, of which anybody can make up any number, share one of each kind. So neither a container nor made-up MACs push
// out a container; only who sends with a container's own MAC does. Its zero value is not ready; safe for concurrent use, and without locks.
type Limiter struct {
	origin    time.Time
	strangers Rates
}

// Rates are what is left of the rates of one MAC. The zero value is a MAC that has sent nothing. Safe for concurrent use.
type Rates struct{ resolve, dhcp rate }

// NewLimiter returns a Limiter that has seen nothing.
func NewLimiter(now time.Time) *Limiter { return &Limiter{origin: now} }

// Allow reports whether a frame, of which Asks is true, may be answered.
func (l *Limiter) Allow(now time.Time, t *Tables, frame []byte) bool {
	rates := &l.strangers
	if lease := t.Leases[MAC(frame[6:])]; lease.Rates != nil {
		rates = lease.Rates
	}
	at := now.Sub(l.origin)
	if etherType, p := untag(frame); etherType == etherTypeARP || etherType == etherTypeIPv6 && nextHeader(p) == protocolICMPv6 {
		return rates.resolve.allow(at, time.Second/resolveRate)
	}
	return rates.dhcp.allow(at, time.Second/dhcpRate)
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
