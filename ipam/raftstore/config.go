package raftstore

import (
	"cmp"
	"log/slog"
	"time"

	"meshnet/ipam/registry"
)

// Member is a node of the network as membership knows it.
type Member struct {
	ID       registry.NodeID
	Name     string
	Instance uint64 // grows with each start of the node
	Alive    bool
	Left     bool      // it said goodbye
	Since    time.Time // when it became alive, or dead, or left
}

// Config is what a Store needs. All fields but Bootstrap, Init and Timing are required.
type Config struct {
	Dir     string // of this Store alone
	Self    registry.NodeID
	Streams Streams
	// Members returns all members, this node included or not, in a slice of the caller's. It must not block.
	Members func() []Member
	// Bootstrap says that this node created the network: if it has no registry, it makes one, as Init says. Nobody else ever
	// does.
	Bootstrap bool
	Init      registry.Command // OpInit; Registry and Time are filled in
	Timing    Timing
	Log       *slog.Logger
}

// Timing is how long things may take. Zero fields have their defaults, which suit nodes that are up to 500 ms apart: a dead
// leader is replaced within about 10 s.
type Timing struct {
	Heartbeat time.Duration // a server that hears nothing from the leader for once to twice this long wants to lead; default 3 s
	Election  time.Duration // a candidate waits this long for votes; default 3 s
	Lease     time.Duration // a leader that does not reach a majority for this long gives up; default 3 s
	Commit    time.Duration // the followers of an idle leader hear of commits after this long, or twice; default 500 ms
	RPC       time.Duration // of one message of raft's; default 5 s

	Ask      time.Duration // one question to another node; default 2 s
	Patience time.Duration // a command waits this long for a new leader; default 20 s
	Plan     time.Duration // the leader looks after the servers this often; default 2 s
	Stable   time.Duration // a node is alive for so long before it becomes a copy; default 10 s
	Replace  time.Duration // a server is silent for so long before a spare takes its place; default 1 min
	Shrink   time.Duration // a voter is silent for so long before it is given up without a replacement; default 10 min
	Expire   time.Duration // dead nodes are looked for this often; default 2 min
}

func (t Timing) withDefaults() Timing {
	return Timing{
		Heartbeat: cmp.Or(t.Heartbeat, 3*time.Second),
		Election:  cmp.Or(t.Election, 3*time.Second),
		Lease:     cmp.Or(t.Lease, 3*time.Second),
		Commit:    cmp.Or(t.Commit, 500*time.Millisecond),
		RPC:       cmp.Or(t.RPC, 5*time.Second),
		Ask:       cmp.Or(t.Ask, 2*time.Second),
		Patience:  cmp.Or(t.Patience, 20*time.Second),
		Plan:      cmp.Or(t.Plan, 2*time.Second),
		Stable:    cmp.Or(t.Stable, 10*time.Second),
		Replace:   cmp.Or(t.Replace, time.Minute),
		Shrink:    cmp.Or(t.Shrink, 10*time.Minute),
		Expire:    cmp.Or(t.Expire, 2*time.Minute),
	}
}
