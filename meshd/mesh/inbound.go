package mesh

import (
	"cmp"
	"fmt"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

const (
	// inboundBatch is how many packets are collected for one write to the TAP.
	inboundBatch = 64
	// longPacket is how many bytes a packet has that is written at once: it should still be in the cache, and so should its
	// buffer for the next.
	longPacket = 16 << 10
)

// Inbound is the frame path from the peers to a TAP. It is used by one goroutine; there may be several, one for each
// that reads datagrams.
type Inbound struct {
	sw      *Switch
	learn   learner
	tap     TAP
	pieces  assembler
	packets [][]byte  // to be written
	now     time.Time // of the datagram or Flush that is being worked on
	err     error     // of a write since the last Flush
}

// NewInbound returns a new end of the frame path to tap, which it does not close.
func (s *Switch) NewInbound(tap TAP) *Inbound {
	in := &Inbound{
		sw:      s,
		learn:   learner{sw: s},
		tap:     tap,
		packets: make([][]byte, 0, inboundBatch),
	}
	in.pieces.drop, in.pieces.salvage = s.drop, in.salvage
	return in
}

// Datagram opens one piece of a frame, of which h is the parsed header, from the peer that k is shared with, and takes it. The
// error is the keypair's: the datagram is not authentic. It may be used again when Flush has returned, not before.
func (in *Inbound) Datagram(now time.Time, h wire.Header, k *session.Keypair, datagram []byte) error {
	in.now = now
	if h.Piece > 0 || h.More {
		return in.piece(h, k, datagram)
	}
	payload, err := k.Open(h, datagram)
	if err != nil {
		return err
	}
	in.sw.shared.counters.inDatagrams.Add(1)
	p := in.peer(k)
	if p == nil {
		return nil
	}
	if len(in.pieces.active) > 0 {
		in.pieces.overtake(h)
	}
	packet := payload
	if !h.Offload {
		// The datagram's own header makes room for the offload header.
		packet = datagram[wire.HeaderLen-offload.HeaderLen:][:offload.HeaderLen+len(payload)]
		offload.Header{}.Put(packet)
	}
	in.packet(p, packet)
	return nil
}

// peer returns whom k is shared with, or counts that nobody is known.
func (in *Inbound) peer(k *session.Keypair) *peer {
	p := in.sw.shared.peers.Load().bySession[k.Session()]
	if p == nil {
		in.sw.drop(dropUnknownPeer)
	}
	return p
}

// piece opens one of several pieces, if it can right into its place, and delivers the frame if it is whole.
func (in *Inbound) piece(h wire.Header, k *session.Keypair, datagram []byte) error {
	n := len(datagram) - wire.Overhead
	p := in.pieces.find(h)
	begins := p == nil
	if begins {
		p = in.pieces.spare()
		p.begin(nil, h)
	}
	// The header may be forged until the piece is open. If it is, what is written has no meaning: nothing has come there.
	at, fits := p.place(h, n)
	var dst []byte
	if fits {
		dst = p.buf[at : at : at+n]
	}
	if _, err := k.OpenTo(dst, h, datagram); err != nil {
		return err
	}
	in.sw.shared.counters.inDatagrams.Add(1)
	if begins {
		in.pieces.overtake(h)
	}
	from := in.peer(k)
	switch {
	case from == nil:
	case uint64(h.Piece) > h.Counter || !fits && begins:
		in.sw.drop(dropPiece)
	case !fits:
		in.sw.drop(dropPiece)
		in.pieces.discard(p)
	default:
		in.take(from, p, begins, h, n)
	}
	return nil
}

// take notes a piece that is in its place in p, and delivers the frame if it is whole.
func (in *Inbound) take(from *peer, p *pending, begins bool, h wire.Header, n int) {
	if begins {
		p.peer = from
		in.pieces.begin(p)
	}
	in.pieces.current = p
	if !p.put(in.now, h, n) {
		in.sw.drop(dropPiece)
		in.pieces.discard(p)
		return
	}
	if !p.whole() {
		return
	}
	packet := p.packet()
	if packet == nil {
		in.sw.drop(dropPiece)
		in.pieces.discard(p)
		return
	}
	in.pieces.finish(p)
	if !in.packet(from, packet) {
		in.pieces.unused()
	}
}

// salvage delivers the whole segments of a frame that has holes.
func (in *Inbound) salvage(p *pending) {
	segments(p, in.sw.shared.maxFrame, func(packet []byte, first, n int) {
		room := in.pieces.spare()
		in.pieces.free = in.pieces.free[:len(in.pieces.free)-1]
		in.pieces.busy = append(in.pieces.busy, room)
		in.sw.shared.counters.inSalvaged.Add(uint64(n))
		if !in.packet(p.peer, offload.Slice(room.buf, packet, first, n)) {
			in.pieces.unused()
		}
	})
}

// packet queues a packet from p for the TAP, or counts why not.
func (in *Inbound) packet(p *peer, packet []byte) (queued bool) {
	if why := in.judge(p, packet); why != passes {
		in.sw.drop(why)
		return false
	}
	in.packets = append(in.packets, packet)
	if len(packet) >= longPacket || len(in.packets) == cap(in.packets) {
		in.write()
	}
	return true
}

// judge judges one packet from p, and passes if it is for the TAP.
func (in *Inbound) judge(p *peer, packet []byte) drop {
	f, why := in.sw.check(packet)
	if why != passes {
		return why
	}
	fdb := *in.sw.shared.fdb.Load()
	if e := fdb[f.src]; e != nil && e.static && e.peer.local {
		// The bridge would learn that its own container is behind the TAP.
		return dropSourceLocal
	}
	in.learn.observe(in.now, fdb, f.src, p)
	if e := fdb[f.dst]; e != nil && !e.peer.local {
		return dropSplitHorizon
	}
	return passes
}

// Flush writes what has come since the last Flush to the TAP. Afterwards no datagram is used any more. What the TAP does
// not take is lost and counted; the error says why. Flush wants to be called again after again, even if nothing comes, unless that
// is 0: a frame with a hole waits.
func (in *Inbound) Flush(now time.Time) (again time.Duration, err error) {
	in.now = now
	if len(in.pieces.active) > 0 && in.pieces.expire(now) {
		again = patience
	}
	in.write()
	err, in.err = in.err, nil
	return again, err
}

// write empties in.packets and notes the first error.
func (in *Inbound) write() {
	if len(in.packets) > 0 {
		n, err := in.tap.WriteBatch(in.packets)
		if err != nil {
			in.err = cmp.Or(in.err, fmt.Errorf("writing frames to the TAP: %w", err))
		}
		in.sw.shared.counters.inFrames.Add(uint64(n))
		if lost := len(in.packets) - n; lost > 0 {
			in.sw.shared.counters.drop(dropTAP, lost)
		}
		clear(in.packets) // keep no datagram
		in.packets = in.packets[:0]
	}
	in.pieces.written()
}
