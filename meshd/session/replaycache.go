package session

import "time"

const (
	// maxClockSkew is how far the timestamp of a message 1 may be from our clock, either way.
	maxClockSkew = 10 * time.Minute
	// replayMemory is how long an accepted message 1 stays within maxClockSkew at most: sent by a clock that is ahead
	// by that much, it could be replayed until that clock is behind by as much.
	replayMemory = 2 * maxClockSkew
	// replayGeneration bounds the ephemerals remembered, of 32 bytes each, to twice as many. Honest nodes never get
	// there: only a member can make us remember any, and then the oldest are forgotten first.
	replayGeneration = 1 << 16
)

// replayCache remembers the ephemeral keys of the message 1s that were accepted, for replayMemory at least unless a
// member floods us. It has two generations: the older is dropped as a whole. The zero value is empty.
type replayCache struct {
	young, old map[[32]byte]struct{}
	began      time.Time // of the young generation
}

// seen reports whether ephemeral was added before.
func (c *replayCache) seen(ephemeral [32]byte) bool {
	if _, ok := c.young[ephemeral]; ok {
		return true
	}
	_, ok := c.old[ephemeral]
	return ok
}

// add remembers ephemeral.
func (c *replayCache) add(now time.Time, ephemeral [32]byte) {
	if c.young == nil || now.Sub(c.began) >= replayMemory || len(c.young) >= replayGeneration {
		c.old, c.young, c.began = c.young, make(map[[32]byte]struct{}), now
	}
	c.young[ephemeral] = struct{}{}
}
