package hub

import "sync/atomic"

// Counters count the datagrams that reached no network, by reason.
type Counters struct {
	Malformed atomic.Uint64 // no message of ours: too short, unknown type, reserved bits set
	NoNetwork atomic.Uint64 // a receiver index of a slot without a network
	NoSocket  atomic.Uint64 // to be sent to a family that no socket listens on
}

// Snapshot returns the counters by name.
func (c *Counters) Snapshot() map[string]uint64 {
	return map[string]uint64{
		"malformed":  c.Malformed.Load(),
		"no_network": c.NoNetwork.Load(),
		"no_socket":  c.NoSocket.Load(),
	}
}
