package session

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Argon2id parameters: the second recommended option of RFC 9106, section 4, for hosts with little memory.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	pskSalt      = "meshnet psk\x00" // before the network name: RFC 9106 wants a salt of at least 8 bytes
)

// Lengths of a passphrase in characters.
const (
	MinPassphrase = 8
	MaxPassphrase = 512
)

// ErrPassphrase is wrapped by the errors of PSKFromPassphrase.
var ErrPassphrase = errors.New("unusable passphrase")

// NewPSK makes a PSK of 256 bits of random, crypto/rand's if it is nil. The error is the reader's.
func NewPSK(random io.Reader) ([32]byte, error) {
	if random == nil {
		random = rand.Reader
	}
	var psk [32]byte
	if _, err := io.ReadFull(random, psk[:]); err != nil {
		return [32]byte{}, fmt.Errorf("making a PSK: %w", err)
	}
	return psk, nil
}

// PSKFromPassphrase stretches a passphrase of 8 to 512 characters into the PSK of the named network with Argon2id
// (docs/protocol.md, "PSK"). It takes some tenths of a second and 64 MiB. Passphrase and name are used as the UTF-8
// that they are, without normalisation. The error wraps ErrPassphrase.
func PSKFromPassphrase(network, passphrase string) ([32]byte, error) {
	if !utf8.ValidString(passphrase) {
		return [32]byte{}, fmt.Errorf("%w: it is not valid UTF-8", ErrPassphrase)
	}
	if n := utf8.RuneCountInString(passphrase); n < MinPassphrase || n > MaxPassphrase {
		return [32]byte{}, fmt.Errorf("%w: it has %d characters, need %d to %d",
			ErrPassphrase, n, MinPassphrase, MaxPassphrase)
	}
	key := argon2.IDKey([]byte(passphrase), []byte(pskSalt+network), argonTime, argonMemory, argonThreads, 32)
	return [32]byte(key), nil
}
