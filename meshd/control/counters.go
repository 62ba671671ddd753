package control

import "sync/atomic"

// Counters count what a Control did and dropped.
type Counters struct {
	NoSession       atomic.Uint64 // datagrams for peers without a session
	Oversized       atomic.Uint64 // datagrams longer than any may be
	Malformed       atomic.Uint64 // gossip and messages of peers that could not be parsed
	GossipQueueFull atomic.Uint64 // gossip packets dropped because memberlist did not keep up
	Joins           atomic.Uint64 // exchanges of member states
	JoinFailures    atomic.Uint64 // those in vain
	Fetches         atomic.Uint64 // requests for neighbour tables
	FetchFailures   atomic.Uint64 // those in vain
	LogsDropped     atomic.Uint64 // lines of memberlist that were not logged
}

func (c *Counters) addTo(all map[string]uint64) {
	all["no_session"] = c.NoSession.Load()
	all["oversized"] = c.Oversized.Load()
	all["malformed"] = c.Malformed.Load()
	all["gossip_queue_full"] = c.GossipQueueFull.Load()
	all["joins"] = c.Joins.Load()
	all["join_failures"] = c.JoinFailures.Load()
	all["fetches"] = c.Fetches.Load()
	all["fetch_failures"] = c.FetchFailures.Load()
	all["logs_dropped"] = c.LogsDropped.Load()
}
