package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"meshnet/meshd/wire"
)

const (
	readBatch  = 64  // frames read from the TAP at once
	writeBatch = 128 // datagrams sealed before they are sent
)

// RunOutbound carries frames from tap to the peers until ctx ends or tap is closed, and then returns nil. When ctx ends
// it closes tap, because nothing else ends a read. Any other error of tap ends it, too, and is returned. It starts no
// goroutine that outlives it. It may run once for each queue of a TAP.
func (s *Switch) RunOutbound(ctx context.Context, tap TAP, under Underlay) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		tap.Close()
	})
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	o := newOutbound(s, under)
	for ctx.Err() == nil {
		n, err := tap.ReadBatch(o.frames)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("reading frames from the TAP: %w", err)
		}
		o.batch(time.Now(), o.frames[:n])
	}
	return nil
}

// outbound is the frame path from one TAP queue to the peers. It is used by one goroutine.
type outbound struct {
	sw     *Switch
	learn  learner
	under  Underlay
	frames [][]byte        // for ReadBatch
	queue  []wire.Datagram // sealed, to be sent
	slots  []byte          // what queue[i] is sealed into is the i-th wire.MaxDatagram bytes
}

func newOutbound(s *Switch, under Underlay) *outbound {
	o := &outbound{
		sw:     s,
		learn:  learner{sw: s},
		under:  under,
		frames: make([][]byte, readBatch),
		queue:  make([]wire.Datagram, 0, writeBatch),
		slots:  make([]byte, writeBatch*wire.MaxDatagram),
	}
	size := s.shared.maxFrame + 1 // room to notice a longer frame
	buf := make([]byte, readBatch*size)
	for i := range o.frames {
		o.frames[i] = buf[i*size : (i+1)*size : (i+1)*size]
	}
	return o
}

// batch carries frames, which are not used after it returns.
func (o *outbound) batch(now time.Time, frames [][]byte) {
	o.sw.shared.counters.outFrames.Add(uint64(len(frames)))
	for _, b := range frames {
		if why := o.frame(now, b); why != passes {
			o.sw.drop(why)
		}
	}
	o.flush()
}

// frame carries one frame to where it belongs.
func (o *outbound) frame(now time.Time, b []byte) drop {
	f, why := o.sw.check(b)
	if why != passes {
		return why
	}
	fdb := *o.sw.shared.fdb.Load()
	o.learn.observe(now, fdb, f.src, o.sw.shared.local)
	if !f.dst.group() {
		if e := fdb[f.dst]; e != nil {
			return o.unicast(now, e.peer, b)
		}
	}
	return o.replicate(now, b)
}

// unicast sends frame b to the peer that its destination is behind.
func (o *outbound) unicast(now time.Time, to *peer, b []byte) drop {
	if to.local {
		return dropLocal
	}
	return o.send(now, to, b)
}

// replicate sends frame b to every peer: it is a broadcast, a multicast, or for a station that nobody has heard of.
// The peers' keys differ, so each copy is sealed on its own, straight from b, which stays in the cache meanwhile; a
// peer's pieces stay together.
func (o *outbound) replicate(now time.Time, b []byte) drop {
	peers := o.sw.shared.peers.Load().all
	if len(peers) == 0 {
		return dropNoPeers
	}
	for _, p := range peers {
		if why := o.send(now, p, b); why != passes {
			o.sw.drop(why)
		}
	}
	return passes
}

// send cuts frame b into pieces, seals them for p and queues them. Piece k has the counter of piece 0 plus k.
func (o *outbound) send(now time.Time, p *peer, b []byte) drop {
	s := p.session.Load()
	if s == nil {
		return dropNoSession
	}
	k := s.Keypair()
	if k == nil {
		return dropNoSession
	}
	pieces, size := pieceSize(len(b))
	counter, err := k.Reserve(pieces)
	if err != nil {
		return dropKeypair
	}
	to := s.Endpoint()
	h := wire.Header{Type: wire.TypeFrame, Counter: counter}
	sent := 0
	for {
		n := min(size, len(b))
		h.More = n < len(b)
		d := wire.Datagram{Buf: k.Seal(o.slot(), h, b[:n]), Endpoint: to}
		o.queue = append(o.queue, d)
		sent += len(d.Buf)
		if !h.More {
			break
		}
		b = b[n:]
		h.Piece++
		h.Counter++
	}
	k.Sent(now, sent)
	return passes
}

// slot returns room for the next datagram of the queue, which it empties when it is full.
func (o *outbound) slot() []byte {
	if len(o.queue) == cap(o.queue) {
		o.flush()
	}
	i := len(o.queue) * wire.MaxDatagram
	return o.slots[i : i : i+wire.MaxDatagram]
}

// flush sends the queue. What the underlay does not take is lost, as on any Ethernet, and counted.
func (o *outbound) flush() {
	if len(o.queue) == 0 {
		return
	}
	n, _ := o.under.WriteBatch(o.queue)
	o.sw.shared.counters.outDatagrams.Add(uint64(n))
	if lost := len(o.queue) - n; lost > 0 {
		o.sw.shared.counters.drop(dropUnderlay, lost)
	}
	o.queue = o.queue[:0]
}
