// Package netsim is an underlay and a TAP device that live in memory: the twins of meshd/udp and meshd/tap for
// simulations. Whole nodes run on it inside a testing/synctest bubble, where a minute takes no time, and a seed decides
// what is lost, late, doubled or overtaken, so that a run that failed can be run again alone.
//
//	net := netsim.New(1)
//	a, b := net.Host("192.0.2.1:7000"), net.Host("192.0.2.2:7000", "[2001:db8::2]:7000")
//	net.SetLatency(5*time.Millisecond, 20*time.Millisecond)
//	net.SetLoss(0.05)
//	net.Partition([]netip.AddrPort{a.LocalAddr()}, b.Addrs())
//
// # Time and chance
//
// A Network has no goroutine of its own: one timer waits for the earliest datagram under way and delivers all that are
// due, so nothing has to be stopped before a bubble can end. Everything that blocks does so on a channel made by New,
// Host or NewTAP; inside a bubble, call those inside it too.
//
// Every link (a pair of source and destination address) draws its chances from a stream of its own, seeded from the
// network's seed and the two addresses, and draws the same number for each datagram whatever the settings. The fate of
// the k-th datagram of a link is hence fixed by the seed, no matter how the goroutines of other links are scheduled.
// Datagrams of different links that arrive at the same instant are handed over in an order fixed by the seed as well.
//
// # NATs
//
// NAT adds a router whose hosts have addresses that mean nothing elsewhere. Links, filters and taps see the translated address.
//
// # What it is not
//
// It has no bandwidth and no ICMP: a datagram to an address that nobody has is lost without a word, and so is one that a
// link's MTU does not let pass.
package netsim
