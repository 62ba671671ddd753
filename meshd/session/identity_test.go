package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	i, err := NewIdentity(seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	again, err := IdentityFromPrivate(i.Private)
	if err != nil || again != i {
		t.Errorf("IdentityFromPrivate = %v, %v, want %v", again, err, i)
	}
	if other, err := NewIdentity(nil); err != nil || other == i {
		t.Errorf("NewIdentity(nil) = %v, %v, want a random one", other, err)
	}
	if _, err := NewIdentity(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("NewIdentity(short) = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	private := fmt.Sprintf("%x", i.Private)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, i); s != i.Public.String() || strings.Contains(s, private) {
			t.Errorf("%s shows %s", format, s)
		}
	}
}

func TestParseNodeID(t *testing.T) {
	hex64 := strings.Repeat("0a", 32)
	for _, test := range []struct {
		name, text string
		ok         bool
	}{
		{"lower case", hex64, true}, {"upper case", strings.ToUpper(hex64), true}, {"empty", "", false},
		{"short", hex64[1:], false}, {"long", hex64 + "00", false}, {"no hex", "x" + hex64[1:], false},
	} {
		id, err := ParseNodeID(test.text)
		if ok := err == nil; ok != test.ok || ok && id.String() != hex64 {
			t.Errorf("%s: ParseNodeID(%s) = %v, %v", test.name, test.text, id, err)
		}
	}
	id, err := ParseNodeID(hex64)
	if err != nil || id.Short() != "0a0a0a0a0a" {
		t.Errorf("Short = %s, %v", id.Short(), err)
	}
	b, err := json.Marshal(map[NodeID]NodeID{id: id})
	if err != nil {
		t.Fatal(err)
	}
	var back map[NodeID]NodeID
	if err := json.Unmarshal(b, &back); err != nil || back[id] != id {
		t.Errorf("JSON %s = %v, %v", b, back, err)
	}
}

// "A passphrase has 8 to 512 characters", not bytes.
func TestPSKFromPassphrase(t *testing.T) {
	for _, test := range []struct {
		name, passphrase string
		ok               bool
	}{
		{"7 characters", "1234567", false}, {"8 characters", "12345678", true}, {"8 of two bytes", "äöüßäöüß", true},
		{"7 of two bytes", "äöüßäöü", false}, {"512", strings.Repeat("x", 512), true}, {"513", strings.Repeat("x", 513), false},
		{"no UTF-8", "\xff2345678", false}, {"empty", "", false},
	} {
		psk, err := PSKFromPassphrase("net", test.passphrase)
		if ok := err == nil; ok != test.ok || !ok && !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: error = %v", test.name, err)
		} else if ok == (psk == [32]byte{}) {
			t.Errorf("%s: PSK %x with error %v", test.name, psk, err)
		}
	}
	a, errA := PSKFromPassphrase("one", "correct horse")
	b, errB := PSKFromPassphrase("two", "correct horse")
	if errA != nil || errB != nil || a == b {
		t.Errorf("PSKs of two networks %x and %x, want different ones", a, b)
	}
}

func TestNewPSK(t *testing.T) {
	a, errA := NewPSK(nil)
	b, errB := NewPSK(nil)
	if errA != nil || errB != nil || a == b {
		t.Errorf("NewPSK = %x, %x", a, b)
	}
	if _, err := NewPSK(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("NewPSK(short) = %v, want %v", err, io.ErrUnexpectedEOF)
	}
}
