package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

const (
	readBatch  = 64  // packets read from the TAP at once
	writeBatch = 128 // datagrams sealed before they are sent: two bursts
	// arenaLen is how many bytes these have in all. That two bursts fit, however long their datagrams, and no more, so that they are
	// in the cache when they are sent, matters more than their number.
	arenaLen = writeBatch * wire.MaxDatagram
)

// RunOutbound carries frames from tap to the peers, to those by lane to whom that is open, until ctx ends or tap is closed, and then
// returns nil. When ctx ends it closes tap, because nothing else ends a read. Any other error of tap ends it, too, and is returned. It
// starts no goroutine that outlives it. It may run once for each queue of a TAP.
func (s *Switch) RunOutbound(ctx context.Context, lane uint8, tap TAP, under Underlay) error {
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
	o := newOutbound(s, lane, under)
	o.answers.tap = tap
	packets := make([][]byte, readBatch)
	for ctx.Err() == nil {
		n, err := tap.ReadBatch(packets)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("reading frames from the TAP: %w", err)
		}
		o.batch(time.Now(), packets[:n])
	}
	return nil
}

// outbound is the frame path from one TAP queue to the peers. It is used by one goroutine.
type outbound struct {
	sw      *Switch
	learn   learner
	lane    uint8 // what is sent goes by it, where it is open
	under   Underlay
	answers answers
	queue   []wire.Datagram // sealed, to be sent
	arena   []byte          // what they are sealed into, one behind the other: a burst is one piece of memory
	join    []byte          // memory for datagrams that go as one packet
}

func newOutbound(s *Switch, lane uint8, under Underlay) *outbound {
	return &outbound{
		sw:      s,
		learn:   learner{sw: s},
		lane:    lane,
		under:   under,
		answers: newAnswers(s, nil),
		queue:   make([]wire.Datagram, 0, writeBatch),
		arena:   make([]byte, 0, arenaLen),
		join:    make([]byte, 0, offload.MaxPacket+offload.TailLen),
	}
}

// batch carries packets, which are not used after it returns. Datagrams of one flow that wait behind each other go as one.
func (o *outbound) batch(now time.Time, packets [][]byte) {
	o.sw.shared.counters.outFrames.Add(uint64(len(packets)))
	for len(packets) > 0 {
		p, n := offload.Join(o.join, packets)
		if n == 1 {
			p = packets[0]
		}
		if why := o.packet(now, p); why != passes {
			o.sw.shared.counters.drop(why, n)
		}
		packets = packets[n:]
	}
	o.flush()
}

// packet carries one offload header and its frame to where they belong.
func (o *outbound) packet(now time.Time, p []byte) drop {
	f, why := o.sw.check(p)
	fdb := *o.sw.shared.fdb.Load()
	if e := fdb[f.src]; e != nil && e.static && !e.peer.local && f.etherType != 0 {
		return dropSourceRemote
	}
	if o.answers.offer(now, p, f, why) {
		return passes
	}
	if why != passes {
		return why
	}
	b := newPayload(p)
	o.learn.observe(now, fdb, f.src, o.sw.shared.local)
	if !f.dst.group() {
		if e := fdb[f.dst]; e != nil {
			return o.unicast(now, e.peer, b)
		}
	}
	return o.replicate(now, b)
}

// unicast sends payload b to the peer that the frame's destination is behind.
func (o *outbound) unicast(now time.Time, to *peer, b payload) drop {
	if to.local {
		return dropLocal
	}
	why := o.send(now, to, b)
	if s := to.session.Load(); s != nil && why == passes {
		s.AwaitAnswer(now)
	}
	return why
}

// replicate sends payload b to every peer: it is a broadcast, a multicast, or for a station that nobody has heard of.
// The peers' keys differ, and so may the MTUs of the paths to them, so each copy is cut and sealed on its own, straight from b,
// which stays in the cache meanwhile; a peer's pieces stay together.
func (o *outbound) replicate(now time.Time, b payload) drop {
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

// send cuts payload whole into pieces, seals them for p and queues them. Piece k has the counter of piece 0 plus k.
func (o *outbound) send(now time.Time, p *peer, whole payload) drop {
	s := p.session.Load()
	if s == nil {
		return dropNoSession
	}
	k := s.Keypair()
	if k == nil {
		return dropNoSession
	}
	b, pieces, size := whole.cut(s.MaxPayload())
	counter, err := k.Reserve(pieces)
	if err != nil {
		return dropKeypair
	}
	to := s.Endpoint()
	h := wire.Header{Type: wire.TypeFrame, Offload: whole.offloaded, Lane: s.Lane(now, o.lane), Counter: counter}
	sent := 0
	for {
		n := min(size, len(b))
		h.More = n < len(b)
		d := wire.Datagram{Buf: k.Seal(o.slot(n), h, b[:n]), Endpoint: to, Lane: h.Lane}
		o.arena = o.arena[:len(o.arena)+len(d.Buf)]
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
	if whole.long() {
		s.SentLong(now)
	}
	return passes
}

// slot returns room for a datagram of n bytes of payload behind those of the queue, which it empties when it is full.
func (o *outbound) slot(n int) []byte {
	if len(o.queue) == cap(o.queue) || cap(o.arena)-len(o.arena) < n+wire.Overhead {
		o.flush()
	}
	i := len(o.arena)
	return o.arena[i : i : i+n+wire.Overhead]
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
	o.queue, o.arena = o.queue[:0], o.arena[:0]
}
