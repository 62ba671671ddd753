package nameserver

import (
	"sync/atomic"

	"meshnet/meshd/zone"
)

// counter is what a question came to.
type counter int

const (
	ignored counter = iota
	malformed
	refused
	answered
	empty
	unknown
	forwarded
	failed
	stranger
	limited
	overloaded
	counterCount
)

var counterNames = [counterCount]string{
	"ignored", "malformed", "refused", "answered", "empty", "unknown", "forwarded", "failed", "stranger", "limited", "overloaded",
}

var counterOf = map[zone.Outcome]counter{
	zone.Dropped: ignored, zone.Malformed: malformed, zone.Refused: refused, zone.Answered: answered, zone.Empty: empty,
	zone.Unknown: unknown, zone.Forward: forwarded,
}

type counters [counterCount]atomic.Uint64

func (c *counters) add(n counter) { c[n].Add(1) }

func (c *counters) snapshot() map[string]uint64 {
	all := make(map[string]uint64, counterCount)
	for i := range c {
		all[counterNames[i]] = c[i].Load()
	}
	return all
}
