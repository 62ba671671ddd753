package reconcile

import (
	"time"

	"meshnet/ipam"
)

// absence is an unbroken run of observations in which a lease's interface was gone.
type absence struct {
	lease       ipam.Lease
	why         string    // of the last one
	first, last time.Time // the first observation, and the last one that counts
	seen        int       // observations at least core.apart after the one before
}

// core decides which leases are free. It is not safe for concurrent use.
type core struct {
	grace time.Duration // between the first observation and freeing
	apart time.Duration // between observations that count

	absent  map[ipam.Attachment]*absence
	earlier map[ipam.Attachment]bool // leased before this boot, and not attached since
}

func newCore(grace, apart time.Duration) *core {
	return &core{grace: grace, apart: apart, absent: make(map[ipam.Attachment]*absence), earlier: make(map[ipam.Attachment]bool)}
}

// step takes one observation of all leases at a time that never goes back, and returns the attachments that are due.
func (c *core) step(now time.Time, observations []Observation) []ipam.Attachment {
	absent := make(map[ipam.Attachment]*absence)
	earlier := make(map[ipam.Attachment]bool)
	var due []ipam.Attachment
	for _, o := range observations {
		a := o.Lease.Attachment
		if c.earlier[a] && o.State != Present {
			earlier[a] = true
			if o.State == Unsure {
				o.State, o.Why = Gone, "it was attached before the host's last boot, and not since"
			}
		}
		if o.State != Gone {
			continue
		}
		absent[a] = c.count(now, o)
		if c.isDue(now, absent[a]) {
			due = append(due, a)
		}
	}
	c.absent, c.earlier = absent, earlier
	return due
}

// count adds an observation in which the lease's interface was gone to those before. Another lease of the same
// attachment, and another holder, begin anew.
func (c *core) count(now time.Time, o Observation) *absence {
	b := c.absent[o.Lease.Attachment]
	if b == nil || b.lease != o.Lease {
		return &absence{lease: o.Lease, why: o.Why, first: now, last: now, seen: 1}
	}
	b.why = o.Why
	if now.Sub(b.last) >= c.apart {
		b.last = now
		b.seen++
	}
	return b
}

func (c *core) isDue(now time.Time, b *absence) bool {
	return b.seen >= 2 && now.Sub(b.first) >= c.grace
}

// attached forgets what was observed of an attachment.
func (c *core) attached(a ipam.Attachment) {
	delete(c.absent, a)
	delete(c.earlier, a)
}
