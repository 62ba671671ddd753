package registry

import "time"

// MaxStep is the longest time between two commands that counts towards deadlines (see "Time" in the package comment). An
// engine applies OpExpireNodes more often than this, or deadlines stand still while nodes are silent.
const MaxStep = 10 * time.Minute

// Timing holds the deadlines of a registry, which are set when it is made. They are kept in whole seconds. A zero
// field stands for its default.
type Timing struct {
	// DeadAfter is how long a node may lease without a successful Refresh, by its own clock. A node that was silent for
	// DeadAfter and Grace is removed.
	DeadAfter time.Duration
	// Grace is how long blocks and claims of a removed node, or of one that lost what it knew, are kept from the
	// others. After a recovery nothing new is given out for as long.
	Grace time.Duration
	// Cooldown is how long a block or address that its owner gave back is kept from the others.
	Cooldown time.Duration
}

// DefaultTiming is what Init uses for fields that are zero.
var DefaultTiming = Timing{DeadAfter: 72 * time.Hour, Grace: time.Hour, Cooldown: time.Minute}

func (t Timing) withDefaults() Timing {
	fill := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
		*d = max(d.Truncate(time.Second), time.Second)
	}
	fill(&t.DeadAfter, DefaultTiming.DeadAfter)
	fill(&t.Grace, DefaultTiming.Grace)
	fill(&t.Cooldown, DefaultTiming.Cooldown)
	return t
}
