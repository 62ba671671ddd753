package control

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

// metaVector is the example of docs/protocol.md, "Membership and gossip".
var metaVector = struct {
	meta meta
	hex  string
}{
	meta{instance: 3, created: true, name: "c", endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000")}},
	"01" + "01" + "0000000000000003" + "01" + "63" + "01" + "00000000000000000000ffffc0000201" + "1b58",
}

func TestMetaBytes(t *testing.T) {
	b := metaVector.meta.append(nil)
	if got := hex.EncodeToString(b); got != metaVector.hex {
		t.Errorf("append = %s, want %s", got, metaVector.hex)
	}
	if got, err := parseMeta(b); err != nil || !reflect.DeepEqual(got, metaVector.meta) {
		t.Errorf("parseMeta = %+v, %v, want %+v", got, err, metaVector.meta)
	}
	if got, err := parseMeta(append(b, "of a later version"...)); err != nil || !reflect.DeepEqual(got, metaVector.meta) {
		t.Errorf("parseMeta of longer data = %+v, %v, want %+v", got, err, metaVector.meta)
	}
	for i := range b {
		if _, err := parseMeta(b[:i]); !errors.Is(err, errMetaShort) {
			t.Errorf("parseMeta of the first %d bytes error = %v, want short", i, err)
		}
	}
	relays := metaVector.meta
	relays.relays = true
	if b[1] |= flagRelays; !reflect.DeepEqual(relays.append(nil), b[:len(relays.append(nil))]) {
		t.Errorf("append of one that relays = %x", relays.append(nil))
	}
	if got, err := parseMeta(b); err != nil || !reflect.DeepEqual(got, relays) {
		t.Errorf("parseMeta of one that relays = %+v, %v", got, err)
	}
	most := meta{name: strings.Repeat("n", MaxName), endpoints: make([]netip.AddrPort, 20)}
	if n := len(most.append(nil)); n != maxMeta || n > memberlist.MetaMaxSize {
		t.Errorf("the longest data has %d bytes, want %d, at most %d", n, maxMeta, memberlist.MetaMaxSize)
	}
}

func TestParseMetaRejects(t *testing.T) {
	for name, change := range map[string]func(b []byte){
		"version 2":          func(b []byte) { b[0] = 2 },
		"space in the name":  func(b []byte) { b[11] = ' ' },
		"escape in the name": func(b []byte) { b[11] = 0x1b },
		"no name":            func(b []byte) { b[10] = 0 },
		"9 endpoints":        func(b []byte) { b[12] = 9 },
	} {
		b := metaVector.meta.append(nil)
		change(b)
		if _, err := parseMeta(b); !errors.Is(err, errMetaInvalid) {
			t.Errorf("%s: parseMeta error = %v, want invalid", name, err)
		}
	}
}

func FuzzParseMeta(f *testing.F) {
	f.Add(metaVector.meta.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if again, err := parseMeta(m.append(nil)); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("parse of append = %+v, %v, want %+v", again, err, m)
		}
	})
}
