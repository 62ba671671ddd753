package offload_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"meshnet/meshd/offload"
	"meshnet/meshd/offload/offloadtest"
)

// datagrams returns packets of one UDP flow with payloads of these lengths, as a kernel hands them over one by one.
func datagrams(ipv6 bool, tags int, lengths ...int) [][]byte {
	var ps [][]byte
	for i, n := range lengths {
		whole := offloadtest.Packet{Kind: offload.UDP, IPv6: ipv6, Tags: tags, Payload: n, Size: 1400, Seed: 1}.Make()
		offload.Segment(nil, whole, func([]byte) {}) // completes nothing of what follows
		p := offload.Slice(make([]byte, 0, len(whole)+offload.TailLen), offloadtest.Packet{Kind: offload.UDP, IPv6: ipv6, Tags: tags, Payload: n, Size: 1400, Seed: 1}.Make(), 0, 1)
		for j := len(p) - n; j < len(p); j++ {
			p[j] = byte(i*7 + j)
		}
		ps = append(ps, p)
	}
	return ps
}

// plain returns the plain frames that packets stand for, without what Join does not keep.
func plain(ps ...[]byte) [][]byte {
	var all [][]byte
	for _, p := range ps {
		offload.Segment(nil, slices.Clone(p), func(f []byte) {
			f = slices.Clone(f[offload.HeaderLen:])
			l3 := 14
			for f[l3-2] == 0x81 {
				l3 += 4
			}
			if f[l3]>>4 == 4 {
				copy(f[l3+4:l3+6], "\x00\x00")   // identification
				copy(f[l3+10:l3+12], "\x00\x00") // and the checksum that covers it
			}
			all = append(all, f)
		})
	}
	return all
}

// "What is cut from the packet later are the same datagrams."
func TestJoin(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lengths []int
		want    int
	}{
		{"of one length", []int{64, 64, 64, 64}, 4},
		{"the last is shorter", []int{64, 64, 10, 64}, 3},
		{"the second is longer", []int{64, 65, 64}, 1},
		{"the second is shorter", []int{64, 63, 63}, 2},
		{"full", []int{1400, 1400, 1400}, 3},
		{"one", []int{64}, 1},
		{"an empty one", []int{0, 0}, 1},
		{"more than a kernel takes", slices.Repeat([]int{32}, 100), 64},
		{"more than a packet holds", slices.Repeat([]int{1400}, 60), 43},
	} {
		for _, ipv6 := range []bool{false, true} {
			for tags := range 2 {
				ps := datagrams(ipv6, tags, tt.lengths...)
				joined, n := offload.Join(make([]byte, 0, offload.MaxPacket), ps)
				if n != tt.want || (n == 1) != (joined == nil) {
					t.Errorf("%s, IPv6 %v: Join() took %d, want %d", tt.name, ipv6, n, tt.want)
					continue
				}
				if n == 1 {
					continue
				}
				if err := offload.Check(joined, maxFrame); err != nil {
					t.Errorf("%s, IPv6 %v: Check() of what Join made = %v", tt.name, ipv6, err)
				}
				if !slices.EqualFunc(plain(joined), plain(ps[:n]...), bytes.Equal) {
					t.Errorf("%s, IPv6 %v: the joined packet is cut into other datagrams", tt.name, ipv6)
				}
			}
		}
	}
}

// "Of one flow, with a checksum that is still to be computed, and no fragments."
func TestJoinRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ipv6   bool
		change func(p []byte)
	}{
		{"another source port", false, func(p []byte) { p[offload.HeaderLen+34]++ }},
		{"another destination", false, func(p []byte) { p[offload.HeaderLen+33]++ }},
		{"another destination of IPv6", true, func(p []byte) { p[offload.HeaderLen+53]++ }},
		{"another MAC", false, func(p []byte) { p[offload.HeaderLen]++ }},
		{"another TTL", false, func(p []byte) { p[offload.HeaderLen+22]++ }},
		{"another traffic class", true, func(p []byte) { p[offload.HeaderLen+15] ^= 0x10 }},
		{"a fragment", false, func(p []byte) { p[offload.HeaderLen+20] = 0x20 }},
		{"one that may be fragmented", false, func(p []byte) { p[offload.HeaderLen+20] = 0 }},
		{"a complete checksum", false, func(p []byte) { offload.Complete(p) }},
		{"a length of UDP that is not its own", false, func(p []byte) { p[offload.HeaderLen+39]-- }},
		{"a length of IP that is not its own", true, func(p []byte) { p[offload.HeaderLen+19]-- }},
		{"TCP", false, func(p []byte) { p[offload.HeaderLen+23] = 6 }},
		{"IPv4 options", false, func(p []byte) { p[offload.HeaderLen+14] = 0x46 }},
	} {
		for _, which := range []int{0, 1} {
			ps := datagrams(tt.ipv6, 0, 64, 64)
			tt.change(ps[which])
			if _, n := offload.Join(make([]byte, 0, offload.MaxPacket), ps); n != 1 {
				t.Errorf("%s, packet %d: Join() took %d, want 1", tt.name, which, n)
			}
		}
	}
}

// FuzzJoin holds that whatever Join takes can be cut into as many datagrams, and that they carry the same bytes.
func FuzzJoin(f *testing.F) {
	for _, ipv6 := range []bool{false, true} {
		ps := datagrams(ipv6, 0, 20, 20)
		f.Add(ps[0], ps[1])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) == 0 || len(a)+len(b) > 4000 {
			return
		}
		joined, n := offload.Join(make([]byte, 0, offload.MaxPacket), [][]byte{a, b})
		if n == 1 {
			return
		}
		if got := offload.Segments(joined); got != 2 {
			t.Fatalf("Join() of 2 packets is cut into %d", got)
		}
		headers := int(binary.LittleEndian.Uint16(joined[2:]))
		if want := append(slices.Clone(a[offload.HeaderLen+headers:]), b[offload.HeaderLen+headers:]...); !bytes.Equal(joined[offload.HeaderLen+headers:], want) {
			t.Fatal("the joined packet carries other bytes")
		}
	})
}
