package offload_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"meshnet/meshd/offload"
	"meshnet/meshd/offload/offloadtest"
)

const maxFrame = 1518

// made are packets as kernels make them.
var made = []struct {
	name string
	offloadtest.Packet
}{
	{"TCP over IPv4", offloadtest.Packet{Kind: offload.TCPv4, Options: 12, Payload: 30000, Size: 1448}},
	{"TCP over IPv6", offloadtest.Packet{Kind: offload.TCPv6, IPv6: true, Options: 12, Payload: 65000, Size: 1428}},
	{"TCP, all segments full", offloadtest.Packet{Kind: offload.TCPv4, Payload: 10 * 1460, Size: 1460}},
	{"TCP, odd segments", offloadtest.Packet{Kind: offload.TCPv4, Payload: 5001, Size: 333}},
	{"TCP, one segment", offloadtest.Packet{Kind: offload.TCPv4, Payload: 100, Size: 1448}},
	{"TCP in two VLANs", offloadtest.Packet{Kind: offload.TCPv6, IPv6: true, Tags: 2, Payload: 4000, Size: 1400}},
	{"UDP over IPv4", offloadtest.Packet{Kind: offload.UDP, Payload: 5003, Size: 1200}},
	{"UDP over IPv6 with options", offloadtest.Packet{Kind: offload.UDP, IPv6: true, Options: 16, Payload: 64 * 900, Size: 900}},
	{"a partial checksum over IPv4", offloadtest.Packet{Options: 12, Payload: 77}},
	{"a partial checksum over IPv6", offloadtest.Packet{IPv6: true, Payload: 0}},
}

// segment is one plain frame, taken apart.
type segment struct {
	id      uint16
	seq     uint32
	flags   byte
	payload []byte
}

// apart takes frame f apart and verifies its lengths and checksums, with a sum of its own.
func apart(t *testing.T, p []byte) segment {
	t.Helper()
	if !offload.Plain(p) {
		t.Fatalf("offload header %x of a plain packet", p[:offload.HeaderLen])
	}
	f := p[offload.HeaderLen:]
	l3 := 14
	for f[l3-2] == 0x81 {
		l3 += 4
	}
	ip := f[l3:]
	var s segment
	protocol, l4 := ip[9], 20
	if ip[0]>>4 == 4 {
		s.id = binary.BigEndian.Uint16(ip[4:])
		if got := int(binary.BigEndian.Uint16(ip[2:])); got != len(ip) {
			t.Errorf("IPv4 length = %d, want %d", got, len(ip))
		}
		if offloadtest.Sum(ip[:20]) != 0xffff {
			t.Errorf("IPv4 header checksum is wrong: %x", ip[:20])
		}
	} else {
		protocol, l4 = ip[6], 40
		if protocol == 0 {
			protocol, l4 = ip[40], 48+int(ip[41])*8
		}
		if got := int(binary.BigEndian.Uint16(ip[4:])); got != len(ip)-40 {
			t.Errorf("IPv6 length = %d, want %d", got, len(ip)-40)
		}
	}
	upper := ip[l4:]
	pseudo := offloadtest.Pseudo(ip, protocol, len(upper))
	if got := offloadtest.Sum(append([]byte{byte(pseudo >> 8), byte(pseudo)}, upper...)); got != 0xffff {
		t.Errorf("checksum of the upper layer is wrong: sum %#x", got)
	}
	if protocol == 17 {
		if got := int(binary.BigEndian.Uint16(upper[4:])); got != len(upper) {
			t.Errorf("UDP length = %d, want %d", got, len(upper))
		}
		s.payload = upper[8:]
		return s
	}
	s.seq, s.flags = binary.BigEndian.Uint32(upper[4:]), upper[13]
	s.payload = upper[upper[12]>>4*4:]
	return s
}

// "They are made in buf": with memory that is as long as the longest, nothing is allocated.
func TestSegmentDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, offload.MaxPacket)
	for _, tt := range made {
		p, n := tt.Make(), 0
		scratch := make([]byte, 0, len(p))
		allocs := testing.AllocsPerRun(10, func() {
			offload.Segment(buf, append(scratch, p...), func([]byte) { n++ })
		})
		if allocs != 0 || n == 0 {
			t.Errorf("%s: %v allocations for %d segments, want 0", tt.name, allocs, n)
		}
	}
}

// "Segment cuts into plain frames": lengths, checksums, sequence numbers, identifications and flags are as a kernel makes them.
func TestSegment(t *testing.T) {
	for _, tt := range made {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.Make()
			if err := offload.Check(p, maxFrame); err != nil {
				t.Fatalf("Check() = %v", err)
			}
			want := p[len(p)-tt.Payload:]
			n, total := 0, offload.Segments(p)
			var got []byte
			var first segment
			offload.Segment(nil, slices.Clone(p), func(plain []byte) {
				s := apart(t, slices.Clone(plain))
				if n == 0 {
					first = s
				}
				if tt.Kind != offload.None && len(s.payload) != min(tt.Size, tt.Payload-len(got)) {
					t.Errorf("segment %d has %d bytes, want %d", n, len(s.payload), tt.Size)
				}
				if s.id != first.id+uint16(n) && !tt.IPv6 {
					t.Errorf("identification of segment %d = %d, want %d", n, s.id, first.id+uint16(n))
				}
				if tcp := tt.Kind == offload.TCPv4 || tt.Kind == offload.TCPv6; tcp {
					if s.seq != first.seq+uint32(len(got)) {
						t.Errorf("sequence number of segment %d = %d, want %d", n, s.seq, first.seq+uint32(len(got)))
					}
					flags := byte(0x10) // ACK
					if n == 0 {
						flags |= 0x80 // CWR
					}
					if n == total-1 {
						flags |= 0x08 // PSH
					}
					if s.flags != flags {
						t.Errorf("flags of segment %d = %#x, want %#x", n, s.flags, flags)
					}
				}
				got = append(got, s.payload...)
				n++
			})
			if n != total || !bytes.Equal(got, want) {
				t.Errorf("%d segments with %d bytes, want %d with the packet's %d", n, len(got), total, len(want))
			}
		})
	}
}

// "Slice takes whole segments out": a slice is a packet that Check passes and that Segment cuts into the very same frames.
func TestSlice(t *testing.T) {
	for _, tt := range made {
		if tt.Kind == offload.None {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			p := tt.Make()
			var all [][]byte
			offload.Segment(nil, slices.Clone(p), func(plain []byte) { all = append(all, slices.Clone(plain)) })
			total := len(all)
			for _, r := range [][2]int{{0, total}, {0, 1}, {total - 1, 1}, {total / 2, total - total/2}, {total / 3, 1 + total/3}} {
				s := offload.Slice(make([]byte, 0, len(p)), p, r[0], r[1])
				if err := offload.Check(s, maxFrame); err != nil {
					t.Fatalf("Check(segments %d+%d) = %v", r[0], r[1], err)
				}
				var got [][]byte
				offload.Segment(nil, s, func(plain []byte) { got = append(got, slices.Clone(plain)) })
				if !slices.EqualFunc(got, all[r[0]:r[0]+r[1]], bytes.Equal) {
					t.Errorf("segments %d+%d of %d differ from those of the whole", r[0], r[1], total)
				}
			}
		})
	}
}

// "The header of a frame that comes from elsewhere may lie."
func TestCheckRefuses(t *testing.T) {
	tcp := offloadtest.Packet{Kind: offload.TCPv4, Options: 12, Payload: 3000, Size: 1448}
	tcp6 := offloadtest.Packet{Kind: offload.TCPv6, IPv6: true, Payload: 3000, Size: 1428}
	udp := offloadtest.Packet{Kind: offload.UDP, IPv6: true, Payload: 3000, Size: 1000}
	change := func(c offloadtest.Packet, f func(h *offload.Header, frame []byte)) []byte {
		p := c.Make()
		h := offload.Parse(p)
		f(&h, p[offload.HeaderLen:])
		h.Put(p)
		return p
	}
	for _, tt := range []struct {
		name string
		p    []byte
		want error
	}{
		{"unknown flag", change(tcp, func(h *offload.Header, _ []byte) { h.Flags |= 4 }), offload.ErrFlags},
		{"data valid", change(tcp, func(h *offload.Header, _ []byte) { h.Flags |= 2 }), offload.ErrFlags},
		{"unknown kind", change(tcp, func(h *offload.Header, _ []byte) { h.Kind = 2 }), offload.ErrFlags},
		{"UFO", change(udp, func(h *offload.Header, _ []byte) { h.Kind = 3 }), offload.ErrFlags},
		{"ECN of nothing", change(tcp, func(h *offload.Header, _ []byte) { h.Kind = 0x80 }), offload.ErrFlags},
		{"ECN of UDP", change(udp, func(h *offload.Header, _ []byte) { h.Kind |= 0x80 }), offload.ErrFlags},
		{"segments without a checksum", change(tcp, func(h *offload.Header, _ []byte) { h.Flags, h.Start, h.Offset = 0, 0, 0 }), offload.ErrHeaders},
		{"checksum place without a checksum", change(tcp, func(h *offload.Header, _ []byte) { h.Flags = 0 }), offload.ErrChecksum},
		{"checksum in the Ethernet header", change(tcp, func(h *offload.Header, _ []byte) { h.Start = 0 }), offload.ErrChecksum},
		{"checksum behind the frame", change(tcp, func(h *offload.Header, f []byte) { h.Start = uint16(len(f)) }), offload.ErrChecksum},
		{"checksum half behind the frame", change(tcp, func(h *offload.Header, f []byte) { h.Offset = uint16(len(f)) - h.Start - 1 }), offload.ErrChecksum},
		{"checksum elsewhere in TCP", change(tcp, func(h *offload.Header, _ []byte) { h.Offset = 6 }), offload.ErrChecksum},
		{"start beside TCP", change(tcp, func(h *offload.Header, _ []byte) { h.Start += 4; h.HeadersLen += 4 }), offload.ErrHeaders},
		{"headers too short", change(tcp, func(h *offload.Header, _ []byte) { h.HeadersLen -= 4 }), offload.ErrHeaders},
		{"headers are all", change(tcp, func(h *offload.Header, f []byte) { h.HeadersLen = uint16(len(f)) }), offload.ErrHeaders},
		{"TCP header of 16 bytes", change(tcp, func(_ *offload.Header, f []byte) { f[14+20+12] = 0x40 }), offload.ErrHeaders},
		{"IPv6 as TCP over IPv4", change(tcp6, func(h *offload.Header, _ []byte) { h.Kind = offload.TCPv4 }), offload.ErrHeaders},
		{"IPv4 as TCP over IPv6", change(tcp, func(h *offload.Header, _ []byte) { h.Kind = offload.TCPv6 }), offload.ErrHeaders},
		{"UDP as TCP", change(offloadtest.Packet{Kind: offload.UDP, Payload: 3000, Size: 1000}, func(h *offload.Header, f []byte) {
			h.Kind, h.Offset, h.HeadersLen = offload.TCPv4, 16, h.Start+20
			f[h.Start+12] = 0x50
		}), offload.ErrHeaders},
		{"a fragment", change(tcp, func(_ *offload.Header, f []byte) { f[14+7] = 8 }), offload.ErrHeaders},
		{"IPv4 length", change(tcp, func(_ *offload.Header, f []byte) { f[14+3]++ }), offload.ErrHeaders},
		{"IPv6 length", change(udp, func(_ *offload.Header, f []byte) { f[14+5]++ }), offload.ErrHeaders},
		{"IPv4 header length", change(tcp, func(_ *offload.Header, f []byte) { f[14] = 0x44 }), offload.ErrHeaders},
		{"ARP", change(tcp, func(_ *offload.Header, f []byte) { f[13] = 6 }), offload.ErrHeaders},
		{"three tags", offloadtest.Packet{Kind: offload.TCPv4, Tags: 3, Payload: 3000, Size: 1000}.Make(), offload.ErrHeaders},
		{"headers that would wrap 16 bits", longHeaders(65534), offload.ErrHeaders},
		{"headers that are too long", longHeaders(300), offload.ErrHeaders},
		{"no size", change(tcp, func(h *offload.Header, _ []byte) { h.Size = 0 }), offload.ErrSize},
		{"segments longer than the MTU", change(tcp, func(h *offload.Header, _ []byte) { h.Size = 1500 }), offload.ErrSize},
		{"TCP in single bytes", change(tcp, func(h *offload.Header, _ []byte) { h.Size = 1 }), offload.ErrSize},
		{"too many UDP datagrams", change(udp, func(h *offload.Header, _ []byte) { h.Size = 20 }), offload.ErrSize},
		{"size of nothing", change(offloadtest.Packet{Payload: 9}, func(h *offload.Header, _ []byte) { h.Size = 5 }), offload.ErrHeaders},
		{"headers of nothing", change(offloadtest.Packet{Payload: 9}, func(h *offload.Header, _ []byte) { h.HeadersLen = 5 }), offload.ErrHeaders},
		{"an empty frame", tcp.Make()[:offload.HeaderLen], offload.ErrChecksum},
		{"cut short in TCP", tcp.Make()[:offload.HeaderLen+14+20+18], offload.ErrHeaders},
	} {
		if err := offload.Check(tt.p, maxFrame); !errors.Is(err, tt.want) {
			t.Errorf("%s: Check() = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// longHeaders returns a packet of UDP segments whose UDP header is at byte start of the frame, behind IPv6 options. Its own length of the
// headers is that in 16 bits.
func longHeaders(start int) []byte {
	f := make([]byte, start+8)
	copy(f, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd})
	ip := f[14:]
	ip[0], ip[6], ip[7] = 0x60, 60, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	for i, end := 40, start-14; i < end; {
		n := min(2048, (end-i)/8*8)
		ip[i], ip[i+1] = 60, byte(n/8-1)
		if i+n == end {
			ip[i] = 17
		}
		i += max(n, 8)
	}
	p := append(make([]byte, offload.HeaderLen), f...)
	offload.Header{Flags: offload.NeedsChecksum, Kind: offload.UDP, HeadersLen: uint16(start + 8), Size: 1000, Start: uint16(start), Offset: 6}.Put(p)
	return p
}

// "A kernel says in HeadersLen how much of the frame lies in one piece of its memory, and may say that a checksum was verified."
func TestRestore(t *testing.T) {
	for _, tt := range made {
		p := tt.Make()
		want := slices.Clone(p)
		h := offload.Parse(p)
		h.HeadersLen = 999
		h.Put(p)
		offload.Restore(p)
		if !bytes.Equal(p, want) {
			t.Errorf("%s: Restore() = %x, want %x", tt.name, p[:offload.HeaderLen], want[:offload.HeaderLen])
		}
	}
	verified := make([]byte, offload.HeaderLen+60)
	verified[0] = 2
	if offload.Restore(verified); !offload.Plain(verified) {
		t.Errorf("Restore() of a verified checksum = %x, want nothing", verified[:offload.HeaderLen])
	}
	for n := range 60 { // whatever the kernel says, nothing outside the frame is read
		p := append([]byte{1, 1, 0, 0, 0, 0, byte(n), 0, 0, 0}, make([]byte, n)...)
		offload.Restore(p)
	}
}

// FuzzCheck holds that what Check has passed can be cut: into frames that fit, which together carry the payload.
func FuzzCheck(f *testing.F) {
	for _, tt := range made {
		if len(tt.Make()) < 8000 {
			f.Add(tt.Make())
		}
	}
	f.Add(longHeaders(65534))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < offload.HeaderLen || offload.Check(p, maxFrame) != nil {
			return
		}
		want := p[offload.HeaderLen+int(offload.Parse(p).HeadersLen):]
		segmented := offload.Segmented(p)
		var got []byte
		offload.Segment(nil, slices.Clone(p), func(plain []byte) {
			if segmented {
				if len(plain)-offload.HeaderLen > maxFrame {
					t.Fatalf("a segment has %d bytes", len(plain)-offload.HeaderLen)
				}
				got = append(got, plain[offload.HeaderLen+int(offload.Parse(p).HeadersLen):]...)
			}
			if !offload.Plain(plain) {
				t.Fatalf("a segment has the header %x", plain[:offload.HeaderLen])
			}
		})
		if segmented && !bytes.Equal(got, want) {
			t.Fatalf("the segments carry %d bytes, want %d", len(got), len(want))
		}
	})
}

func BenchmarkSlice(b *testing.B) {
	for _, payload := range []int{3000, 60000} {
		b.Run(fmt.Sprint(payload), func(b *testing.B) {
			p := offloadtest.Packet{Kind: offload.TCPv4, Options: 12, Payload: payload, Size: 1448}.Make()
			dst := make([]byte, 0, len(p))
			b.SetBytes(int64(payload))
			for b.Loop() {
				offload.Slice(dst, p, 0, offload.Segments(p)-1)
			}
		})
	}
}
