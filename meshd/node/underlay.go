package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// underlay sends datagrams to peers: to an address as they are, through a relay inside the session with it. Safe for concurrent use.
type underlay struct {
	direct   Underlay
	sessions func() sessionTable
	counters *Counters
	batches  sync.Pool // of *relayBatch
}

// relayBatch is room for datagrams to relays, one behind the other.
type relayBatch struct {
	datagrams [forwardBatch]wire.Datagram
	arena     [forwardBatch * (wire.MaxDatagram + wire.RelayOverhead)]byte
}

func newUnderlay(n *Node) *underlay {
	return &underlay{
		direct:   n.cfg.Underlay,
		sessions: func() sessionTable { return *n.sessions.Load() },
		counters: &n.counters,
		batches:  sync.Pool{New: func() any { return new(relayBatch) }},
	}
}

// WriteBatch sends ds, keeps nothing of it, and returns how many were sent.
func (u *underlay) WriteBatch(ds []wire.Datagram) (sent int, err error) {
	for len(ds) > 0 {
		run := 1
		for run < len(ds) && ds[run].Endpoint.Relayed() == ds[0].Endpoint.Relayed() {
			run++
		}
		write := u.direct.WriteBatch
		if ds[0].Endpoint.Relayed() {
			write = u.relay
		}
		n, err := write(ds[:run])
		sent += n
		if err != nil {
			return sent, err
		}
		ds = ds[run:]
	}
	return sent, nil
}

// relay sends datagrams whose endpoints are relayed.
func (u *underlay) relay(ds []wire.Datagram) (sent int, err error) {
	batch := u.batches.Get().(*relayBatch)
	defer u.batches.Put(batch)
	now, table := time.Now(), u.sessions()
	for len(ds) > 0 && err == nil {
		var out []wire.Datagram
		out, ds = u.wrap(now, table, batch, ds)
		var n int
		n, err = u.direct.WriteBatch(out)
		sent += n
	}
	u.counters.RelaySent.Add(uint64(sent))
	return sent, err
}

// wrap seals datagrams from the front of ds for their relays until there is no room, and returns the rest.
func (u *underlay) wrap(now time.Time, table sessionTable, batch *relayBatch, ds []wire.Datagram) (out, rest []wire.Datagram) {
	out = batch.datagrams[:0]
	used := 0
	for len(ds) > 0 && len(out) < cap(out) {
		need := len(ds[0].Buf) + wire.RelayOverhead
		if need > len(batch.arena)-used {
			if used > 0 {
				break
			}
			u.counters.RelayLost.Add(1) // longer than any
		} else if d, ok := seal(now, table, batch.arena[used:used:used+need], ds[0]); ok {
			used += len(d.Buf)
			out = append(out, d)
		} else {
			u.counters.RelayLost.Add(1)
		}
		ds = ds[1:]
	}
	return out, ds
}

// seal appends to dst, which has room, what carries d to its relay. There may be no way to that.
func seal(now time.Time, table sessionTable, dst []byte, d wire.Datagram) (sealed wire.Datagram, ok bool) {
	hop := d.Endpoint.Hop()
	s := table[session.NodeID(hop.Via)]
	if s == nil || s.Endpoint().Relayed() {
		return wire.Datagram{}, false
	}
	k := s.Keypair()
	if k == nil {
		return wire.Datagram{}, false
	}
	counter, err := k.Reserve(1)
	if err != nil {
		return wire.Datagram{}, false
	}
	payload := wire.AppendRelay(dst[:wire.HeaderLen], hop.Peer, d.Buf)[wire.HeaderLen:]
	buf := k.Seal(dst, wire.Header{Type: wire.TypeRelay, Counter: counter}, payload)
	k.Sent(now, len(buf))
	return wire.Datagram{Buf: buf, Endpoint: s.Endpoint()}, true
}

// errRelayed says that the path through a relay is not probed.
var errRelayed = errors.New("the peer is reached through a relay")

// Probe sends d, which must not be fragmented on its way. The error wraps wire.ErrTooLong if d cannot even leave this host.
func (u *underlay) Probe(d wire.Datagram) error {
	if d.Endpoint.Relayed() {
		return fmt.Errorf("probing the path %v: %w", d.Endpoint, errRelayed)
	}
	return u.direct.Probe(d)
}
