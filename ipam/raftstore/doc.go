// Package raftstore is the embedded block store: an ipam.BlockStore whose registry is replicated by hashicorp/raft over the
// streams between the nodes. It implements docs/protocol.md, section "Block store streams".
//
// A few nodes are servers, voters or copies without a vote; all others are clients, who find the leader by asking and give it
// their commands. What a command means is the registry's affair (package registry): each entry of the log is one
// command, stamped with the leader's time, and a snapshot is the registry's own.
//
// # Who serves
//
// The node that created the network makes the registry and is its first voter. From then on the leader decides: one voter
// and a copy for two nodes, three voters from three nodes on, five from five, and up to two copies more. It asks a node to become
// a copy, adds it, gives it a vote when it has the data, and puts a copy in the place of a voter that has been silent for a
// minute. Who is replaced is told so when it is back, and becomes a client. Who leaves the network resigns first (resign.go).
//
// That is a pure function (plan.go) over raft's configuration and what the servers answer to the leader's questions.
// raft-autopilot does not fit: it promotes whoever is healthy and prunes whoever failed, while here most of
// the work is what it leaves to its host: how many voters there should be, who is asked to serve, never to stop at
// an even number, and not to give up a voter whose return may be needed for a majority. What would be left of it is the polling.
//
// # Logs have names
//
// A server is a node and an incarnation, a random number made with its log; both are in raft's configuration and at the
// beginning of each raft stream. A node that lost its log, or gave it up, gets another number when it serves again. So no
// server ever votes twice in a term, or counts as a copy of what it has forgotten, and leaving the servers needs no
// care: it is a crash of that incarnation. A server that has less than it told the leader before, as when its disk was set back to a
// snapshot, is taken out for the same reason. A leader that was set back finds it out from its servers (server.setBack), and gives up.
//
// # Two registries, two generations
//
// A registry has an ID, and everything said about it carries the ID, so nothing of two is ever mixed. When nodes of two
// registries meet, the commands of the younger fail with registry.ErrOtherRegistry, until Join makes its nodes follow the older.
// Recover makes a new generation of the registry on one copy. Who sees a newer generation follows it and gives its own
// copy up, even a whole majority of the former one. If two copies recover without knowing of each other, the greater lineage, a
// random number, wins.
//
// # A failing disk
//
// raft panics when it cannot save its term. A disk that is full, read-only or broken stops this node's server instead,
// before anybody hears of what could not be saved; it is started again after half a minute. All entries have checksums
// and are read at start: a log that cannot be right is ErrCorrupt, and says what to do.
package raftstore
