package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

func TestParseRelay(t *testing.T) {
	const id = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	keepalive := "0500000001020304" + "0000000000000007" + zeros16
	for _, test := range []struct {
		name, in string
		err      error
	}{
		{"sealed message", id + keepalive, nil},
		{"handshake", id + "01000000" + zeros32 + zeros32, nil},
		{"of a later version", id + "7f" + keepalive[2:], nil},
		{"relayed twice", id + "0b" + keepalive[2:], ErrType},
		{"relayed again", id + "0c" + keepalive[2:], ErrType},
		{"short datagram", id + keepalive[2:], ErrShort},
		{"no datagram", id, ErrShort},
		{"empty", "", ErrShort},
	} {
		b := unhex(t, test.in)
		got, datagram, err := ParseRelay(b)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: ParseRelay = %v, want %v", test.name, err, test.err)
		}
		if err == nil && (!bytes.Equal(got[:], unhex(t, id)) || !bytes.Equal(datagram, b[RelayIDLen:])) {
			t.Errorf("%s: ParseRelay = %x, %x", test.name, got, datagram)
		}
	}
}

// "It is comparable", and one way is one endpoint, whoever names it.
func TestEndpoint(t *testing.T) {
	direct := Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:7000")}
	hop := Hop{Via: [32]byte{0xab, 1, 2, 3, 4, 5}, Peer: [32]byte{1}}
	relayed := Through(hop)
	for _, test := range []struct {
		name    string
		e       Endpoint
		text    string
		relayed bool
		valid   bool
		max     int
	}{
		{"direct", direct, "192.0.2.1:7000", false, true, 1232},
		{"relayed", relayed, "via ab01020304", true, true, 1168},
		{"none", Endpoint{}, "invalid AddrPort", false, false, 1232},
	} {
		if test.e.String() != test.text || test.e.Relayed() != test.relayed || test.e.IsValid() != test.valid || test.e.MaxDatagram() != test.max {
			t.Errorf("%s: %q, relayed %v, valid %v, at most %d bytes", test.name, test.e, test.e.Relayed(), test.e.IsValid(), test.e.MaxDatagram())
		}
	}
	if relayed.Hop() != hop || direct.Hop() != (Hop{}) {
		t.Errorf("Hop = %v and %v", relayed.Hop(), direct.Hop())
	}
	if other := Through(Hop{Via: hop.Via, Peer: [32]byte{2}}); relayed != Through(hop) || relayed == other || relayed == direct {
		t.Error("endpoints are equal that differ, or the other way round")
	}
	if n := testing.AllocsPerRun(100, func() {
		if Through(hop) != relayed {
			t.Fatal("not the same")
		}
	}); n != 0 {
		t.Errorf("Through: %v allocations for what is known, want 0", n)
	}
}
