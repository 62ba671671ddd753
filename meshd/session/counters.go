package session

import "sync/atomic"

// Counters count what a Machine and its keypairs dropped, by reason, and the handshakes that completed. They may be
// read at any time.
type Counters struct {
	HandshakeDone      atomic.Uint64 // keypairs agreed
	HandshakeMalformed atomic.Uint64 // no handshake message: length, type or reserved bits wrong
	HandshakePSK       atomic.Uint64 // message 1 that does not open: a stranger, or another network's member
	HandshakeVersion   atomic.Uint64 // message 1 of a protocol version that we do not speak
	HandshakeReplay    atomic.Uint64 // handshake message that was seen before, or too late a message 3
	HandshakeClock     atomic.Uint64 // message 1 with a timestamp too far from our clock
	HandshakeFull      atomic.Uint64 // message 1 or 3 beyond what we remember for peers
	HandshakeIndex     atomic.Uint64 // message 2 or 3 for an index that waits for none
	HandshakeAuth      atomic.Uint64 // message 2 or 3 that does not open
	HandshakeIdentity  atomic.Uint64 // message of another node than the one that we look for, or that a relay says it is of
	IndexFull          atomic.Uint64 // handshakes not begun because all receiver indexes are in use
	Replay             atomic.Uint64 // sealed message seen before, or older than the window
	Auth               atomic.Uint64 // sealed message that does not open
	Expired            atomic.Uint64 // sealed message under a keypair past its time
	UnknownIndex       atomic.Uint64 // sealed message for an index that names no keypair
	Roamed             atomic.Uint64 // endpoints moved by authenticated messages
}

// Snapshot returns the counters by name.
func (c *Counters) Snapshot() map[string]uint64 {
	return map[string]uint64{
		"handshake_done":      c.HandshakeDone.Load(),
		"handshake_malformed": c.HandshakeMalformed.Load(),
		"handshake_psk":       c.HandshakePSK.Load(),
		"handshake_version":   c.HandshakeVersion.Load(),
		"handshake_replay":    c.HandshakeReplay.Load(),
		"handshake_clock":     c.HandshakeClock.Load(),
		"handshake_full":      c.HandshakeFull.Load(),
		"handshake_index":     c.HandshakeIndex.Load(),
		"handshake_auth":      c.HandshakeAuth.Load(),
		"handshake_identity":  c.HandshakeIdentity.Load(),
		"index_full":          c.IndexFull.Load(),
		"replay":              c.Replay.Load(),
		"auth":                c.Auth.Load(),
		"expired":             c.Expired.Load(),
		"unknown_index":       c.UnknownIndex.Load(),
		"roamed":              c.Roamed.Load(),
	}
}
