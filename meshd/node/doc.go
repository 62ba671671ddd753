// Package node is one network on this host: it joins the parts that make a member.
//
//	hub (UDP) ──► receive ──► mesh.Inbound ──► TAP          the frame path: two goroutines kinds,
//	hub (UDP) ◄── mesh.Switch.RunOutbound ◄─── TAP          no state but published snapshots
//
//	handshakes, reports of the frame path, membership, calls ──► loop ──► session.Machine, path.Path, mesh control, hub
//
// What has an endpoint through a relay is sealed once more on its way out (underlay), for the relay; a receiver passes on what others want
// relayed, with the batch that it came in.
//
// All control state (sessions, fdb, whom we want a session with) is owned by one goroutine, the loop. Whatever wants
// to change it sends a message; the loop handles it with the time of its arrival, runs the timers that are due, and
// carries out what the state machines ask for. Membership and the neighbour table live in package control, leases in
// package ipam; the loop reads them again when they say that they changed.
package node
