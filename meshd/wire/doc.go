// Package wire is the bytes of every datagram that nodes exchange: layouts, Append and Parse.
//
// It knows no keys, no state and no time. What the bytes mean, and when they may be believed, is the business of
// package session (handshakes, sealing) and package mesh (pieces of frames). Everything here is specified in
// docs/protocol.md, sections "Datagrams", "Handshake messages" and "Sealed messages".
//
// All integers are big-endian. A parser never allocates, never panics and never keeps its argument. Parsers of
// encrypted payloads are deliberately lax on longer input, so that a later version can append fields; parsers of what
// travels in clear are strict, so that a stranger's bytes are dropped as early as possible.
package wire
