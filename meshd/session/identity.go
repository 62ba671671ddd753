package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/crypto/curve25519"
)

// NodeID is a node's identity: its X25519 static public key (RFC 7748).
type NodeID [32]byte

// String returns the ID as 64 lower-case hex digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 10 hex digits: enough for people to tell nodes apart, not to trust one.
func (id NodeID) Short() string { return hex.EncodeToString(id[:5]) }

// MarshalText returns the ID as String does.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText undoes MarshalText.
func (id *NodeID) UnmarshalText(text []byte) error {
	parsed, err := ParseNodeID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseNodeID reads an ID of 64 hex digits.
func ParseNodeID(s string) (NodeID, error) {
	var id NodeID
	if len(s) != hex.EncodedLen(len(id)) {
		return NodeID{}, fmt.Errorf("a node ID has 64 hex digits, this one has %d characters", len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return NodeID{}, fmt.Errorf("a node ID has 64 hex digits: %w", err)
	}
	return id, nil
}

// Identity is a node's long-lived static key. Private never leaves the host.
type Identity struct {
	Private [32]byte
	Public  NodeID
}

// NewIdentity makes an identity from 32 bytes of random, crypto/rand's if it is nil. The error is the reader's.
func NewIdentity(random io.Reader) (Identity, error) {
	if random == nil {
		random = rand.Reader
	}
	var private [32]byte
	if _, err := io.ReadFull(random, private[:]); err != nil {
		return Identity{}, fmt.Errorf("making a static key: %w", err)
	}
	return IdentityFromPrivate(private)
}

// IdentityFromPrivate returns the identity of an X25519 private key, which need not be clamped.
func IdentityFromPrivate(private [32]byte) (Identity, error) {
	public, err := curve25519.X25519(private[:], curve25519.Basepoint)
	if err != nil {
		return Identity{}, fmt.Errorf("deriving the public key: %w", err)
	}
	return Identity{Private: private, Public: NodeID(public)}, nil
}

// String returns the public key alone, so that no log shows the private one.
func (i Identity) String() string { return i.Public.String() }

// GoString returns what String does, for %#v.
func (i Identity) GoString() string { return i.Public.String() }

// NetworkID derives the ID of the network with this name and PSK (docs/protocol.md, "Network ID"): the first 16 bytes
// of SHA-256("meshnet network id" || 0x00 || name || 0x00 || psk).
func NetworkID(name string, psk [32]byte) [16]byte {
	h := sha256.New()
	h.Write([]byte("meshnet network id\x00"))
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(psk[:])
	return [16]byte(h.Sum(nil)[:16])
}
