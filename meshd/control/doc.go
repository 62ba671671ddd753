// Package control is what the nodes of a network know of each other: membership, the neighbour table, and reliable
// streams between any two. It implements docs/protocol.md, sections "Membership and gossip", "Streams" and "Neighbour
// table".
//
// Everything travels as sealed datagrams of the sessions, so control needs no port, no host firewall rule and no kernel
// interface. It knows no endpoint and makes no session: Config.Send seals and sends to a peer that has one, Config.Want
// asks for one. Packages below it:
//
//	control/stream     QUIC connections and their streams
//	control/neighbour  the neighbour table and its messages, pure state
//
// # Membership
//
// hashicorp/memberlist (SWIM with Lifeguard) runs unmodified over its NodeAwareTransport. A member's name there is its
// node ID in hex, and its address a synthetic IPv6 address derived from the ID, which nothing ever resolves: packets
// and streams go by name. Its state exchange (push/pull) starts when Met reports a session with somebody who is not
// an alive member of the same instance, and is repeated until that is so.
//
// Members that vanish are remembered: Config.Want is called for them now and then, and when a session with one is up,
// whether it is new or has outlasted a partition, their states are exchanged. So a network that was cut in two heals
// without a restart.
//
// memberlist cannot tell its user whether a member died or left, so leaving is a gossiped message of our own, sent
// with memberlist's. It names the instance that left; nothing that instance said counts afterwards.
//
// # Restarts
//
// A node's instance grows with each start. Its member data carries it, so others see a restart as an update; streams
// of the old instance are closed when Met reports a newer one; and the owner's neighbour table starts a new epoch.
//
// # Trust
//
// Members are one trust domain: they share the PSK, and gossip about a member is relayed by others and not signed. A
// malicious member could declare others dead or gone (they refute that as long as they live), invent members that do
// not exist (they soon are suspected and die, since no session with them can be made; maxMembers bounds them), and lie
// about the neighbour table (see package neighbour). It cannot take over another's identity: what a member says of
// itself in streams, and who it is, is proven by its session. Whatever a peer sends is bounded before it is kept.
//
// # Goroutines
//
// Control owns one loop, which runs joins, fetches and events, and waits in Close for all that it started. memberlist
// does not let anyone wait for its goroutines: they end by themselves within some probe intervals, find Send closed
// and can no longer cause events. No method of memberlist is called with Control's lock held, because memberlist calls
// its delegates with its own.
package control
