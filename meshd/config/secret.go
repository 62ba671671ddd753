package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"meshnet/meshd/session"
)

// maxSecret is the size of the largest file with a key or a token, in bytes.
const maxSecret = 64 << 10

// ParsePSK returns the key that text stands for: 64 hexadecimal digits, or 43 characters of base64 (44 with padding; the
// standard or the URL alphabet), are 256 bits as they are. Everything else is a passphrase of 8 to 512 characters, which
// is stretched with the network's name as salt; that takes some tenths of a second. A line end after it is not part of it.
func ParsePSK(network, text string) ([32]byte, error) {
	text = strings.TrimRight(text, "\r\n")
	if text == "" {
		return [32]byte{}, errors.New("the PSK is empty")
	}
	if key, ok := rawPSK(strings.TrimSpace(text)); ok {
		if key == [32]byte{} {
			return key, errors.New("the PSK is all zeros")
		}
		return key, nil
	}
	if strings.ContainsAny(text, "\r\n") {
		return [32]byte{}, errors.New("the PSK has more than one line")
	}
	return session.PSKFromPassphrase(network, text)
}

// rawPSK returns the 256 bits that text spells out, if it does.
func rawPSK(text string) (key [32]byte, ok bool) {
	decode := hex.DecodeString
	switch len(text) {
	case 64:
	case 43, 44:
		if len(text) == 44 && !strings.HasSuffix(text, "=") {
			return key, false
		}
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSuffix(text, "="))
		decode = base64.RawStdEncoding.Strict().DecodeString
	default:
		return key, false
	}
	b, err := decode(text)
	if err != nil || len(b) != len(key) {
		return key, false
	}
	return [32]byte(b), true
}

// ReadSecret reads a file that holds a key or a token. It refuses one that every user of the host may read: a warning
// about that would be read too late.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkPrivate(f); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxSecret)
	}
	return b, nil
}

// checkPrivate says whether f, which holds a secret, is kept from other users. Pipes and terminals are.
func checkPrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("%s holds a secret and every user can read it (mode %04o); chmod o-r it", f.Name(), info.Mode().Perm())
	}
	return nil
}
