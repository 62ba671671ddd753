package mesh

import (
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

const (
	// maxPending is how many frames can be incomplete at once for one reader of datagrams, and maxPeerPending how many of these can
	// be one peer's: this bounds the memory that others make us hold. Each lost piece takes one of them for a while, and this is how
	// far pieces can be out of order.
	maxPending     = 64
	maxPeerPending = 16
	// pendingTime is how long a plain frame waits for its pieces. It is far above what reordering takes, and far below what
	// passes before a keypair's index, which names the frame, is used again.
	pendingTime = time.Second
	// patience is how long a frame with a hole is waited for before its whole segments go on: pieces are reordered by less, and the
	// sender's TCP waits for as long to hear of the loss.
	patience = 3 * time.Millisecond
	// tailTime is the same for a frame whose end is missing when nothing has come after it: it may still be on its way.
	tailTime = 50 * time.Millisecond
)

// assembler holds the incomplete frames of one reader of datagrams.
type assembler struct {
	active  []*pending // incomplete
	current *pending   // of active: the last one that got a piece
	busy    []*pending // whose packets are to be written
	free    []*pending
	salvage func(*pending) // is given each offloaded frame that is given up
	drop    func(drop)
}

// find returns the incomplete frame that a piece with header h is of, nil if there is none.
func (a *assembler) find(h wire.Header) *pending {
	if a.current != nil && a.current.is(h) {
		return a.current
	}
	for _, p := range a.active {
		if p.is(h) {
			return p
		}
	}
	return nil
}

// overtake notes that the first piece of a frame has come, which has been opened: what is claimed without keys must not cut short what
// honest frames are waited for.
func (a *assembler) overtake(h wire.Header) {
	for _, p := range a.active {
		if p.receiver == h.Receiver && p.base < h.Counter {
			p.overtaken = true
		}
	}
}

// spare returns the memory for a frame that may begin. It stays in the list of free ones.
func (a *assembler) spare() *pending {
	if len(a.free) == 0 {
		a.free = append(a.free, &pending{buf: make([]byte, pendingLen)})
	}
	return a.free[len(a.free)-1]
}

// begin makes the spare one, which a piece was decrypted into, an incomplete frame.
func (a *assembler) begin(p *pending) {
	for i, f := range a.free {
		if f == p {
			a.free = append(a.free[:i], a.free[i+1:]...)
			break
		}
	}
	a.makeRoom(p.peer)
	a.active = append(a.active, p)
}

// makeRoom gives a frame up, if another one of this peer would be too many.
func (a *assembler) makeRoom(from *peer) {
	var own, any *pending
	n := 0
	for _, p := range a.active { // the oldest come first
		if any == nil {
			any = p
		}
		if p.peer == from {
			if n++; own == nil {
				own = p
			}
		}
	}
	switch {
	case n >= maxPeerPending:
		a.giveUp(own)
	case len(a.active) >= maxPending:
		a.giveUp(any)
	}
}

// remove takes p out of the incomplete frames.
func (a *assembler) remove(p *pending) {
	for i, q := range a.active {
		if p == q {
			a.active = append(a.active[:i], a.active[i+1:]...)
			break
		}
	}
	if a.current == p {
		a.current = nil
	}
}

// finish takes p out of the incomplete frames, since its packet is to be written.
func (a *assembler) finish(p *pending) {
	a.remove(p)
	a.busy = append(a.busy, p)
}

// discard frees p.
func (a *assembler) discard(p *pending) {
	a.remove(p)
	a.free = append(a.free, p)
}

// giveUp ends the waiting for p.
func (a *assembler) giveUp(p *pending) {
	a.drop(dropIncomplete)
	a.remove(p)
	if p.offloaded {
		a.salvage(p)
	}
	a.free = append(a.free, p)
}

// unused frees the last one of busy, whose packet is not written.
func (a *assembler) unused() {
	last := len(a.busy) - 1
	a.free, a.busy = append(a.free, a.busy[last]), a.busy[:last]
}

// written frees those whose packets are written. What is more than can be needed for long goes.
func (a *assembler) written() {
	a.free = append(a.free, a.busy...)
	a.busy = a.busy[:0]
	if len(a.free) > maxPending {
		clear(a.free[maxPending:])
		a.free = a.free[:maxPending]
	}
}

// expire gives up what has waited long enough. It reports whether an offloaded frame is still waited for.
func (a *assembler) expire(now time.Time) (waiting bool) {
	for i := 0; i < len(a.active); {
		p := a.active[i]
		if age := now.Sub(p.last); p.stale(age) {
			a.giveUp(p)
			continue
		}
		waiting = waiting || p.offloaded
		i++
	}
	return waiting
}

// stale reports whether p is not worth waiting for any longer, age after its last piece.
func (p *pending) stale(age time.Duration) bool {
	switch {
	case !p.offloaded:
		return age > pendingTime
	case p.overtaken || p.total != 0 && p.highest == p.total-1:
		return age >= patience
	}
	return age >= tailTime
}

// segments calls emit for each run of whole segments, first to first+n-1 of packet, that remain of p.
func segments(p *pending, maxFrame int, emit func(packet []byte, first, n int)) {
	packet, ok := p.remains(maxFrame)
	if !ok {
		return
	}
	h := offload.Parse(packet)
	first := 0
	for i := range offload.Segments(packet) + 1 {
		from, to := h.Span(i, 1, len(packet))
		if i < offload.Segments(packet) && p.present(from, to) {
			continue
		}
		if i > first {
			emit(packet, first, i-first)
		}
		first = i + 1
	}
}
