// Package path finds out how long datagrams may be on the way to a peer: datagram packetization layer path MTU discovery,
// RFC 8899 (DPLPMTUD).
//
// It is pure, like package session: no socket, no goroutine, no clock. Time and events come in as arguments, probes to be sent come
// out. A probe is a datagram of the size in question that must not be fragmented; the peer acknowledges it (docs/protocol.md,
// "Path MTU"). What ICMP says is not listened to: anybody can forge it, and many a firewall drops it.
//
//	          acknowledged            no size is left to try
//	Base ────────────────► Searching ────────────────────────► Complete
//	 │ ▲ ◄──┐                 ▲  │                               │  │
//	 ▼ │    └─────────────────│──┴── the current size is lost ───┘  │
//	Degraded                  └──────────── RaiseTime later ────────┘
//
// A size that is lost three times is too large only if the current size passes just then: else it is the path that fails, or has
// become narrower.
//
// Left to others: sealing, sending and acknowledging probes (package node), which sizes frames are cut to (package mesh).
package path
