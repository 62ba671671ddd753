package mesh

import (
	"cmp"
	"fmt"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// inboundBatch is how many frames are collected for one write to the TAP.
const inboundBatch = 64

// Inbound is the frame path from the peers to a TAP. It is used by one goroutine; there may be several, one for each
// that reads datagrams.
type Inbound struct {
	sw      *Switch
	learn   learner
	tap     TAP
	frames  [][]byte // to be written
	buffers [][]byte // of maxFrame bytes, or nil; the first used ones hold frames to be written
	used    int
	err     error // of a write since the last Flush
}

// NewInbound returns a new end of the frame path to tap, which it does not close.
func (s *Switch) NewInbound(tap TAP) *Inbound {
	return &Inbound{
		sw:      s,
		learn:   learner{sw: s},
		tap:     tap,
		frames:  make([][]byte, 0, inboundBatch),
		buffers: make([][]byte, inboundBatch),
	}
}

// Datagram takes one opened piece of a frame, with its header, from the peer that k is shared with. A frame of one
// piece is written from where it is: piece may be used again when Flush has returned, not before.
func (in *Inbound) Datagram(now time.Time, h wire.Header, k *session.Keypair, piece []byte) {
	in.sw.shared.counters.inDatagrams.Add(1)
	p := in.sw.shared.peers.Load().bySession[k.Session()]
	if p == nil {
		in.sw.drop(dropUnknownPeer)
		return
	}
	if len(in.frames) == cap(in.frames) {
		in.write()
	}
	frame, why := piece, passes
	assembled := h.Piece > 0 || h.More
	if assembled {
		frame, why = in.assemble(now, p, h, piece)
		if frame == nil && why == passes {
			return // waiting for other pieces
		}
	}
	if why == passes {
		why = in.frame(now, p, frame)
	}
	if why != passes {
		in.sw.drop(why)
		return
	}
	in.frames = append(in.frames, frame)
	if assembled {
		in.used++
	}
}

// assemble adds a piece to its frame and returns the frame, in in.buffers[in.used], if it is complete.
func (in *Inbound) assemble(now time.Time, p *peer, h wire.Header, piece []byte) ([]byte, drop) {
	spare := &in.buffers[in.used]
	if *spare == nil {
		*spare = make([]byte, in.sw.shared.maxFrame)
	}
	return p.assembler.add(now, h, piece, spare)
}

// frame judges one frame from p, and passes if it is for the TAP.
func (in *Inbound) frame(now time.Time, p *peer, b []byte) drop {
	f, why := in.sw.check(b)
	if why != passes {
		return why
	}
	fdb := *in.sw.shared.fdb.Load()
	if e := fdb[f.src]; e != nil && e.static && e.peer.local {
		// The bridge would learn that its own container is behind the TAP.
		return dropSourceLocal
	}
	in.learn.observe(now, fdb, f.src, p)
	if e := fdb[f.dst]; e != nil && !e.peer.local {
		return dropSplitHorizon
	}
	return passes
}

// Flush writes what has come since the last Flush to the TAP. Afterwards no piece is used any more. What the TAP does
// not take is lost and counted; the error says why.
func (in *Inbound) Flush() error {
	in.write()
	err := in.err
	in.err = nil
	return err
}

// write empties in.frames and notes the first error.
func (in *Inbound) write() {
	if len(in.frames) == 0 {
		return
	}
	n, err := in.tap.WriteBatch(in.frames)
	if err != nil {
		in.err = cmp.Or(in.err, fmt.Errorf("writing frames to the TAP: %w", err))
	}
	in.sw.shared.counters.inFrames.Add(uint64(n))
	if lost := len(in.frames) - n; lost > 0 {
		in.sw.shared.counters.drop(dropTAP, lost)
	}
	clear(in.frames) // keep no piece
	in.frames, in.used = in.frames[:0], 0
}
