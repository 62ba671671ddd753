package stream

import "sync/atomic"

// Counters count what a Transport did and dropped.
type Counters struct {
	QueueFull    atomic.Uint64 // packets dropped because QUIC did not keep up
	Oversized    atomic.Uint64 // packets to be sent that no datagram can carry
	Dials        atomic.Uint64 // connections tried
	DialFailures atomic.Uint64 // connections tried in vain
	Refused      atomic.Uint64 // connections of peers that have too many
	BadProtocol  atomic.Uint64 // streams for an unknown or malformed protocol name
	Busy         atomic.Uint64 // streams reset because nobody accepted them in time
}

func (c *Counters) snapshot() map[string]uint64 {
	return map[string]uint64{
		"stream_queue_full":    c.QueueFull.Load(),
		"stream_oversized":     c.Oversized.Load(),
		"stream_dials":         c.Dials.Load(),
		"stream_dial_failures": c.DialFailures.Load(),
		"stream_refused":       c.Refused.Load(),
		"stream_bad_protocol":  c.BadProtocol.Load(),
		"stream_busy":          c.Busy.Load(),
	}
}
