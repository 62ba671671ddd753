package registry

import (
	"encoding/hex"
	"fmt"
)

// NodeID is the identity of a node: its X25519 static public key.
type NodeID [32]byte

// String returns the identity as 64 lower-case hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first ten digits, enough for people.
func (id NodeID) Short() string { return hex.EncodeToString(id[:5]) }

// MarshalText implements encoding.TextMarshaler with String.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes what String gives.
func (id *NodeID) UnmarshalText(text []byte) error { return unmarshalHex(id[:], text, "node ID") }

// ID names one registry. It is random and made by Init, so that two registries that were created for the same network
// by mistake can be told apart.
type ID [16]byte

// String returns the ID as 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler with String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes what String gives.
func (id *ID) UnmarshalText(text []byte) error { return unmarshalHex(id[:], text, "registry ID") }

func unmarshalHex(dst, text []byte, what string) error {
	if hex.DecodedLen(len(text)) != len(dst) || len(text)%2 != 0 {
		return fmt.Errorf("%s of %d digits, want %d", what, len(text), hex.EncodedLen(len(dst)))
	}
	if _, err := hex.Decode(dst, text); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
