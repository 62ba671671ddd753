package mesh

import (
	"bytes"
	"testing"
)

func TestParseFrame(t *testing.T) {
	const maxLen = 1518
	long := plain(macB, macA, 1519, 0)
	tests := []struct {
		name      string
		b         []byte
		why       drop
		etherType uint16
		payload   []byte
	}{
		{"header alone", eth(macB, macA, etherTypeIPv4), passes, etherTypeIPv4, nil},
		{"payload", eth(macB, macA, etherTypeIPv4, []byte{1, 2}), passes, etherTypeIPv4, []byte{1, 2}},
		{"to everyone", eth(broadcast, macA, etherTypeARP), passes, etherTypeARP, nil},
		{"one tag", tagged(0x8100, eth(macB, macA, etherTypeIPv6, []byte{6})), passes, etherTypeIPv6, []byte{6}},
		{"one service tag", tagged(0x88a8, eth(macB, macA, etherTypeIPv6, []byte{6})), passes, etherTypeIPv6, []byte{6}},
		{"two tags", tagged(0x88a8, tagged(0x8100, eth(macB, macA, etherTypeIPv6))), passes, etherTypeIPv6, nil},
		{"three tags", tagged(0x8100, tagged(0x8100, tagged(0x8100, eth(macB, macA, etherTypeIPv6)))), dropTags, 0, nil},
		{"tag cut short", eth(macB, macA, 0x8100, []byte{0, 1, 8}), dropMalformed, 0, nil},
		{"tag and type cut off", eth(macB, macA, 0x8100), dropMalformed, 0, nil},
		{"second tag cut short", tagged(0x8100, eth(macB, macA, 0x8100, []byte{0, 1, 8})), dropMalformed, 0, nil},
		{"empty", nil, dropShort, 0, nil},
		{"one byte short", eth(macB, macA, etherTypeIPv4)[:13], dropShort, 0, nil},
		{"MTU and 18 bytes", long[:1518], passes, 0x88b5, long[14:1518]},
		{"one byte longer", long, dropLong, 0, nil},
		{"from everyone", eth(macB, broadcast, etherTypeIPv4), dropSource, 0, nil},
		{"from a group", eth(macB, MAC{0x33, 0x33, 0, 0, 0, 1}, etherTypeIPv4), dropSource, 0, nil},
		{"from nobody", eth(macB, MAC{}, etherTypeIPv4), dropSource, 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, why := parseFrame(test.b, maxLen)
			if why != test.why {
				t.Fatalf("parseFrame(%.40x…) drop = %v, want %v", test.b, why, test.why)
			}
			if why != passes {
				return
			}
			if f.dst != MAC(test.b[:6]) || f.src != MAC(test.b[6:12]) {
				t.Errorf("parseFrame(%.40x…) = to %v from %v", test.b, f.dst, f.src)
			}
			if f.etherType != test.etherType || !bytes.Equal(f.payload, test.payload) {
				t.Errorf("parseFrame(%.40x…) = type %#x payload %x, want %#x %x", test.b, f.etherType, f.payload, test.etherType, test.payload)
			}
		})
	}
}

func TestMACString(t *testing.T) {
	if got, want := (MAC{0x02, 0xab, 0, 0, 0, 0x0a}).String(), "02:ab:00:00:00:0a"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}
