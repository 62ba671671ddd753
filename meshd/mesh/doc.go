// Package mesh is the Ethernet switch of one network on one host: one TAP on one side, many peers on the other.
//
// Outbound, a frame read from the TAP is checked, held against the boundary, looked up in the fdb, cut into pieces,
// sealed for its peer or for all of them, and handed to the underlay. Inbound, opened pieces are put together to
// frames, held against the same boundary, learned from, and written to the TAP.
//
//	TAP ─► RunOutbound: boundary ─► learn ─► fdb ─► cut, seal ─► Underlay
//	TAP ◄─ Inbound: fdb ◄─ learn ◄─ boundary ◄─ assemble ◄─ opened pieces
//
// There are two speeds. One goroutine owns all control state (Control: who is a peer, the fdb, ageing, limits) and is
// driven by time and messages as arguments. The frame path (RunOutbound, Inbound) only reads what control has
// published, by atomic snapshots; it never touches a timer or a lock held by control, and it does not allocate. What it
// notices, a MAC behind another port, goes to control as a Report that never blocks.
//
// Split horizon holds by construction: Inbound has the TAP and no underlay, so a frame from the mesh cannot go back
// into it. A frame whose destination is known to be behind a peer is not even written to the TAP.
//
// The boundary keeps to itself what belongs to one host's link: Boundary says what and why.
//
// Sessions, keys and sockets are the business of others: package session opens and seals, the hub reads datagrams, and
// this package is handed opened payloads. The bytes of a piece are specified in docs/protocol.md, "Frames".
package mesh
