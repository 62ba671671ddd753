package raftstore

import (
	"context"
	"net"
	"sync"
	"time"
)

// maxIdle is how long a stream may be silent before its connection may have ended: that of QUIC ends after 15 s.
const maxIdle = 10 * time.Second

// dialed is a stream that this node opened. raft keeps it for its next message to the server, which may be the request for a
// vote an hour later; then it is opened anew. Between two messages nothing is under way that could be lost.
type dialed struct {
	layer  *layer
	server serverID

	mu       sync.Mutex
	conn     net.Conn
	used     time.Time // last Read or Write that succeeded
	deadline time.Time
	closed   bool
}

// current returns the stream as it is now.
func (d *dialed) current() net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

// done notes that the stream works.
func (d *dialed) done(err error) {
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = time.Now()
}

// Read implements net.Conn.
func (d *dialed) Read(b []byte) (int, error) {
	n, err := d.current().Read(b)
	d.done(err)
	return n, err
}

// Write implements net.Conn.
func (d *dialed) Write(b []byte) (int, error) {
	c, err := d.fresh()
	if err != nil {
		return 0, err
	}
	n, err := c.Write(b)
	d.done(err)
	return n, err
}

// fresh returns a stream whose connection has not ended for being idle.
func (d *dialed) fresh() (net.Conn, error) {
	d.mu.Lock()
	conn, idle, deadline := d.conn, time.Since(d.used), d.deadline
	d.mu.Unlock()
	if idle < maxIdle {
		return conn, nil
	}
	conn.Close()
	ctx := d.layer.ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	conn, err := d.layer.open(ctx, d.server)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	d.conn, d.used = conn, time.Now()
	return conn, conn.SetDeadline(d.deadline)
}

// Close implements net.Conn.
func (d *dialed) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.conn.Close()
}

// LocalAddr implements net.Conn.
func (d *dialed) LocalAddr() net.Addr { return d.current().LocalAddr() }

// RemoteAddr implements net.Conn.
func (d *dialed) RemoteAddr() net.Addr { return d.current().RemoteAddr() }

// SetDeadline implements net.Conn.
func (d *dialed) SetDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = t
	return d.conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (d *dialed) SetReadDeadline(t time.Time) error { return d.current().SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (d *dialed) SetWriteDeadline(t time.Time) error { return d.current().SetWriteDeadline(t) }
