package gateway

import (
	"bytes"
	"testing"

	"golang.org/x/net/bpf"
)

// Only what a DHCP client sends to the gateway alone is taken from what passes.
func TestUnicastDHCP(t *testing.T) {
	vm, err := bpf.NewVM(unicastDHCP([6]byte{2, 1, 2, 3, 4, 5}))
	if err != nil {
		t.Fatal(err)
	}
	frame := func(change ...func(b []byte) []byte) []byte {
		b := []byte{
			2, 1, 2, 3, 4, 5, 2, 9, 9, 9, 9, 9, 8, 0, // Ethernet
			0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 5, 10, 77, 0, 1, // IPv4
			0, 68, 0, 67, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, // UDP
		}
		for _, f := range change {
			b = f(b)
		}
		return b
	}
	set := func(at int, value byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = value; return b }
	}
	options := func(b []byte) []byte { // four bytes of IP options in front of UDP
		b[14] = 0x46
		return append(bytes.Clone(b[:34]), append([]byte{1, 1, 1, 0}, b[34:]...)...)
	}
	for _, test := range []struct {
		name  string
		frame []byte
		taken bool
	}{
		{"a renewal", frame(), true},
		{"with IP options", frame(options), true},
		{"the first of fragments, which is refused later", frame(set(20, 0x20)), true},
		{"a later fragment", frame(set(21, 1)), false},
		{"to all", frame(set(0, 0xff)), false},
		{"to another's MAC", frame(set(5, 6)), false},
		{"IPv6", frame(set(12, 0x86), set(13, 0xdd)), false},
		{"TCP", frame(set(23, 6)), false},
		{"to another port", frame(set(37, 53)), false},
		{"to another port, behind IP options", frame(set(37, 53), options), false},
		{"cut short", frame()[:35], false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if n, err := vm.Run(test.frame); err != nil || n > 0 != test.taken {
				t.Errorf("%d bytes are taken (error %v), want some: %v", n, err, test.taken)
			}
		})
	}
}
