package udp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/udp"
	"meshnet/meshd/wire"
)

// offs are the ways to run: with all offloads, without either, without both.
var offs = []udp.Off{{}, {GSO: true}, {GRO: true}, {GSO: true, GRO: true}}

// eachOff runs a test with two sockets of each family, with and without each offload.
func eachOff(t *testing.T, test func(t *testing.T, a, b *udp.Conn)) {
	for _, addr := range loopback {
		for _, off := range offs {
			t.Run(fmt.Sprintf("%v/%+v", addr.Addr(), off), func(t *testing.T) {
				test(t, listen(t, udp.Config{Addr: addr, Socket: 1, Off: off}), listen(t, udp.Config{Addr: addr, Socket: 2, Off: off}))
			})
		}
	}
}

// sized returns datagrams of these lengths, each with its number at the front and in memory of its own.
func sized(to netip.AddrPort, lengths ...int) []wire.Datagram {
	ds := make([]wire.Datagram, len(lengths))
	for i, length := range lengths {
		b := bytes.Repeat([]byte{byte(i)}, length)
		if length >= 4 {
			binary.BigEndian.PutUint32(b, uint32(i))
		}
		ds[i] = wire.Datagram{Buf: b, Endpoint: wire.Endpoint{Addr: to}}
	}
	return ds
}

// joined moves the datagrams into one piece of memory, one behind the other, as they are sealed.
func joined(ds []wire.Datagram) []wire.Datagram {
	total := 0
	for _, d := range ds {
		total += len(d.Buf)
	}
	arena := make([]byte, 0, total)
	for i, d := range ds {
		at := len(arena)
		arena = append(arena, d.Buf...)
		ds[i].Buf = arena[at:]
		ds[i].Buf = ds[i].Buf[:len(d.Buf):len(d.Buf)]
	}
	return ds
}

// send sends all of ds.
func send(t *testing.T, c *udp.Conn, ds []wire.Datagram) {
	t.Helper()
	if n, err := c.WriteBatch(ds); n != len(ds) || err != nil {
		t.Fatalf("WriteBatch = %d, %v, want %d, <nil>", n, err, len(ds))
	}
}

// wantSame fails the test if what was read is not what was sent, in that order.
func wantSame(t *testing.T, got, sent []wire.Datagram) {
	t.Helper()
	for i := range sent {
		if !bytes.Equal(got[i].Buf, sent[i].Buf) {
			t.Fatalf("datagram %d of %d = %.8x… of %d bytes, want %.8x… of %d", i, len(sent), got[i].Buf, len(got[i].Buf), sent[i].Buf, len(sent[i].Buf))
		}
	}
}

// "Those that follow each other to one endpoint and are of one length, the last of them possibly shorter, go to the kernel as one":
// whatever the lengths, and with each offload on or off, the datagrams arrive whole and in order.
func TestBurstsArriveWholeAndInOrder(t *testing.T) {
	tests := []struct {
		name    string
		lengths []int
	}{
		{"60 of one length", slices.Repeat([]int{1232}, 60)},
		{"one burst that ends with a shorter one", append(slices.Repeat([]int{1232}, 40), 17)},
		{"bursts one behind the other", slices.Repeat([]int{1000, 1000, 1000, 400}, 20)},
		{"growing", []int{1, 2, 3, 4, 5, 6}},
		{"shrinking", []int{6, 5, 4, 3, 2, 1}},
		{"a shorter one in the middle", []int{900, 900, 500, 900, 900}},
		{"single bytes", slices.Repeat([]int{1}, 70)},
		{"empty ones in between", []int{0, 500, 500, 0, 500, 0, 0, 500}},
		{"more than 64", slices.Repeat([]int{100}, 300)},
		{"more than 64 KB", slices.Repeat([]int{8900}, 40)},
		{"the largest of all", []int{65487, 65487, 20}},
		{"a length that divides what fits", slices.Repeat([]int{65487 / 3}, 7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachOff(t, func(t *testing.T, a, b *udp.Conn) {
				for _, ds := range [][]wire.Datagram{sized(b.LocalAddr(), tt.lengths...), joined(sized(b.LocalAddr(), tt.lengths...))} {
					send(t, a, ds)
					got := read(t, b, len(ds))
					wantSame(t, got, ds)
					from := wire.Endpoint{Addr: a.LocalAddr(), Socket: 2}
					for i, d := range got {
						if d.Endpoint != from {
							t.Errorf("datagram %d came from %+v, want %+v", i, d.Endpoint, from)
						}
					}
				}
				sent, received := a.Counters().Sent.Load(), b.Counters().Received.Load()
				if want := uint64(2 * len(tt.lengths)); sent != want || received != want {
					t.Errorf("sent %d and received %d, want %d", sent, received, want)
				}
			})
		})
	}
}

// Datagrams to two endpoints by turns, and bursts to both in one call, each arrive in order where they belong.
func TestTwoEndpoints(t *testing.T) {
	for _, run := range []int{1, 30} {
		eachOff(t, func(t *testing.T, a, b *udp.Conn) {
			third := listen(t, udp.Config{Addr: netip.AddrPortFrom(b.LocalAddr().Addr(), 0)})
			ds := sized(b.LocalAddr(), slices.Repeat([]int{800}, 120)...)
			want := map[*udp.Conn][]wire.Datagram{}
			for i := range ds {
				to := b
				if i/run%2 == 1 {
					to = third
				}
				ds[i].Endpoint.Addr = to.LocalAddr()
				want[to] = append(want[to], ds[i])
			}
			send(t, a, ds)
			for to, ds := range want {
				wantSame(t, read(t, to, len(ds)), ds)
			}
		})
	}
}

// "At most len(ds)": what of a burst does not fit is returned by the next calls.
func TestBurstLargerThanTheBatch(t *testing.T) {
	eachOff(t, func(t *testing.T, a, b *udp.Conn) {
		ds := joined(sized(b.LocalAddr(), append(slices.Repeat([]int{700}, 50), 300)...))
		for _, size := range []int{1, 3, 49, 50, 51} {
			send(t, a, ds)
			wantSame(t, readBy(t, b, len(ds), size), ds)
		}
	})
}

// A burst goes to the kernel as one, and comes from it as one: the device in between sees one packet. Without the offloads it is
// as many as there are datagrams.
func TestBurstIsOneMessage(t *testing.T) {
	for _, tt := range []struct {
		off  udp.Off
		want int // messages
	}{{udp.Off{}, 1}, {udp.Off{GSO: true}, 40}} {
		a, b := listen(t, udp.Config{Addr: loopback[0], Off: tt.off}), listen(t, udp.Config{Addr: loopback[0], Off: tt.off})
		send(t, a, joined(sized(b.LocalAddr(), slices.Repeat([]int{1000}, 40)...)))
		messages := 0
		for bytes := 0; bytes < 40*1000; messages++ {
			buf := make([]byte, 1<<16)
			n, _, _, _, err := unix.Recvmsg(udp.FD(b), buf, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			bytes += n
		}
		if messages != tt.want {
			t.Errorf("%+v: 40 datagrams came as %d messages, want %d", tt.off, messages, tt.want)
		}
	}
}

// "Offloads returns what the kernel does for us, and why it does not do the rest."
func TestOffloads(t *testing.T) {
	for _, off := range offs {
		c := listen(t, udp.Config{Addr: loopback[0], Off: off})
		for i, isOff := range []bool{off.GSO, off.GRO} {
			o := c.Offloads()[i]
			if o.Name != []string{"udp-gso", "udp-gro"}[i] || o.On == isOff || (o.Why == "") == isOff {
				t.Errorf("%+v: offload %d = %+v", off, i, o)
			}
		}
	}
}

// "ReadBatch waits for a datagram, at most for wait; none if the time is up."
func TestReadWaitsNoLonger(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		ds := make([]wire.Datagram, 1)
		for _, wait := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond} {
			began := time.Now()
			n, err := b.ReadBatch(ds, wait)
			if took := time.Since(began); n != 0 || err != nil || took < wait {
				t.Errorf("ReadBatch = %d, %v after %v, want 0, <nil> after %v", n, err, took, wait)
			}
		}
		send(t, a, numbered(1, b.LocalAddr()))
		if n, err := b.ReadBatch(ds, 0); n != 1 || err != nil {
			t.Errorf("ReadBatch with wait 0 = %d, %v, want the datagram that is there", n, err)
		}
	})
}

// "None if what came was no datagram": one whose checksum is wrong wakes the reader, which does not begin to wait anew.
func TestWrongChecksumEndsTheWait(t *testing.T) {
	b := listen(t, udp.Config{Addr: loopback[0]})
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		t.Fatalf("opening a raw socket, for which the test runs as root: %v", err)
	}
	defer unix.Close(raw)
	to := b.LocalAddr()
	const length = 200 // bytes; what is shorter the kernel verifies before it wakes anybody
	datagram := binary.BigEndian.AppendUint16([]byte{0, 9}, to.Port())
	datagram = append(datagram, 0, length, 0xab, 0xcd) // and the checksum
	datagram = append(datagram, make([]byte, length-len(datagram))...)
	ds := make([]wire.Datagram, 1)
	if n, err := b.ReadBatch(ds, 0); n != 0 || err != nil { // from now on it waits before it reads
		t.Fatalf("ReadBatch = %d, %v", n, err)
	}
	if err := unix.Sendto(raw, datagram, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n, err := b.ReadBatch(ds, time.Minute)
	if took := time.Since(began); n != 0 || err != nil || took >= time.Minute {
		t.Errorf("ReadBatch = %d, %v after %v, want 0, <nil> at once", n, err, took)
	}
}

// ReceiveOverflow counts what found "the receive buffer full"; the rest arrives.
func TestReceiveOverflow(t *testing.T) {
	for _, addr := range loopback {
		a := listen(t, udp.Config{Addr: addr})
		b := listen(t, udp.Config{Addr: addr, Buffer: 8 << 10})
		const sent = 200
		ds := sized(b.LocalAddr(), slices.Repeat([]int{1200}, sent)...)
		for i := range ds { // one by one, so that each that is lost counts
			send(t, a, ds[i:i+1])
		}
		got, in := 0, make([]wire.Datagram, 64)
		for {
			n, err := b.ReadBatch(in, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got += n; n == 0 {
				break
			}
		}
		if got == 0 || got == sent {
			t.Fatalf("%v: %d of %d datagrams arrived, want some", addr, got, sent)
		}
		send(t, a, ds[:1]) // brings the count
		read(t, b, 1)
		if lost := b.Counters().ReceiveOverflow.Load(); lost != uint64(sent-got) {
			t.Errorf("%v: ReceiveOverflow = %d, want %d", addr, lost, sent-got)
		}
	}
}

// "A datagram that the kernel refuses is counted and skipped", each of a burst on its own: too large ones are in no burst.
func TestRefusedBurst(t *testing.T) {
	eachOff(t, func(t *testing.T, a, b *udp.Conn) {
		ds := sized(b.LocalAddr(), slices.Repeat([]int{500}, 90)...)
		for i := 30; i < 60; i++ {
			ds[i].Endpoint.Addr = netip.AddrPortFrom(b.LocalAddr().Addr(), 0) // EINVAL
		}
		if n, err := a.WriteBatch(ds); n != 60 || err != nil {
			t.Errorf("WriteBatch = %d, %v, want 60, <nil>", n, err)
		}
		wantSame(t, read(t, b, 60), slices.Concat(ds[:30], ds[60:]))
		if got := a.Counters().SendInvalid.Load(); got != 30 {
			t.Errorf("SendInvalid = %d, want 30", got)
		}
	})
}

// ReadBatch and WriteBatch "do not allocate", with and without each offload.
func TestAllocations(t *testing.T) {
	eachOff(t, func(t *testing.T, a, b *udp.Conn) {
		out := append(numbered(40, b.LocalAddr()), joined(sized(b.LocalAddr(), slices.Repeat([]int{1232}, 50)...))...)
		in := make([]wire.Datagram, 64)
		allocs := testing.AllocsPerRun(100, func() {
			send(t, a, out)
			for got := 0; got < len(out); {
				n, err := b.ReadBatch(in, time.Second)
				if err != nil || n == 0 {
					t.Fatalf("ReadBatch = %d, %v", n, err)
				}
				got += n
			}
			if n, err := b.ReadBatch(in, time.Microsecond); n != 0 || err != nil {
				t.Fatalf("ReadBatch = %d, %v, want 0, <nil>", n, err)
			}
		})
		if allocs != 0 {
			t.Errorf("sending and receiving %d datagrams allocates %v times, want 0", len(out), allocs)
		}
	})
}

// One socket to another over loopback, in the same goroutine: the cost of both calls, not of waking up.
func BenchmarkLoopback(b *testing.B) {
	growing := make([]int, 64) // no two of them go as one
	for i := range growing {
		growing[i] = 64 + i
	}
	bursts := []struct {
		name    string
		lengths []int
	}{
		{"burst-64KB", slices.Repeat([]int{1232}, 52)},
		{"single-x64", growing},
	}
	for _, addr := range loopback {
		for _, burst := range bursts {
			for _, off := range []udp.Off{{}, {GSO: true, GRO: true}} {
				b.Run(fmt.Sprintf("%v/%s/off=%v", addr.Addr(), burst.name, off.GSO), func(b *testing.B) {
					from, to := listen(b, udp.Config{Addr: addr, Off: off}), listen(b, udp.Config{Addr: addr, Off: off})
					out, in := joined(sized(to.LocalAddr(), burst.lengths...)), make([]wire.Datagram, 256)
					total := 0
					for _, d := range out {
						total += len(d.Buf)
					}
					b.SetBytes(int64(total))
					b.ReportAllocs()
					for b.Loop() {
						if _, err := from.WriteBatch(out); err != nil {
							b.Fatal(err)
						}
						for got := 0; got < len(out); {
							n, err := to.ReadBatch(in, time.Second)
							if err != nil || n == 0 {
								b.Fatal(errors.Join(err, fmt.Errorf("%d of %d came", got, len(out))))
							}
							got += n
						}
					}
				})
			}
		}
	}
}
