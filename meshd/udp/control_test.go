package udp

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

// cmsg returns one control message as recvmmsg writes it: its length, level, type and value, and padding (cmsg(3)).
func cmsg(level, kind int32, value []byte) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(unix.SizeofCmsghdr+len(value)))
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	b = binary.NativeEndian.AppendUint32(b, uint32(kind))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&7)...)
}

func native(value uint32) []byte { return binary.NativeEndian.AppendUint32(nil, value) }

// "The size of the datagrams in the message, 0 if it is one, and how many messages had found the receive buffer full before, 0 if
// it does not say."
func TestParseControl(t *testing.T) {
	gro := cmsg(unix.SOL_UDP, unix.UDP_GRO, native(1232))
	drops := cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, native(0xffff_fffe))
	other := cmsg(unix.SOL_IP, unix.IP_TTL, native(64))
	lies := func(length uint64) []byte {
		b := slices.Clone(other)
		binary.NativeEndian.PutUint64(b, length)
		return b
	}
	tests := []struct {
		name     string
		b        []byte
		segment  int
		overflow uint32
	}{
		{"nothing", nil, 0, 0},
		{"GRO", gro, 1232, 0},
		{"drops", drops, 0, 0xffff_fffe},
		{"both", slices.Concat(drops, gro), 1232, 0xffff_fffe},
		{"both, the other way round", slices.Concat(gro, drops), 1232, 0xffff_fffe},
		{"behind another", slices.Concat(other, gro), 1232, 0},
		{"negative size", cmsg(unix.SOL_UDP, unix.UDP_GRO, native(0xffff_ffff)), 0, 0},
		{"value too short", append(cmsg(unix.SOL_UDP, unix.UDP_GRO, nil), gro...), 1232, 0},
		{"cut off", gro[:unix.SizeofCmsghdr+3], 0, 0},
		{"without its padding", gro[:unix.SizeofCmsghdr+4], 1232, 0},
		{"length 0", slices.Concat(lies(0), gro), 0, 0},
		{"length of less than the header", slices.Concat(lies(8), gro), 0, 0},
		{"length beyond the end", slices.Concat(lies(1000), gro), 0, 0},
		{"negative length", slices.Concat(lies(1<<64-1), gro), 0, 0},
	}
	for _, tt := range tests {
		if segment, overflow := parseControl(tt.b); segment != tt.segment || overflow != tt.overflow {
			t.Errorf("%s: parseControl(%x) = %d, %#x, want %d, %#x", tt.name, tt.b, segment, overflow, tt.segment, tt.overflow)
		}
	}
}

// What the kernel is told about a burst is well formed: a reader of control messages finds the size where udp(7) says.
func TestPutSegment(t *testing.T) {
	var c control
	n := c.putSegment(1232)
	messages, err := unix.ParseSocketControlMessage(c[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("putSegment wrote %x: %v", c[:n], err)
	}
	m := messages[0]
	if m.Header.Level != unix.SOL_UDP || m.Header.Type != unix.UDP_SEGMENT || binary.NativeEndian.Uint16(m.Data) != 1232 {
		t.Errorf("putSegment wrote level %d, type %d, data %x", m.Header.Level, m.Header.Type, m.Data)
	}
}

// Whatever is in the control data, parsing it ends, and the size is one that a datagram can be cut by.
func FuzzParseControl(f *testing.F) {
	f.Add([]byte{})
	f.Add(slices.Concat(cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, native(7)), cmsg(unix.SOL_UDP, unix.UDP_GRO, native(1232))))
	f.Add(cmsg(unix.SOL_UDP, unix.UDP_GRO, native(0x8000_0000)))
	f.Add(slices.Repeat([]byte{0xff}, controlLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		if segment, _ := parseControl(b); segment < 0 {
			t.Errorf("parseControl(%x) = segments of %d bytes", b, segment)
		}
	})
}

// The kernel's count of lost messages is of 32 bits: what is counted here goes on when it wraps around.
func TestOverflowWrapsAround(t *testing.T) {
	var c Conn
	tests := []struct {
		kernel uint32 // 0: no count came
		want   uint64
	}{
		{0, 0}, {3, 3}, {0, 3}, {3, 3}, {0x7000_0000, 0x7000_0000}, {0xe000_0000, 0xe000_0000},
		{0xffff_ffff, 0xffff_ffff}, {1, 1<<32 + 1}, {0, 1<<32 + 1}, {5, 1<<32 + 5},
	}
	for _, tt := range tests {
		m := &c.reader.msgs[0]
		b := cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, native(tt.kernel))
		copy(c.reader.controls[0][:], b)
		if m.hdr.SetControllen(len(b)); tt.kernel == 0 {
			m.hdr.SetControllen(0)
		}
		c.begin(m)
		if got := c.counters.ReceiveOverflow.Load(); got != tt.want {
			t.Errorf("after the kernel's count %#x: ReceiveOverflow = %#x, want %#x", tt.kernel, got, tt.want)
		}
	}
}

// A message that is larger than its buffer is counted, and not a byte of it returned.
func TestTruncated(t *testing.T) {
	c := &Conn{}
	c.reader.init()
	c.reader.got = 2
	c.reader.msgs[0].hdr.Flags, c.reader.msgs[0].len = unix.MSG_TRUNC, bufferLen
	c.reader.msgs[1].len = 5
	for i := range 2 {
		c.reader.msgs[i].hdr.SetControllen(0)
	}
	ds := make([]wire.Datagram, 4)
	if n := c.collect(ds); n != 1 || len(ds[0].Buf) != 5 {
		t.Errorf("collect = %d, first of %d bytes; want the one of 5 bytes that is whole", n, len(ds[0].Buf))
	}
	if got := c.counters.ReceiveTruncated.Load(); got != 1 {
		t.Errorf("ReceiveTruncated = %d, want 1", got)
	}
}
