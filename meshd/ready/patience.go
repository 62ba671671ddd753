package ready

import "time"

const (
	// look is for how long a reader looks before it sleeps. To be woken costs a packet as much where the processor sleeps too, and
	// costs its sender more than the reader saves: it has to interrupt another processor, which on a virtual machine is the host's.
	look = 50 * time.Microsecond
	// share is the part of the time that may be spent looking in vain, and hoard how much of it may be saved up.
	share = 10 // one in share
	hoard = 2 * time.Millisecond
)

// patience says for how long a reader may look before it sleeps. Looking is free where it is of use, since a wake-up costs more;
// what is spent in vain comes out of a budget that fills with time. So a reader that something often comes for never stops looking,
// and an idle one does not look at all.
type patience struct {
	budget time.Duration
	filled time.Time // when budget was last added to
	never  bool      // there is one processor: nothing comes while it looks
}

func newPatience(now time.Time, processors int) patience {
	return patience{filled: now, never: processors < 2}
}

// limit returns for how long to look now; 0 if not at all.
func (p *patience) limit(now time.Time) time.Duration {
	p.budget = min(p.budget+now.Sub(p.filled)/share, hoard)
	p.filled = now
	if p.never || p.budget < look {
		return 0
	}
	return look
}

// spent notes that d was spent and nothing came.
func (p *patience) spent(d time.Duration) { p.budget -= d }
