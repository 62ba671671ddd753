package udp_test

import (
	"fmt"
	"strings"
	"testing"

	"meshnet/meshd/udp"
)

// ":7000" is port 7000 of every address of both families, the others are themselves. "Names are not looked up."
func TestExpand(t *testing.T) {
	tests := []struct {
		listen string
		want   string // addresses, or what the error says
		ok     bool
	}{
		{":7000", "[0.0.0.0:7000 [::]:7000]", true},
		{":0", "[0.0.0.0:0 [::]:0]", true},
		{"0.0.0.0:7000", "[0.0.0.0:7000]", true},
		{"[::]:7000", "[[::]:7000]", true},
		{"192.0.2.1:7000", "[192.0.2.1:7000]", true},
		{"[2001:db8::1]:7000", "[[2001:db8::1]:7000]", true},
		{"[fe80::1%eth0]:7000", "[[fe80::1%eth0]:7000]", true},
		{"[::ffff:192.0.2.1]:7000", "[192.0.2.1:7000]", true},
		{"", "want ADDRESS:PORT", false},
		{"7000", "want ADDRESS:PORT", false},
		{"192.0.2.1", "want ADDRESS:PORT", false},
		{"2001:db8::1:7000", "[ADDRESS]:PORT for IPv6", false},
		{"example.com:7000", "names are not looked up", false},
		{"eth0:7000", "names are not looked up", false},
		{":", "not a number", false},
		{":domain", "not a number", false},
		{":65536", "not a number from 0 to 65535", false},
		{":-1", "not a number", false},
	}
	for _, tt := range tests {
		got, err := udp.Expand(tt.listen)
		switch {
		case tt.ok && (err != nil || fmt.Sprint(got) != tt.want):
			t.Errorf("Expand(%q) = %v, %v, want %s", tt.listen, got, err, tt.want)
		case !tt.ok && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Expand(%q) = %v, %v, want an error that says %q", tt.listen, got, err, tt.want)
		}
	}
}

// What Expand accepts, it writes as Listen and a second Expand take it.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{":7000", "192.0.2.1:7000", "[2001:db8::1]:7000", "[fe80::1%eth0]:7000",
		"[::ffff:192.0.2.1]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, listen string) {
		addrs, err := udp.Expand(listen)
		if err != nil {
			return
		}
		for _, addr := range addrs {
			again, err := udp.Expand(addr.String())
			if err != nil || len(again) != 1 || again[0] != addr {
				t.Errorf("Expand(%q) has %v, but Expand of that = %v, %v", listen, addr, again, err)
			}
		}
	})
}
