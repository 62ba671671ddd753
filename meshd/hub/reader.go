package hub

import (
	"time"

	"meshnet/meshd/wire"
)

// batchSize is how many datagrams one read may return: some bursts.
const batchSize = 256

// reader is the goroutine of one socket.
type reader struct {
	hub    *Hub
	socket int
	dirty  [MaxNetworks]bool // networks that are to be flushed
	slots  []uint8           // the same as a list
}

// run reads and delivers until the socket fails or is closed.
func (r *reader) run(s Socket) error {
	ds := make([]wire.Datagram, batchSize)
	r.slots = make([]uint8, 0, MaxNetworks)
	wait := time.Duration(-1)
	for {
		n, err := s.ReadBatch(ds, wait)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, d := range ds[:n] {
			r.deliver(now, d)
		}
		wait = r.flush(now)
	}
}

// deliver hands one datagram to its network.
func (r *reader) deliver(now time.Time, d wire.Datagram) {
	if len(d.Buf) > 0 && wire.Type(d.Buf[0]) == wire.TypeHandshake1 {
		r.offer(d)
		return
	}
	index, handshake, err := wire.Receiver(d.Buf)
	if err != nil {
		r.hub.counters.Malformed.Add(1)
		return
	}
	slot := uint8(index)
	a := r.hub.networks[slot].Load()
	if a == nil || a.network == nil {
		r.hub.counters.NoNetwork.Add(1)
		return
	}
	if handshake {
		a.network.Handshake(d.Endpoint, d.Buf)
		return
	}
	h, err := wire.ParseHeader(d.Buf)
	if err != nil {
		r.hub.counters.Malformed.Add(1)
		return
	}
	if !r.dirty[slot] {
		r.dirty[slot] = true
		r.slots = append(r.slots, slot)
	}
	a.receivers[r.socket].Sealed(now, h, d)
}

// offer gives a first handshake message, which names no network, to all of them.
func (r *reader) offer(d wire.Datagram) {
	for i := range r.hub.networks {
		if a := r.hub.networks[i].Load(); a != nil && a.network != nil {
			a.network.Handshake(d.Endpoint, d.Buf)
		}
	}
}

// flush ends the batch for every network that got something, or that waits. It returns for how long the next read may wait.
func (r *reader) flush(now time.Time) time.Duration {
	wait := time.Duration(-1)
	waiting := r.slots[:0]
	for _, slot := range r.slots {
		r.dirty[slot] = false
		a := r.hub.networks[slot].Load()
		if a == nil || a.network == nil {
			continue
		}
		if again := a.receivers[r.socket].Flush(now); again > 0 {
			r.dirty[slot] = true
			waiting = append(waiting, slot)
			if wait < 0 || again < wait {
				wait = again
			}
		}
	}
	r.slots = waiting
	return wait
}
