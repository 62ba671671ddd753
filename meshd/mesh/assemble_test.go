package mesh

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/offload/offloadtest"
	"meshnet/meshd/wire"
)

// super is a packet of a burst of TCP from macA to macB.
func super(payload int, seed uint64) []byte {
	return offloadtest.Packet{Dst: macB, Src: macA, Kind: offload.TCPv6, IPv6: true, Options: 12, Payload: payload, Size: 1428, Seed: seed}.Make()
}

// plainFrames returns the plain frames that a packet stands for.
func plainFrames(p []byte) [][]byte {
	var all [][]byte
	offload.Segment(nil, slices.Clone(p), func(plain []byte) { all = append(all, slices.Clone(plain[offload.HeaderLen:])) })
	return all
}

// pair is two hosts, and the datagrams that the first has sent of a packet.
type pair struct {
	a, b *host
	now  time.Time
}

func newPair(t testing.TB) *pair {
	t.Helper()
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	return &pair{hosts[0], hosts[1], now}
}

// send has a send packet p, and returns its datagrams.
func (x *pair) send(p []byte) []wire.Datagram {
	x.a.out.batch(x.now, [][]byte{p})
	return x.a.under.take()
}

// receive hands datagrams to b, and ends the batch. It returns after how long b wants to be called again.
func (x *pair) receive(t testing.TB, ds ...wire.Datagram) time.Duration {
	t.Helper()
	for _, d := range ds {
		x.b.receive(t, x.now, bytes.Clone(d.Buf))
	}
	again, err := x.b.in.Flush(x.now)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// permutations returns the orders of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// "A receiver MUST accept pieces in any order."
func TestPiecesMayComeInAnyOrder(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 9000)
	x := &pair{hosts[0], hosts[1], now}
	for _, p := range [][]byte{packets(plain(broadcast, macA, 4000, 1))[0], super(4000, 1)} {
		for _, order := range permutations(4) {
			ds := x.send(p)
			if len(ds) != 4 {
				t.Fatalf("pieces = %d, want 4", len(ds))
			}
			for _, i := range order {
				x.b.wantFrames(t, "before all pieces have come")
				x.receive(t, ds[i])
			}
			x.b.wantFrames(t, fmt.Sprint("order ", order), plainFrames(p)...)
			if n := len(x.b.tap.packets); n != 1 {
				t.Errorf("order %v: packets written = %d, want 1: nobody has to cut", order, n)
			}
			x.b.tap.packets = nil
		}
	}
	if n := len(x.b.in.pieces.free); n != 1 {
		t.Errorf("frames that memory is kept for = %d, want 1: it is used again", n)
	}
}

// "Around a lost piece the whole segments must still be delivered", whichever piece it is, and within the patience.
func TestALostPieceCostsItsSegments(t *testing.T) {
	for _, payload := range []int{3000, 20000, 64000} {
		x := newPair(t)
		for lost := range len(x.send(super(payload, 1))) {
			p := super(payload, uint64(lost))
			ds := x.send(p)
			size := len(ds[0].Buf) - wire.Overhead
			var want [][]byte
			h := offload.Parse(p)
			for i, f := range plainFrames(p) {
				from, to := h.Span(i, 1, len(p))
				if to <= lost*size || from >= (lost+1)*size {
					want = append(want, f)
				}
			}
			again := x.receive(t, slices.Delete(slices.Clone(ds), lost, lost+1)...)
			x.b.wantFrames(t, "while there is hope")
			if again <= 0 || again > patience {
				t.Fatalf("piece %d lost: Flush wants to be called again after %v, want at most %v", lost, again, patience)
			}
			x.now = x.now.Add(tailTime)
			x.receive(t)
			x.b.wantFrames(t, fmt.Sprintf("piece %d of %d lost", lost, len(ds)), want...)
		}
	}
}

// A frame with a hole waits for as long as pieces are reordered by; one whose end is missing longer, unless a later frame has come.
func TestHowLongAHoleIsWaitedFor(t *testing.T) {
	const nothing = 0
	for _, tt := range []struct {
		name  string
		lost  func(n int) int // piece
		after func(x *pair) []wire.Datagram
		want  time.Duration // from the last piece to what remains
	}{
		{"a hole", func(n int) int { return n / 2 }, nil, patience},
		{"the first piece", func(int) int { return 0 }, nil, patience},
		{"the end", func(n int) int { return n - 1 }, nil, tailTime},
		{"the end, overtaken by a frame in one piece", func(n int) int { return n - 1 }, func(x *pair) []wire.Datagram {
			return x.send(packets(plain(macB, macA, 60, 9))[0])
		}, patience},
		{"the end, overtaken by another burst", func(n int) int { return n - 1 }, func(x *pair) []wire.Datagram { return x.send(super(9000, 8)) }, patience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newPair(t)
			ds := x.send(super(30000, 7))
			i := tt.lost(len(ds))
			began := x.now
			x.receive(t, slices.Delete(ds, i, i+1)...)
			if tt.after != nil {
				x.receive(t, tt.after(x)...)
			}
			x.b.tap.packets = nil
			for len(x.b.tap.packets) == nothing {
				again := x.receive(t)
				if len(x.b.tap.packets) == nothing && again == 0 {
					t.Fatal("nothing is waited for, and nothing has come")
				}
				if len(x.b.tap.packets) == nothing {
					x.now = x.now.Add(again)
				}
			}
			if got := x.now.Sub(began); got < tt.want || got > tt.want+patience {
				t.Errorf("what remains came after %v, want %v", got, tt.want)
			}
			if again := x.receive(t); again != 0 {
				t.Errorf("Flush wants to be called again after %v, want not at all", again)
			}
		})
	}
}

// "Nothing is sent again": what arrives late of a frame that was given up does no harm.
func TestALatePieceDoesNoHarm(t *testing.T) {
	x := newPair(t)
	p := super(20000, 3)
	ds := x.send(p)
	late := ds[5]
	x.receive(t, slices.Delete(slices.Clone(ds), 5, 6)...)
	x.now = x.now.Add(patience)
	x.receive(t)
	before := len(x.b.tap.written)
	x.receive(t, late)
	x.now = x.now.Add(time.Second)
	x.receive(t)
	if n := len(x.b.tap.written); n != before || before == 0 {
		t.Errorf("frames after the late piece = %d, before %d; want as many", n, before)
	}
	if n := len(x.b.in.pieces.active); n != 0 {
		t.Errorf("incomplete frames = %d, want none", n)
	}
}

// A plain frame of which a piece is missing "waits for one second at most", and nobody has to be called for it.
func TestAPieceOfAPlainFrameWaitsASecond(t *testing.T) {
	for _, tt := range []struct {
		wait  time.Duration
		whole bool
	}{{pendingTime, true}, {pendingTime + 1, false}} {
		x := newPair(t)
		f := plain(broadcast, macA, 1514, 1)
		ds := x.send(packets(f)[0])
		if again := x.receive(t, ds[0]); again != 0 {
			t.Errorf("Flush wants to be called again after %v, want not at all", again)
		}
		x.now = x.now.Add(tt.wait)
		x.receive(t) // some other datagram comes
		x.receive(t, ds[1])
		if tt.whole {
			x.b.wantFrames(t, "after a second", f)
		} else {
			x.b.wantFrames(t, "after more than a second")
			x.b.wantCount(t, "frame_incomplete", 1)
		}
	}
}

// "It SHOULD hold at least 16 incomplete frames for each peer, and drop the oldest for a new one."
func TestNewerFramesPushOutTheOldest(t *testing.T) {
	x := newPair(t)
	var rest []wire.Datagram
	var frames [][]byte
	for i := range maxPeerPending + 1 {
		f := plain(broadcast, macA, 1514, byte(i))
		ds := x.send(packets(f)[0])
		x.receive(t, ds[0])
		rest, frames = append(rest, ds[1]), append(frames, f)
	}
	x.b.wantCount(t, "frame_incomplete", 1)
	x.receive(t, rest[1:]...)
	x.b.wantFrames(t, "all but the oldest", frames[1:]...)
}

// 10,000 half super-frames from one authenticated peer: bounded memory, and another's frames still get through.
func TestAPeerCannotMakeUsBufferMoreThanAConstant(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500) // the first receives from both others
	a := hosts[0]
	hosts[1].sw.Advance(now)
	half := func(h *host, seed uint64) {
		h.out.batch(now, [][]byte{super(3000, seed)})
		ds := h.under.take()
		for _, d := range ds[:len(ds)/2] {
			a.receive(t, now, d.Buf)
		}
		if _, err := a.in.Flush(now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(10_000) / 40 {
		for range 40 {
			half(hosts[1], i)
		}
		if n := len(a.in.pieces.active); n > maxPeerPending {
			t.Fatalf("incomplete frames of one peer = %d, want at most %d", n, maxPeerPending)
		}
	}
	if n := len(a.in.pieces.active) + len(a.in.pieces.free) + len(a.in.pieces.busy); n > 2*maxPeerPending {
		t.Errorf("frames that memory is kept for = %d, want at most %d", n, 2*maxPeerPending)
	}
	a.tap.written, a.tap.packets = nil, nil
	p := super(30000, 5)
	hosts[2].out.batch(now, [][]byte{p})
	hosts[2].deliver(t, now, a)
	a.wantFrames(t, "from the other peer", plainFrames(p)...)
}

// A datagram that does not open changes nothing, though its header names a frame that is being put together.
func TestForgedPiecesDoNoHarm(t *testing.T) {
	x := newPair(t)
	p := super(20000, 4)
	ds := x.send(p)
	for i, d := range ds {
		for _, cut := range []int{0, 200} {
			forged := bytes.Clone(d.Buf[:len(d.Buf)-cut])
			forged[len(forged)-1] ^= 1
			h, k := x.b.parse(t, forged)
			if err := x.b.in.Datagram(x.now, h, k, forged); err == nil {
				t.Fatal("a forged piece was opened")
			}
		}
		x.receive(t, ds[i])
	}
	x.b.wantFrames(t, "among forged pieces", plainFrames(p)...)
}

// A forged piece of a frame that does not exist, later than an honest one, does not cut short what that is waited for.
func TestForgedPiecesOvertakeNothing(t *testing.T) {
	x := newPair(t)
	p := super(20000, 1)
	ds := x.send(p)
	last := len(ds) - 1
	x.receive(t, ds[:last]...)
	forged := bytes.Clone(ds[0].Buf)
	forged[1] = 1
	binary.BigEndian.PutUint64(forged[8:], 1<<59)
	h, k := x.b.parse(t, forged)
	if err := x.b.in.Datagram(x.now, h, k, forged); err == nil {
		t.Fatal("a forged piece was opened")
	}
	x.now = x.now.Add(tailTime / 2)
	x.receive(t)
	x.receive(t, ds[last])
	x.b.wantFrames(t, "with its end", plainFrames(p)...)
}

// What the switch drops, after it was put together or what remained of it was cut, keeps no memory.
func TestDroppedFramesKeepNoMemory(t *testing.T) {
	x := newPair(t)
	p := super(60000, 1)
	copy(p[offload.HeaderLen:], []byte{1, 0x80, 0xc2, 0, 0, 0}) // what bridges keep on their link
	for range maxPeerPending {
		b, _, _ := newPayload(bytes.Clone(p)[:len(p):len(p)]).cut(wire.MaxPayload)
		base, err := x.a.machine.Session(x.b.id).Keypair().Reserve(maxPieces)
		if err != nil {
			t.Fatal(err)
		}
		const size = 600
		for i, at := 0, 0; at < len(b); i, at = i+1, at+size {
			end := min(at+size, len(b))
			if whole := i%8 != 7 || end == len(b); whole {
				x.receive(t, x.piece(t, base, i, end < len(b), true, b[at:end]))
			}
		}
	}
	x.now = x.now.Add(time.Second)
	x.receive(t)
	for i := range uint64(100) { // whole ones, all in one batch
		f := plain(MAC{1, 0x80, 0xc2, 0, 0, 0}, macA, 200, 1)
		for j := range 2 {
			d := x.piece(t, 1<<40+2*i, j, j == 0, false, f[100*j:100*j+100])
			x.b.receive(t, x.now, d.Buf)
		}
	}
	if n := len(x.b.in.pieces.free) + len(x.b.in.pieces.busy); n > maxPeerPending+1 {
		t.Errorf("frames that memory is kept for = %d, want at most %d", n, maxPeerPending+1)
	}
	x.b.wantFrames(t, "that do not cross")
}

// piece is a sealed piece of any form.
func (x *pair) piece(t testing.TB, base uint64, i int, more, offloaded bool, payload []byte) wire.Datagram {
	t.Helper()
	k := x.a.machine.Session(x.b.id).Keypair()
	h := wire.Header{Type: wire.TypeFrame, Piece: uint8(i), More: more, Offload: offloaded, Counter: base + uint64(i)}
	return wire.Datagram{Buf: k.Seal(nil, h, payload)}
}

// "MUST drop a frame whose pieces contradict each other."
func TestPiecesThatCannotBelongToAFrame(t *testing.T) {
	type step struct {
		piece     int
		more      bool
		length    int
		offloaded bool
		malformed bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"empty", []step{{0, true, 0, false, true}}},
		{"more pieces than a frame has", []step{{maxPieces, false, 1, false, true}}},
		{"longer than a packet", []step{{100, true, 1200, false, true}}},
		{"longer than a packet together", []step{{60, false, 900, false, false}, {0, true, 1200, false, true}}},
		{"behind the last piece", []step{{1, false, 1, false, false}, {2, true, 1, false, true}}},
		{"two last pieces", []step{{2, false, 1, false, false}, {1, false, 1, false, true}}},
		{"last piece before another", []step{{2, true, 1, false, false}, {1, false, 1, false, true}}},
		{"not equally long", []step{{0, true, 100, false, false}, {1, true, 99, false, true}}},
		{"last piece longer", []step{{0, true, 100, false, false}, {1, false, 101, false, true}}},
		{"last piece longer, and first to come", []step{{1, false, 101, false, false}, {0, true, 100, false, true}}},
		{"with and without an offload header", []step{{0, true, 100, true, false}, {1, false, 100, false, true}}},
		{"an offload header that is too short", []step{{0, true, 3, true, false}, {1, false, 3, true, true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newPair(t)
			for i, s := range test.steps {
				x.receive(t, x.piece(t, 1000, s.piece, s.more, s.offloaded, make([]byte, s.length)))
				if got := x.b.count("piece_malformed") > 0; got != s.malformed {
					t.Fatalf("step %d, %+v: malformed = %v, want %v", i, s, got, s.malformed)
				}
			}
			x.b.wantFrames(t, "of these pieces")
			f := plain(broadcast, macA, 1514, 3)
			x.receive(t, x.send(packets(f)[0])...)
			x.b.wantFrames(t, "afterwards", f)
		})
	}
}

// A frame in one piece whose offload header lies is dropped, and so is one in several.
func TestOffloadHeadersThatLie(t *testing.T) {
	x := newPair(t)
	p := super(1000, 1)
	p[1] = 77
	x.receive(t, x.piece(t, 1000, 0, false, true, p[:900]))
	x.receive(t, x.piece(t, 2000, 0, false, true, p[:5]))
	long := super(3000, 1)
	long[2] = 9 // length of the headers
	for i, at := 0, 0; at < len(long); i, at = i+1, at+1000 {
		end := min(at+1000, len(long))
		x.receive(t, x.piece(t, 3000, i, end < len(long), true, long[at:end]))
	}
	x.now = x.now.Add(time.Minute)
	x.receive(t)
	x.b.wantFrames(t, "of lies")
	if x.b.count("offload_header") != 2 || x.b.count("frame_short") != 1 {
		t.Errorf("counters = %d offload_header, %d frame_short, want 2 and 1", x.b.count("offload_header"), x.b.count("frame_short"))
	}
}

// FuzzCutAndAssemble cuts packets and puts them together again while datagrams are lost, repeated and overtaken: what goes in comes
// out, or is dropped and counted; never something else.
func FuzzCutAndAssemble(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 0, 1, 1, 200, 3, 2, 1})
	f.Add([]byte{9, 100, 0x83, 3, 9, 200, 0xff, 9, 0x81, 1})
	f.Add([]byte{5, 250, 0x80, 0, 5, 250, 0x80, 1, 5, 1, 0xc1, 200})
	f.Fuzz(func(t *testing.T, script []byte) {
		x := newPair(t)
		sent := make(map[string]bool) // plain frames
		var under []wire.Datagram     // on their way
		for n := 0; len(script) >= 2; script, n = script[2:], n+1 {
			op, arg := script[0], script[1]
			switch {
			case op < 0x40: // a burst
				p := super(1+int(op)*1000+int(arg), uint64(n))
				for _, f := range plainFrames(p) {
					sent[string(f)] = true
				}
				under = append(under, x.send(p)...)
			case op < 0x80: // a plain frame
				f := plain(macB, macA, 14+int(op&0x3f)*24+int(arg)%24, byte(n))
				sent[string(f)] = true
				under = append(under, x.send(packets(f)[0])...)
			case op < 0xa0: // the next ones arrive
				k := min(int(op&0x1f)+1, len(under))
				x.receive(t, under[:k]...)
				under = under[k:]
			case op < 0xc0 && len(under) > 0: // one is lost
				i := int(arg) % len(under)
				under = slices.Delete(under, i, i+1)
			case op < 0xe0 && len(under) > 0: // one is overtaken
				i := int(arg) % len(under)
				d := under[i]
				under = append(slices.Delete(under, i, i+1), d)
			case op < 0xf0:
				x.now = x.now.Add(time.Duration(arg) * time.Millisecond)
				x.receive(t)
			default: // something else that the peer has sealed
				i := int(arg) % 130
				counter, _ := x.a.machine.Session(x.b.id).Keypair().Reserve(1)
				x.receive(t, x.piece(t, counter-uint64(i), i, op&1 != 0, op&2 != 0, make([]byte, int(op&0xc)*100+int(arg))))
			}
			for _, f := range x.b.tap.written {
				if len(f) >= 12 && bytes.Equal(f[6:12], macA[:]) && !sent[string(f)] {
					t.Fatalf("frame %x was not sent", f)
				}
			}
			x.b.tap.written, x.b.tap.packets = nil, nil
			if n := len(x.b.in.pieces.active); n > maxPeerPending {
				t.Fatalf("incomplete frames = %d, want at most %d", n, maxPeerPending)
			}
		}
	})
}

// Datagrams of one flow that wait behind each other go as one frame, and come out as they were.
func TestDatagramsThatWaitGoAsOne(t *testing.T) {
	x := newPair(t)
	var packets, want [][]byte
	for i := range 40 {
		p := offload.Slice(make([]byte, 0, 2000), offloadtest.Packet{Dst: macB, Src: macA, Kind: offload.UDP, IPv6: true, Payload: 64, Size: 64, Seed: 3}.Make(), 0, 1)
		p[len(p)-1] = byte(i)
		packets = append(packets, p)
		want = append(want, plainFrames(p)...)
	}
	x.a.out.batch(x.now, packets)
	ds := x.a.under.take()
	if len(ds) > 4 {
		t.Errorf("datagrams of the underlay = %d, want at most 4 for %d of 64 bytes", len(ds), len(packets))
	}
	x.receive(t, ds...)
	x.b.wantFrames(t, "datagrams", want...)
	if n := len(x.b.tap.packets); n != 1 {
		t.Errorf("packets written = %d, want 1", n)
	}
	x.a.wantCount(t, "outbound_frames", 40)
}
