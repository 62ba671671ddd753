package etcdstore

import "time"

// stepEvery is how often a node may move the registry's time forward by more than has passed. The registry counts each step for
// registry.MaxStep at most, so a clock that jumps all the time makes deadlines come 0.7 % too early.
const stepEvery = 24 * time.Hour

// stepMin is how far the wall clock has to be ahead for that. Less is the rounding of the records, or a clock that drifts.
const stepMin = time.Minute

// clock gives the times that commands are stamped with. It is pure; what is handed in as now carries Go's monotonic reading, by
// which it counts.
type clock struct {
	state   time.Time // the registry's time, as last heard of
	heard   time.Time // when that was; zero: never
	stepped time.Time // when the wall clock was last let through; zero: never
}

// hear notes that the registry's time is state.
func (c *clock) hear(now, state time.Time) {
	if c.heard.IsZero() || state.After(c.read(now)) {
		c.state, c.heard = state.Round(0), now
	}
}

// read returns how far the registry's time may have moved: as far as this node's monotonic clock.
func (c *clock) read(now time.Time) time.Time { return c.state.Add(now.Sub(c.heard)) }

// stamp returns the time for a command: the registry's, which moves on at the pace of the monotonic clock whatever becomes of the
// wall clock. Where the wall clock is ahead, because the whole network was off or a clock has been set, it is let through.
func (c *clock) stamp(now time.Time) time.Time { return c.stampAt(now, now.Round(0)) }

// stampAt is stamp for a wall clock that need not agree with now.
func (c *clock) stampAt(now, wall time.Time) time.Time {
	if c.heard.IsZero() {
		return wall
	}
	limit := c.read(now)
	if wall.Before(limit.Add(stepMin)) || !c.stepped.IsZero() && now.Sub(c.stepped) < stepEvery {
		return limit
	}
	c.stepped = now
	return wall
}
