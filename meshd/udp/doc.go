// Package udp is the daemon's edge to the underlay: Linux UDP sockets that are read and written in batches, with
// recvmmsg(2) and sendmmsg(2), without allocating for a datagram or a call.
//
// A Conn is of one address family; Expand turns what a user writes after --listen into the addresses to listen on. What
// is in a datagram, and whom it is for, is not this package's business: it knows of package wire only the pair of
// buffer and endpoint. IPv4 addresses are never shown as IPv4-mapped IPv6.
//
// The kernel is told not to set "don't fragment" and not to act on path MTU messages (IP_PMTUDISC_DONT): our datagrams
// are as long as their path is known to carry, or at most wire.MaxDatagram bytes, which every IPv6 path carries whole, and an IPv4
// router that cannot may cut them. Probe finds out what a path carries.
package udp
