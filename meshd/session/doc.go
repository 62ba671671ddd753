// Package session makes and keeps the keyed conversations between the nodes of one network.
//
// It is pure: it has no socket, no goroutine and no clock. Time and bytes come in as arguments; what to send and what
// happened comes out of Drain. It implements docs/protocol.md: the handshake Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s,
// the keypairs, rekeying, the replay window, keepalives, roaming, and the way through relays and back.
//
//	Connect, SetRelays, Forget … ┐                          ┌─► datagrams to send
//	HandleHandshake, Punched … ──┼─► Machine ──► Drain ─────┤
//	Confirmed, Roamed, Advance ──┘      │                   └─► events
//	                                   ▼ publishes
//	             Lookup(index) ──► Keypair ◄──► Session    read by the frame path, which seals and opens
//
// There are two sides. The control side is one goroutine, which owns the Machine and calls all its methods except
// Lookup and Counters. The frame path is any number of goroutines; they call Lookup, Counters and the methods of
// Session and Keypair, which are safe for concurrent use and do not allocate. What the frame path learns about a
// keypair (it works; the peer has moved) it reports to the control side, which decides.
//
// Nothing is believed before it is authenticated: a datagram that does not open changes nothing but a counter, and
// whoever does not know the PSK never gets an answer. What a member can make this side remember is bounded.
//
// Left to others: which peers to want (package node), the bytes of datagrams (package wire), frames (package mesh).
package session
