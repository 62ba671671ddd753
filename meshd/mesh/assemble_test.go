package mesh

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

const testMaxFrame = 1518

// assembly is an assembler and the buffer that its caller keeps for it.
type assembly struct {
	assembler
	spare []byte
	now   time.Time
}

func newAssembly() *assembly {
	return &assembly{
		assembler: assembler{maxFrame: testMaxFrame, counters: new(Counters)},
		spare:     make([]byte, testMaxFrame),
		now:       time.Unix(1e9, 0),
	}
}

// add gives the assembler piece i of the frame of this name.
func (a *assembly) add(base uint64, i int, more bool, piece []byte) ([]byte, drop) {
	h := wire.Header{Type: wire.TypeFrame, Piece: uint8(i), More: more, Receiver: 1, Counter: base + uint64(i)}
	return a.assembler.add(a.now, h, piece, &a.spare)
}

// memory returns what the assembler holds, in bytes of frames.
func (a *assembly) memory() int {
	n := 0
	for _, p := range a.pending {
		n += cap(p.buf)
	}
	return n
}

// cutInto cuts b into pieces at these lengths; the last piece is the rest.
func cutInto(b []byte, lengths ...int) [][]byte {
	var pieces [][]byte
	for _, n := range lengths {
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return append(pieces, b)
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

func TestPiecesMayComeInAnyOrderAndHaveAnySize(t *testing.T) {
	want := plain(macB, macA, 1000, 1)
	pieces := cutInto(want, 1, 700, 20)
	a := newAssembly()
	for n, order := range permutations(len(pieces)) {
		for turn, i := range order {
			got, why := a.add(uint64(n)*10, i, i < len(pieces)-1, pieces[i])
			if why != passes {
				t.Fatalf("order %v: add(piece %d) drop = %v", order, i, why)
			}
			if last := turn == len(order)-1; last != (got != nil) {
				t.Fatalf("order %v: add(piece %d) returned a frame = %v, want %v", order, i, got != nil, last)
			}
			if got != nil && !bytes.Equal(got, want) {
				t.Fatalf("order %v: frame = %x, want %x", order, got, want)
			}
		}
	}
	if n := len(a.pending); n != 1 {
		t.Errorf("frames kept room for = %d, want 1: complete frames free theirs", n)
	}
}

func TestFramesAreAssembledSideBySide(t *testing.T) {
	a := newAssembly()
	var frames [maxPending][][]byte
	for i := range frames {
		frames[i] = cutInto(plain(macB, macA, 1514, byte(i)), 757)
		if got, why := a.add(uint64(i)*2, 0, true, frames[i][0]); got != nil || why != passes {
			t.Fatalf("add(first piece of %d) = %x, %v", i, got, why)
		}
	}
	for i := range frames {
		got, why := a.add(uint64(i)*2, 1, false, frames[i][1])
		if want := slices.Concat(frames[i]...); !bytes.Equal(got, want) || why != passes {
			t.Errorf("frame %d = %x, %v, want %x", i, got, why, want)
		}
	}
}

func TestNewerFramesPushOutOneWithAHole(t *testing.T) {
	a := newAssembly()
	piece := make([]byte, 100)
	for i := range uint64(maxPending) {
		a.now = a.now.Add(time.Microsecond)
		a.add(i*2, 0, true, piece)
	}
	if got := a.counters.drops[dropIncomplete].Load(); got != 0 {
		t.Fatalf("frames given up = %d while there was room, want 0", got)
	}
	a.now = a.now.Add(time.Microsecond)
	a.add(1000, 0, true, piece)
	if got := a.counters.drops[dropIncomplete].Load(); got != 1 {
		t.Errorf("frames given up = %d, want 1", got)
	}
	if got, _ := a.add(0, 1, false, piece); got != nil {
		t.Errorf("the oldest frame was completed, want it pushed out")
	}
	if got, _ := a.add(1000, 1, false, piece); len(got) != 200 {
		t.Errorf("the newest frame has %d bytes, want 200", len(got))
	}
}

func TestAPieceWaitsASecond(t *testing.T) {
	piece := make([]byte, 100)
	for _, test := range []struct {
		wait     time.Duration
		complete bool
	}{{pendingTime, true}, {pendingTime + 1, false}} {
		a := newAssembly()
		a.add(0, 0, true, piece)
		a.now = a.now.Add(test.wait)
		if got, _ := a.add(0, 1, false, piece); (got != nil) != test.complete {
			t.Errorf("second piece after %v completes the frame = %v, want %v", test.wait, got != nil, test.complete)
		}
	}
}

func TestPiecesOfDifferentKeypairsAreNotMixed(t *testing.T) {
	a := newAssembly()
	piece := make([]byte, 100)
	h := wire.Header{Type: wire.TypeFrame, More: true, Receiver: 1, Counter: 6}
	a.assembler.add(a.now, h, piece, &a.spare)
	h = wire.Header{Type: wire.TypeFrame, Piece: 1, Receiver: 2, Counter: 7}
	if got, why := a.assembler.add(a.now, h, piece, &a.spare); got != nil {
		t.Errorf("add(last piece under another keypair) = %x, %v, want no frame", got, why)
	}
}

func TestPiecesThatCannotBelongToAFrame(t *testing.T) {
	type step struct {
		piece  int
		more   bool
		length int
		want   drop
	}
	tests := []struct {
		name  string
		base  uint64
		steps []step
	}{
		{"empty", 0, []step{{0, true, 0, dropPiece}}},
		{"more pieces than a frame has", 0, []step{{maxPieces, false, 1, dropPiece}}},
		{"counter below the piece's", ^uint64(0), []step{{1, false, 1, dropPiece}}},
		{"longer than a frame", 0, []step{{0, true, testMaxFrame + 1, dropPiece}}},
		{"longer than a frame together", 0, []step{{0, true, testMaxFrame, passes}, {1, false, 1, dropPiece}}},
		{"behind the last piece", 0, []step{{1, false, 1, passes}, {2, true, 1, dropPiece}}},
		{"two last pieces", 0, []step{{2, false, 1, passes}, {1, false, 1, dropPiece}}},
		{"last piece before another", 0, []step{{2, true, 1, passes}, {1, false, 1, dropPiece}}},
		{"twice", 0, []step{{0, true, 1, passes}, {0, true, 1, dropDuplicate}, {1, false, 1, passes}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newAssembly()
			for _, s := range test.steps {
				if _, why := a.add(test.base, s.piece, s.more, make([]byte, s.length)); why != s.want {
					t.Fatalf("add(%+v) drop = %v, want %v", s, why, s.want)
				}
			}
			// Whatever came before, a good frame gets through.
			pieces := cutInto(plain(macB, macA, 1514, 3), 757)
			a.add(100, 0, true, pieces[0])
			if got, _ := a.add(100, 1, false, pieces[1]); !bytes.Equal(got, slices.Concat(pieces...)) {
				t.Errorf("a frame afterwards = %x, want it whole", got)
			}
		})
	}
}

func TestAPieceThatCannotBelongCostsItsFrame(t *testing.T) {
	a := newAssembly()
	a.add(0, 1, false, []byte{1})
	a.add(0, 2, true, []byte{2})
	if got, _ := a.add(0, 0, true, []byte{0}); got != nil {
		t.Errorf("frame = %x, want none", got)
	}
}

func TestAPeerCannotMakeUsBufferMoreThanAConstant(t *testing.T) {
	a := newAssembly()
	piece := make([]byte, wire.MaxPayload)
	for i := range uint64(10_000) {
		a.add(i*3, int(i%5), i%3 != 0, piece[:1+i%uint64(len(piece))])
		if got := a.memory(); got > maxPending*testMaxFrame {
			t.Fatalf("bytes held after %d pieces = %d, want at most %d", i, got, maxPending*testMaxFrame)
		}
	}
}

// FuzzAssembler interleaves the pieces of honest frames, which are lost, repeated and overtaken, with pieces of any
// form. Whatever happens, only whole frames as they were sent come out under the honest keypair, and the memory is
// bounded.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 0, 1, 1, 200, 3, 2, 1})
	f.Add([]byte{0, 3, 0, 2, 0, 1, 0, 0, 1, 0, 1, 1, 1, 2, 1, 3})
	f.Add([]byte{255, 0, 255, 1, 0, 0, 254, 63, 0, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		a := newAssembly()
		for ; len(script) >= 2; script = script[2:] {
			name, arg := int(script[0]), int(script[1])
			h := wire.Header{Type: wire.TypeFrame, Receiver: 1}
			var piece []byte
			switch {
			case name < 128: // a piece of honest frame name
				pieces := honest(name)
				i := arg % len(pieces)
				h.Piece, h.More = uint8(i), i < len(pieces)-1
				h.Counter = uint64(name)*8 + uint64(i)
				piece = pieces[i]
			case name < 250: // any piece of another keypair
				h.Receiver, h.Piece, h.More = 2, uint8(arg), name&1 != 0
				h.Counter = uint64(name >> 3)
				piece = make([]byte, arg*name%1400)
			default:
				a.now = a.now.Add(time.Duration(arg) * 10 * time.Millisecond)
				continue
			}
			got, _ := a.assembler.add(a.now, h, piece, &a.spare)
			if m := a.memory(); m > maxPending*testMaxFrame || len(a.pending) > maxPending {
				t.Fatalf("%d frames of %d bytes pending", len(a.pending), m)
			}
			if got == nil || h.Receiver != 1 {
				continue
			}
			if want := slices.Concat(honest(name)...); !bytes.Equal(got, want) {
				t.Fatalf("frame %d = %x, want %x", name, got, want)
			}
		}
	})
}

// honest returns the pieces of an honest sender's frame of this name: 2 to 5 pieces.
func honest(name int) [][]byte {
	b := plain(macB, macA, 200+name*9, byte(name))
	return cutInto(b, []int{60, 1, 70, 9}[:1+name%4]...)
}
