package hub

import (
	"time"

	"meshnet/meshd/wire"
)

const (
	// batchSize is how many datagrams one read may return.
	batchSize = 64
	// bufferLen holds the largest datagram of UDP, so that none is ever cut: a cut one would look like a forgery.
	bufferLen = 1 << 16
)

// reader is the goroutine of one socket.
type reader struct {
	hub    *Hub
	socket int
	dirty  [MaxNetworks]bool // networks that got something in this batch
	slots  []uint8           // the same as a list
}

// run reads and delivers until the socket fails or is closed.
func (r *reader) run(s Socket) error {
	ds := make([]wire.Datagram, batchSize)
	for i := range ds {
		ds[i].Buf = make([]byte, bufferLen)
	}
	r.slots = make([]uint8, 0, MaxNetworks)
	for {
		n, err := s.ReadBatch(ds)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, d := range ds[:n] {
			r.deliver(now, d)
		}
		r.flush()
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

// flush ends the batch for every network that got something.
func (r *reader) flush() {
	for _, slot := range r.slots {
		r.dirty[slot] = false
		if a := r.hub.networks[slot].Load(); a != nil && a.network != nil {
			a.receivers[r.socket].Flush()
		}
	}
	r.slots = r.slots[:0]
}
