package mesh

import (
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

const (
	// maxPieces is how many pieces a frame may come in. Our own are at most 55, of 64 KB in pieces of wire.MaxPayload, the shortest.
	maxPieces = 128
	// pendingLen is the memory of one frame: the longest packet, and the tail behind it. What is longer is dropped.
	pendingLen = offload.MaxPacket + offload.TailLen
)

// pending is a frame of which some pieces have come. All but the last are equally long, so each has its place in buf, and is
// decrypted right into it. The zero value is a frame of which nothing has come.
type pending struct {
	// The frame's name.
	peer     *peer
	receiver uint32 // index of the keypair
	base     uint64 // counter of piece 0

	offloaded bool
	buf       []byte    // of pendingLen bytes; at the front a packet: the offload header and the frame
	last      time.Time // when the last piece came
	overtaken bool      // a later frame has come

	have    [maxPieces / 64]uint64 // bit i: piece i has come
	count   int                    // of these
	highest int                    // of these
	size    int                    // bytes of each piece but the last; 0: not known yet
	total   int                    // pieces of the frame; 0: not known yet
	lastLen int                    // bytes of the last piece, if total is known; it is at the end of buf while size is not known
}

// begin makes p the pending frame that a piece with header h is of.
func (p *pending) begin(from *peer, h wire.Header) {
	*p = pending{buf: p.buf, peer: from, receiver: h.Receiver, base: h.Counter - uint64(h.Piece), offloaded: h.Offload}
}

// is reports whether a piece with header h is of p.
func (p *pending) is(h wire.Header) bool {
	return p.receiver == h.Receiver && p.base == h.Counter-uint64(h.Piece)
}

// start is where in buf the first piece is: behind the offload header, which a plain frame does not bring along.
func (p *pending) start() int {
	if p.offloaded {
		return 0
	}
	return offload.HeaderLen
}

// place returns where in buf a piece of n bytes with header h belongs, and false if it cannot be a piece of this frame. What is
// there has not come yet, so anything may be written to it.
func (p *pending) place(h wire.Header, n int) (at int, ok bool) {
	i := int(h.Piece)
	size, end := p.size, len(p.buf)
	if size == 0 {
		end -= p.lastLen // of a last piece that waits there
	}
	switch {
	case i >= maxPieces || n <= 0 || p.has(i) || h.Offload != p.offloaded || p.total != 0 && (i >= p.total || !h.More):
		return 0, false
	case h.More && size == 0:
		size = n
	case h.More && n != size, !h.More && (i < p.highest || i == 0 || size != 0 && n > size):
		return 0, false
	case !h.More && size == 0:
		at = end - n
		return at, true
	}
	at = p.start() + i*size
	return at, at+n <= end
}

// put notes that a piece of n bytes with header h is in its place. It returns false if the frame cannot be.
func (p *pending) put(now time.Time, h wire.Header, n int) bool {
	i := int(h.Piece)
	p.have[i/64] |= 1 << (i % 64)
	p.count++
	p.highest = max(p.highest, i)
	p.last = now
	if !h.More {
		p.total, p.lastLen = i+1, n
		return true
	}
	if p.size == 0 {
		p.size = n
		return p.total == 0 || p.moveLast()
	}
	return true
}

// moveLast brings the last piece, which came before any other, to its place.
func (p *pending) moveLast() bool {
	at := p.start() + (p.total-1)*p.size
	if p.lastLen > p.size || at+p.lastLen > len(p.buf) {
		return false
	}
	copy(p.buf[at:], p.buf[len(p.buf)-p.lastLen:])
	return true
}

func (p *pending) has(i int) bool { return p.have[i/64]&(1<<(i%64)) != 0 }

// whole reports whether all pieces have come.
func (p *pending) whole() bool { return p.count == p.total }

// packet returns the packet that all pieces make, without the tail; nil if that cannot be.
func (p *pending) packet() []byte {
	b := p.buf[:p.start()+(p.total-1)*p.size+p.lastLen]
	if !p.offloaded {
		offload.Header{}.Put(b)
		return b
	}
	if len(b) < offload.HeaderLen {
		return nil
	}
	if !offload.Segmented(b) {
		return b
	}
	end := len(b) - int(offload.Parse(b).HeadersLen) - offload.HeaderLen
	if end < offload.HeaderLen {
		return nil
	}
	return b[:end]
}

// present reports whether bytes from to to-1 of buf have come.
func (p *pending) present(from, to int) bool {
	if from < 0 || from >= to || p.size == 0 {
		return false
	}
	from, to = from-p.start(), to-p.start()
	last := (to - 1) / p.size
	if last >= maxPieces || p.total != 0 && to > (p.total-1)*p.size+p.lastLen {
		return false
	}
	for i := from / p.size; i <= last; i++ {
		if !p.has(i) {
			return false
		}
	}
	return true
}

// remains returns the packet of an offloaded frame that has holes, if its headers have come, with the first piece or in the tail.
func (p *pending) remains(maxFrame int) ([]byte, bool) {
	if !p.offloaded || !p.headers() {
		return nil, false
	}
	n, ok := offload.Length(p.buf[:offload.HeaderLen+int(offload.Parse(p.buf).HeadersLen)])
	if !ok || n > len(p.buf) || !offload.Segmented(p.buf) || offload.Check(p.buf[:n], maxFrame) != nil {
		return nil, false
	}
	tail := offload.HeaderLen + int(offload.Parse(p.buf).HeadersLen)
	if p.total != 0 && n+tail != (p.total-1)*p.size+p.lastLen {
		return nil, false
	}
	return p.buf[:n], true
}

// headers makes the headers at the front of buf complete, and reports whether that could be.
func (p *pending) headers() bool {
	const least = offload.HeaderLen
	if p.present(0, least) {
		if n := int(offload.Parse(p.buf).HeadersLen); n <= offload.MaxHeaders && p.present(0, least+n) {
			return true
		}
	}
	if p.total == 0 || p.size == 0 {
		return false
	}
	end := (p.total-1)*p.size + p.lastLen
	if !p.present(end-least, end) {
		return false
	}
	n := int(offload.Parse(p.buf[end-least:]).HeadersLen)
	if n > offload.MaxHeaders || n > end-2*least || !p.present(end-least-n, end) {
		return false
	}
	copy(p.buf[least:], p.buf[end-least-n:end-least])
	copy(p.buf, p.buf[end-least:end])
	return true
}
