package stream

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// receiveQueue is how many packets wait for QUIC at most: 600 KB, a window of 2 MB at its usual drain rate. What does
// not fit is lost, as it would be in a socket's buffer, and repeated by QUIC.
const receiveQueue = 512

// Addr is a node as the address of a connection. It implements net.Addr.
type Addr struct{ ID session.NodeID }

// Network returns "meshnet".
func (Addr) Network() string { return "meshnet" }

// String returns the node ID in hex.
func (a Addr) String() string { return a.ID.String() }

// packet is one QUIC packet of a peer. The receiver owns data.
type packet struct {
	from session.NodeID
	data []byte
}

// packetConn is the net.PacketConn under quic-go. Safe for concurrent use.
type packetConn struct {
	self     session.NodeID
	send     func(to session.NodeID, packet []byte)
	counters *Counters

	in       chan packet
	deadline readDeadline
	closing  sync.Once
	closed   chan struct{}
}

func newPacketConn(self session.NodeID, send func(session.NodeID, []byte), counters *Counters) *packetConn {
	return &packetConn{
		self:     self,
		send:     send,
		counters: counters,
		in:       make(chan packet, receiveQueue),
		deadline: readDeadline{expired: make(chan struct{})},
		closed:   make(chan struct{}),
	}
}

// deliver queues a copy of data, or drops it when the queue is full.
func (c *packetConn) deliver(from session.NodeID, data []byte) {
	select {
	case c.in <- packet{from: from, data: bytes.Clone(data)}:
	default:
		c.counters.QueueFull.Add(1)
	}
}

// ReadFrom implements net.PacketConn. It blocks until there is a packet.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), Addr{p.from}, nil
	case <-c.deadline.wait():
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn. A packet that cannot be sent is lost silently, as the network would lose it: an
// error would make quic-go close the connection for what may last a second.
func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(Addr)
	if !ok || len(b) > wire.MaxPayload {
		c.counters.Oversized.Add(1)
		return len(b), nil
	}
	c.send(a.ID, b)
	return len(b), nil
}

// Close makes ReadFrom return net.ErrClosed.
func (c *packetConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *packetConn) LocalAddr() net.Addr { return Addr{c.self} }

// SetReadDeadline implements net.PacketConn; quic-go uses it to end its reader.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.deadline.set(t)
	return nil
}

// SetWriteDeadline does nothing: WriteTo never blocks.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.PacketConn.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadBuffer does nothing. quic-go complains on standard error about a conn that lacks it.
func (c *packetConn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing, like SetReadBuffer.
func (c *packetConn) SetWriteBuffer(int) error { return nil }

// readDeadline is a channel that is closed while the deadline lies in the past (as in net.Pipe).
type readDeadline struct {
	mu      sync.Mutex
	timer   *time.Timer // nil if there is no deadline ahead
	expired chan struct{}
}

// set moves the deadline to t; the zero time means none.
func (d *readDeadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.expired // the timer fired: let its function finish
	}
	d.timer = nil
	past := false
	select {
	case <-d.expired:
		past = true
	default:
	}
	switch ahead := time.Until(t); {
	case t.IsZero() || ahead > 0:
		if past {
			d.expired = make(chan struct{})
		}
		if !t.IsZero() {
			expired := d.expired
			d.timer = time.AfterFunc(ahead, func() { close(expired) })
		}
	case !past:
		close(d.expired)
	}
}

// wait returns the channel that is closed when the deadline has passed.
func (d *readDeadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}
