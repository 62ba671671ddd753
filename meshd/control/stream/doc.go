// Package stream gives nodes reliable streams to each other: QUIC (RFC 9000, by quic-go) whose packets travel as sealed
// Stream datagrams of the sessions. It implements docs/protocol.md, section "Streams".
//
// It has no socket: Config.Send takes a packet for a peer, Handle is given a peer's packet. Connections are made on
// demand, carry any number of streams in both directions, and end after IdleTimeout without traffic. There is no keep
// alive: a stream that may be silent for longer has to send something of its own.
//
// # Why the certificate is not verified
//
// QUIC cannot do without TLS, so each Transport makes itself a certificate that nobody checks. Nobody needs to: every
// packet that Handle is given was authenticated by the session with from, and every packet that Send takes is sealed
// for to. The address of a connection is therefore a proven identity, and nobody but the two members ever sees or can
// alter a packet of theirs: the man in the middle that a certificate is for would have to break the session first.
// QUIC's own encryption is spent for nothing; it is cheap beside the handshake, which is kept small (Ed25519, X25519,
// no session tickets).
//
// A peer's identity is taken from its first packet and kept for the life of the connection. A member that guessed
// another's connection ID could inject a packet, but no packet that passes QUIC's authentication.
//
// # Restarts
//
// A peer that restarted knows nothing of the connections that its last instance had. Two things make that short:
// Disconnect, called when a session with a newer instance comes up, and stateless resets (RFC 9000 §10.3), whose key is
// derived from the node's identity and so outlives a restart. That key is no secret among members, and a connection ID
// is known to its two ends alone, so a member can reset no connection but its own.
package stream
