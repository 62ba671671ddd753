package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meshnet/meshd/session"
)

func TestParsePSK(t *testing.T) {
	key := [32]byte{0: 0xfb, 1: 0xff, 31: 0x01} // has the characters in which the two alphabets differ
	phrase := func(text string) [32]byte {
		p, err := session.PSKFromPassphrase("net", text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	std, url := base64.StdEncoding.EncodeToString(key[:]), base64.URLEncoding.EncodeToString(key[:])
	for _, tt := range []struct {
		name, text string
		want       [32]byte
		says       string
	}{
		{"hexadecimal", hexPSK, psk, ""},
		{"capitals", strings.ToUpper(hexPSK) + "\r\n", psk, ""},
		{"base64", std + "\n", key, ""},
		{"base64 without padding", strings.TrimSuffix(std, "="), key, ""},
		{"base64url", url, key, ""},
		{"space around a key", " " + std + " \n", key, ""},
		{"passphrase", "correct horse\n", phrase("correct horse"), ""},
		{"passphrase with spaces", " correct horse ", phrase(" correct horse "), ""},
		{"63 digits", hexPSK[:63], phrase(hexPSK[:63]), ""},
		{"44 characters without padding", strings.Repeat("a", 44), phrase(strings.Repeat("a", 44)), ""},
		{"empty", "\n", [32]byte{}, "empty"},
		{"zeros", strings.Repeat("0", 64), [32]byte{}, "all zeros"},
		{"two lines", "correct horse\nbattery staple", [32]byte{}, "more than one line"},
		{"7 characters", "1234567", [32]byte{}, "7 characters"},
		{"513 characters", strings.Repeat("x", 513), [32]byte{}, "513 characters"},
	} {
		got, err := ParsePSK("net", tt.text)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: ParsePSK error = %v, want one that says %q", tt.name, err, tt.says)
		}
		if err == nil && got != tt.want {
			t.Errorf("%s: ParsePSK = %x, want %x", tt.name, got, tt.want)
		}
	}
}

func TestReadSecretSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, make([]byte, maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("ReadSecret of %d bytes: error = %v, want one", maxSecret+1, err)
	}
}
