package ipam

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// "A second implementation derives the same prefix, gateway, key, identifier and MAC": docs/protocol.md, "Addresses".
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(t *testing.T, f []string){
		"ula": func(t *testing.T, f []string) {
			if got := ULA([16]byte(unhex(t, f[0]))).String(); got != f[1] {
				t.Errorf("ULA(%s) = %s, want %s", f[0], got, f[1])
			}
		},
		"gateway-mac": func(t *testing.T, f []string) {
			if got := GatewayMAC([16]byte(unhex(t, f[0]))).String(); got != f[1] {
				t.Errorf("GatewayMAC(%s) = %s, want %s", f[0], got, f[1])
			}
		},
		"gateway": func(t *testing.T, f []string) {
			if got := Gateway(netip.MustParsePrefix(f[0])).String(); got != f[1] {
				t.Errorf("Gateway(%s) = %s, want %s", f[0], got, f[1])
			}
		},
		"key": func(t *testing.T, f []string) {
			if got := AddressKey([32]byte(unhex(t, f[0]))); !bytes.Equal(got[:], unhex(t, f[1])) {
				t.Errorf("AddressKey(%s) = %x, want %s", f[0], got, f[1])
			}
		},
		"attachment": checkAttachment,
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		check := checks[f[0]]
		if check == nil {
			t.Fatalf("testdata/addresses.txt: unknown vector %q", f[0])
		}
		check(t, f[1:])
		seen[f[0]]++
	}
	for kind := range checks {
		if seen[kind] < 2 {
			t.Errorf("testdata/addresses.txt has %d vectors of kind %q, want at least 2", seen[kind], kind)
		}
	}
}

func checkAttachment(t *testing.T, f []string) {
	t.Helper()
	s := scope{[32]byte(unhex(t, f[0])), [16]byte(unhex(t, f[1])), [32]byte(unhex(t, f[2])), netip.MustParsePrefix(f[3])}
	a := Attachment{unquote(t, f[4]), unquote(t, f[5])}
	counter, err := strconv.ParseUint(f[6], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	iid, mac, ok := s.derive(a, uint32(counter))
	if addr := join(s.subnet, iid).String(); addr != f[7] || mac.String() != f[8] || !ok {
		t.Errorf("derive(%v, %d) = %v, %v, %v, want %v, %v, true", a, counter, addr, mac, ok, f[7], f[8])
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unquote(t *testing.T, s string) string {
	t.Helper()
	u, err := strconv.Unquote(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestReserved(t *testing.T) {
	tests := []struct {
		name string
		iid  uint64
		want bool
	}{
		{"subnet-router anycast", 0, true},
		{"gateway", gatewayIID, true},
		{"last of those for people", 0xffff, true},
		{"first free", 0x1_0000, false},
		{"below IANA's block", 0x0200_5efe_ffff_ffff, false},
		{"first of IANA's block", 0x0200_5eff_fe00_0000, true},
		{"proxy mobile IPv6 (RFC 6543)", 0x0200_5eff_fe00_5213, true},
		{"last of IANA's block", 0x0200_5eff_feff_ffff, true},
		{"above IANA's block", 0x0200_5eff_ff00_0000, false},
		{"below the anycast addresses", 0xfdff_ffff_ffff_ff7f, false},
		{"first anycast address", 0xfdff_ffff_ffff_ff80, true},
		{"last anycast address", 0xfdff_ffff_ffff_ffff, true},
		{"above the anycast addresses", 0xfe00_0000_0000_0000, false},
		{"all ones", 0xffff_ffff_ffff_ffff, false},
	}
	for _, tt := range tests {
		if got := reserved(tt.iid); got != tt.want {
			t.Errorf("reserved(%s, %016x) = %v, want %v", tt.name, tt.iid, got, tt.want)
		}
	}
}

// "No two lists of fields have the same bytes."
func TestAppendFields(t *testing.T) {
	lists := [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"\x00\x01a"}, {"", "\x01a"}, {"a"}}
	seen := map[string][]string{}
	for _, l := range lists {
		var fields [][]byte
		for _, f := range l {
			fields = append(fields, []byte(f))
		}
		enc := string(appendFields(nil, fields...))
		if other, ok := seen[enc]; ok {
			t.Errorf("appendFields(%q) = appendFields(%q) = %x", l, other, enc)
		}
		seen[enc] = l
	}
}

func TestMACsAreLocalUnicast(t *testing.T) {
	s := testScope(t)
	for i := range uint32(1000) {
		_, mac, _ := s.derive(Attachment{"web", "eth0"}, i)
		if gw := GatewayMAC([16]byte{byte(i), byte(i >> 8)}); mac[0]&3 != 2 || gw[0]&3 != 2 {
			t.Fatalf("counter %d: MAC %v, gateway %v: want bit 1 of the first byte set, bit 0 clear", i, mac, gw)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	tests := []struct {
		in   string
		want string // the prefix, or what the error contains
		ok   bool
	}{
		{"fd12:3456:789a::/48", "fd12:3456:789a::/48", true},
		{"fd12:3456:789a:bcde::/64", "fd12:3456:789a:bcde::/64", true},
		{"2a01:4f8:1:100::/56", "2a01:4f8:1:100::/56", true},
		{"2001:db8::/48", "2001:db8::/48", true},
		{"3fff:123:4567::/48", "3fff:123:4567::/48", true},
		{"2002:c000:201::/48", "2002:c000:201::/48", true},
		{"", "not of the form", false},
		{"fd00::", "not of the form", false},
		{"fd00::/129", "not of the form", false},
		{"fd00::%eth0/64", "not of the form", false},
		{"10.77.0.0/16", "is not IPv6", false},
		{"::ffff:10.77.0.0/48", "is not IPv6", false},
		{"fd12:3456:789a::/47", "47 bits long, want 48 to 64", false},
		{"fd12:3456:789a::/65", "65 bits long, want 48 to 64", false},
		{"fd12:3456:789a::1/48", "fd12:3456:789a::/48 is the prefix", false},
		{"fd12:3456:789a:1::/48", "fd12:3456:789a::/48 is the prefix", false},
		{"fc00:1:2::/48", "RFC 4193 leaves undefined", false},
		{"2001:0:1::/48", "Teredo", false},
		{"fe80::/64", "not unicast", false},
		{"fec0::/48", "not unicast", false},
		{"ff02::/64", "not unicast", false},
		{"::/48", "not unicast", false},
		{"64:ff9b::/64", "not unicast", false},
		{"4000::/48", "not unicast", false},
	}
	for _, tt := range tests {
		p, err := ParsePrefix(tt.in)
		switch {
		case tt.ok && (err != nil || p.String() != tt.want):
			t.Errorf("ParsePrefix(%q) = %v, %v, want %s", tt.in, p, err, tt.want)
		case !tt.ok && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("ParsePrefix(%q) = %v, %v, want an error with %q", tt.in, p, err, tt.want)
		}
	}
}

// "The network ID (128 random bits) gives it": all ULAs are prefixes that a user could have given.
func TestULAIsAValidPrefix(t *testing.T) {
	for i := range 1000 {
		p := ULA([16]byte{byte(i), byte(i >> 8)})
		if got, err := ParsePrefix(p.String()); err != nil || got != p {
			t.Fatalf("ParsePrefix(ULA(%d)) = %v, %v, want %v", i, got, err, p)
		}
	}
}

func testScope(t *testing.T) scope {
	t.Helper()
	c := testConfig()
	return scope{c.Key, c.NetworkID, c.Node, Subnet(ULA(c.NetworkID))}
}
