package ready

import "time"

const (
	// look is for how long a reader looks before it sleeps. To be woken costs a packet as much where the processor sleeps too, and
	// costs its sender more than the reader saves: it has to interrupt another processor, which on a virtual machine is the host's.
	look = 50 * time.Microsecond
	// share is the part of the time that may be spent looking in vain, and hoard how much of it may be saved up.
	share = 10 // one in share
	hoard = 2 * time.Millisecond
	// seldom is how far apart waits are on average when it is not worth looking: what the hosts say to each other without being asked.
	seldom = 10 * time.Millisecond
)

// patience says for how long a reader may look before it sleeps. Looking is free where it is of use, since a wake-up costs more;
// what is spent in vain comes out of a budget that fills with time. So a reader that something often comes for never stops looking,
// and one that something seldom comes for does not look at all.
type patience struct {
	budget time.Duration
	filled time.Time     // when budget was last added to, at the last wait
	apart  time.Duration // of two waits, on average
	never  bool          // there is one processor: nothing comes while it looks
}

func newPatience(now time.Time, processors int) patience {
	return patience{filled: now, apart: 2 * seldom, never: processors < 2}
}

// limit returns for how long to look now; 0 if not at all.
func (p *patience) limit(now time.Time) time.Duration {
	since := now.Sub(p.filled)
	p.budget = min(p.budget+since/share, hoard)
	p.apart = (7*p.apart + min(since, time.Second)) / 8
	p.filled = now
	if p.never || p.apart > seldom || p.budget < look {
		return 0
	}
	return look
}

// spent notes that d was spent and nothing came.
func (p *patience) spent(d time.Duration) { p.budget -= d }
