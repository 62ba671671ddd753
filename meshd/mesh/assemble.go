package mesh

import (
	"sync"
	"time"

	"meshnet/meshd/wire"
)

const (
	// maxPending is how many frames of one peer can be incomplete at once. Each lost piece keeps one frame of these
	// until so many newer ones are incomplete, and this is how far pieces can be out of order.
	maxPending = 16
	// maxPieces is how many pieces a frame may come in. Our own are at most 55, of the largest MTU that a TAP can have.
	maxPieces = 64
	// pendingTime is how long a piece waits for the others. It is far above what reordering takes, and far below what
	// passes before a keypair's index, which names the frame, is used again.
	pendingTime = time.Second
)

// assembler puts one peer's frames together from their pieces, which may come in any order. It holds at most maxPending
// frames of maxFrame bytes, whatever the peer sends, and nothing before the peer sends a frame of several pieces. Its
// mutex is shared by goroutines of the frame path only.
type assembler struct {
	maxFrame int
	counters *Counters

	mu      sync.Mutex
	pending []*pending // at most maxPending; those not in use are kept for their buffers
}

// pending is a frame of which some pieces have come. They lie in buf in the order they came in.
type pending struct {
	// The frame's name; a receiver of 0 with pieces 0 means that nothing is pending here.
	receiver uint32 // index of the keypair
	base     uint64 // counter of piece 0

	began   time.Time // when the first piece came
	buf     []byte    // len: what has come; cap: maxFrame
	pieces  int       // that have come
	total   int       // pieces of the frame; 0 = not known yet
	highest int       // piece that has come
	ordered bool      // the pieces came in order: buf is the frame
	at      [maxPieces]span
}

// span is where a piece lies; a piece that has not come has no length.
type span struct{ start, length int32 }

// add takes a piece with its header. When this completes a frame, it returns it, and the frame's memory is *spare, a
// buffer of maxFrame bytes, which may have been exchanged for one of the assembler's own; else the frame is nil. The
// piece is not kept.
func (a *assembler) add(now time.Time, h wire.Header, piece []byte, spare *[]byte) (frame []byte, why drop) {
	if len(piece) == 0 || h.Piece >= maxPieces || uint64(h.Piece) > h.Counter {
		return nil, dropPiece
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.find(now, h.Receiver, h.Counter-uint64(h.Piece))
	if why := p.put(int(h.Piece), h.More, piece); why != passes {
		if why == dropPiece {
			p.reset()
		}
		return nil, why
	}
	if p.pieces != p.total {
		return nil, passes
	}
	if p.ordered {
		*spare, p.buf = p.buf, (*spare)[:0]
	} else {
		*spare = p.appendInOrder((*spare)[:0])
	}
	p.reset()
	return *spare, passes
}

// find returns the pending frame of this name, which may be new.
func (a *assembler) find(now time.Time, receiver uint32, base uint64) *pending {
	var free, oldest *pending
	for _, p := range a.pending {
		switch {
		case p.pieces == 0:
			free = p
		case p.receiver == receiver && p.base == base && now.Sub(p.began) <= pendingTime:
			return p
		case oldest == nil || p.began.Before(oldest.began):
			oldest = p
		}
	}
	if free == nil && len(a.pending) < maxPending {
		free = &pending{buf: make([]byte, 0, a.maxFrame)}
		a.pending = append(a.pending, free)
	}
	if free == nil {
		a.counters.drop(dropIncomplete, 1)
		oldest.reset()
		free = oldest
	}
	free.receiver, free.base, free.began, free.ordered = receiver, base, now, true
	return free
}

// put stores one piece.
func (p *pending) put(i int, more bool, piece []byte) drop {
	if p.at[i].length != 0 {
		return dropDuplicate
	}
	if p.total != 0 && (!more || i >= p.total) || !more && i < p.highest || len(piece) > cap(p.buf)-len(p.buf) {
		return dropPiece
	}
	p.at[i] = span{start: int32(len(p.buf)), length: int32(len(piece))}
	p.buf = append(p.buf, piece...)
	p.ordered = p.ordered && i == p.pieces
	p.highest = max(p.highest, i)
	p.pieces++
	if !more {
		p.total = i + 1
	}
	return passes
}

// appendInOrder appends all pieces to dst.
func (p *pending) appendInOrder(dst []byte) []byte {
	for _, s := range p.at[:p.total] {
		dst = append(dst, p.buf[s.start:s.start+s.length]...)
	}
	return dst
}

// reset makes room for another frame. It keeps the buffer.
func (p *pending) reset() {
	clear(p.at[:p.highest+1])
	p.buf = p.buf[:0]
	p.pieces, p.total, p.highest = 0, 0, 0
}
