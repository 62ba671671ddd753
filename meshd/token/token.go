package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
)

// Why a text is not a token that this version understands. Parse's errors wrap one of them.
var (
	ErrNotToken  = errors.New("this is not a meshnet token")
	ErrTruncated = errors.New("the token is truncated: copy all of it")
	ErrAltered   = errors.New("the token is altered: copy it again")
	ErrVersion   = errors.New("the token was made by a newer meshnet: upgrade this host")
	ErrField     = errors.New("the token has a bad field")
)

// Layout (docs/protocol.md, "Token").
const (
	prefix      = "meshnet1_"
	version     = 1
	checksumLen = 4
	maxText     = 4096 // bytes of text; the longest token has 3,611
)

// Token is what a host needs to join a network.
type Token struct {
	Name      string         // see CheckName
	NetworkID [16]byte       //
	PSK       [32]byte       // secret
	MTU       int            // bytes; of the overlay
	IPv6      netip.Prefix   // of the overlay
	Pools     []netip.Prefix // of IPv4 addresses; none: the network has no IPv4
	IPAM      IPAM           // who hands out blocks of the pools; without what a host keeps to itself (IPAM.Public)
	Endpoints []string       // at most MaxEndpoints of members, "HOST:PORT"; asked in this order
}

// Check says whether every field of t may be in a token.
func (t Token) Check() error {
	if err := CheckName(t.Name); err != nil {
		return err
	}
	if t.NetworkID == [16]byte{} {
		return errors.New("the network ID is all zeros")
	}
	if t.PSK == [32]byte{} {
		return errors.New("the key is all zeros")
	}
	if err := CheckMTU(t.MTU); err != nil {
		return err
	}
	if err := CheckIPv6(t.IPv6); err != nil {
		return err
	}
	if err := t.checkIPv4(); err != nil {
		return err
	}
	return CheckEndpoints(t.Endpoints)
}

// checkIPv4 checks what t says about IPv4.
func (t Token) checkIPv4() error {
	pools := make([]Pool, len(t.Pools))
	for i, p := range t.Pools {
		pools[i].Prefix = p
	}
	if err := CheckPools(pools); err != nil {
		return err
	}
	if err := t.IPAM.Check(); err != nil {
		return fmt.Errorf("ipam: %w", err)
	}
	switch {
	case len(t.Pools) == 0 && t.IPAM.Engine() != Raft:
		return errors.New("ipam: without a pool there is nothing for etcd to do")
	case t.IPAM.URL() != t.IPAM.Public().URL():
		return errors.New("ipam: a token does not carry what a host needs to be let into etcd")
	}
	return nil
}

// String returns the token's text, which holds the network's key. It panics if t does not pass Check.
func (t Token) String() string {
	if err := t.Check(); err != nil {
		panic("token: " + err.Error())
	}
	return encode(t.append(nil))
}

// encode returns the text of a token with this body.
func encode(body []byte) string {
	sum := sha256.Sum256(body)
	return prefix + base64.RawURLEncoding.EncodeToString(append(body, sum[:checksumLen]...))
}

// LogValue keeps the key out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue("token of network " + t.Name) }

// Parse returns the token that text holds. White space is ignored, wherever it is: terminals and mail break long lines.
// The error wraps one of ErrNotToken, ErrTruncated, ErrAltered, ErrVersion and ErrField, and never shows the text.
func Parse(text string) (Token, error) {
	text = strings.Join(strings.Fields(text), "")
	encoded, err := cutPrefix(text)
	if err != nil {
		return Token{}, err
	}
	b, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return Token{}, decodeError(encoded)
	}
	if len(b) < 1+checksumLen {
		return Token{}, ErrTruncated
	}
	body, check := b[:len(b)-checksumLen], b[len(b)-checksumLen:]
	if sum := sha256.Sum256(body); string(sum[:checksumLen]) != string(check) {
		if body[0] == version && isShort(b) {
			return Token{}, ErrTruncated
		}
		return Token{}, ErrAltered
	}
	if base64.RawURLEncoding.EncodeToString(b) != encoded { // unused bits of the last character
		return Token{}, ErrAltered
	}
	if body[0] != version {
		return Token{}, ErrVersion
	}
	t, err := parseBody(body)
	if err == nil {
		err = t.Check()
	}
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrField, err)
	}
	return t, nil
}

// cutPrefix returns what follows "meshnet1_".
func cutPrefix(text string) (string, error) {
	if encoded, ok := strings.CutPrefix(text, prefix); ok {
		if len(text) > maxText {
			return "", fmt.Errorf("%w: it has %d characters", ErrAltered, len(text))
		}
		return encoded, nil
	}
	if text != "" && strings.HasPrefix(prefix, text) {
		return "", ErrTruncated
	}
	number, _, found := strings.Cut(strings.TrimPrefix(text, "meshnet"), "_")
	if found && strings.HasPrefix(text, "meshnet") && isNumber(number) {
		return "", ErrVersion
	}
	return "", fmt.Errorf("%w: a token begins with %s", ErrNotToken, prefix)
}

func isNumber(s string) bool {
	return s != "" && s[0] != '0' && len(s) <= 4 && strings.Trim(s, "0123456789") == ""
}

// decodeError says why encoded is not base64url: if its characters are good, its length is not.
func decodeError(encoded string) error {
	for _, c := range encoded {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("%w: no token has the character %q", ErrAltered, c)
		}
	}
	return ErrTruncated
}
