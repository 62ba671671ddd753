package node

import (
	"maps"
	"sync/atomic"
)

// Counters count what a node dropped, by reason; those of its parts are added by Snapshot.
type Counters struct {
	UnknownIndex   atomic.Uint64 // sealed messages for no keypair of ours, e.g. of before our restart
	Oversized      atomic.Uint64 // handshake messages longer than any
	HandshakeQueue atomic.Uint64 // handshake messages that came faster than they are handled
	TAPWrite       atomic.Uint64 // batches that the TAP did not take
	ProbeMalformed atomic.Uint64 // path MTU probes and acknowledgements that contradict themselves
	ProbeQueue     atomic.Uint64 // those that came faster than they are handled
	ProbeUnknown   atomic.Uint64 // acknowledgements of no probe that waits for one: late, or made up
	PathNarrowed   atomic.Uint64 // sizes given up because the path does not carry them any more

	RelayForwarded atomic.Uint64 // datagrams relayed for others
	RelayRefused   atomic.Uint64 // not relayed: this node does not, or they had been relayed already
	RelayMalformed atomic.Uint64 // relayed datagrams, or such to be relayed, that are none
	RelayRate      atomic.Uint64 // not relayed because the peer sends too much
	RelayUnknown   atomic.Uint64 // not relayed because there is no direct session with the destination
	RelayReceived  atomic.Uint64 // datagrams that came through a relay
	RelaySent      atomic.Uint64 // datagrams sent through a relay
	RelayLost      atomic.Uint64 // not sent because there is no direct session with the relay
}

// Counters returns all counters of the node by name, prefixed with the part that counts.
func (n *Node) Counters() map[string]uint64 {
	all := map[string]uint64{
		"node_unknown_index":   n.counters.UnknownIndex.Load(),
		"node_oversized":       n.counters.Oversized.Load(),
		"node_handshake_queue": n.counters.HandshakeQueue.Load(),
		"node_tap_write":       n.counters.TAPWrite.Load(),
		"node_probe_malformed": n.counters.ProbeMalformed.Load(),
		"node_probe_queue":     n.counters.ProbeQueue.Load(),
		"node_probe_unknown":   n.counters.ProbeUnknown.Load(),
		"node_path_narrowed":   n.counters.PathNarrowed.Load(),
		"node_relay_forwarded": n.counters.RelayForwarded.Load(),
		"node_relay_refused":   n.counters.RelayRefused.Load(),
		"node_relay_malformed": n.counters.RelayMalformed.Load(),
		"node_relay_rate":      n.counters.RelayRate.Load(),
		"node_relay_unknown":   n.counters.RelayUnknown.Load(),
		"node_relay_received":  n.counters.RelayReceived.Load(),
		"node_relay_sent":      n.counters.RelaySent.Load(),
		"node_relay_lost":      n.counters.RelayLost.Load(),
	}
	for part, counters := range map[string]map[string]uint64{
		"session_": n.machine.Counters().Snapshot(),
		"mesh_":    n.fabric.Counters().Snapshot(),
		"control_": n.control.Counters(),
		"answer_":  n.answers.counters.Snapshot(),
	} {
		for name, v := range counters {
			all[part+name] = v
		}
	}
	return maps.Clone(all)
}
