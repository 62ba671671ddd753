package raftstore

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// fakeNet carries streams between nodes in memory. Bytes take latency; what crosses a partition waits until it is healed, and
// a Dial across one fails when its context ends.
type fakeNet struct {
	mu      sync.Mutex
	rand    *rand.Rand
	min     time.Duration // latency, each way
	max     time.Duration
	side    map[[32]byte]int // of the partition; nodes without one are on side 0
	changed chan struct{}    // closed at the next change of side
	nodes   map[[32]byte]*fakeNode
}

func newFakeNet(seed uint64) *fakeNet {
	return &fakeNet{rand: rand.New(rand.NewPCG(seed, 0)), min: 2 * time.Millisecond, max: 20 * time.Millisecond,
		side: make(map[[32]byte]int), changed: make(chan struct{}), nodes: make(map[[32]byte]*fakeNode)}
}

// partition puts nodes on a side of their own; side 0 heals.
func (n *fakeNet) partition(side int, nodes ...[32]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range nodes {
		n.side[id] = side
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// reach reports whether a reaches b, and a channel that is closed when that may have changed.
func (n *fakeNet) reach(a, b [32]byte) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.side[a] == n.side[b], n.changed
}

func (n *fakeNet) latency() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.max == 0 {
		return 0
	}
	return n.min + time.Duration(n.rand.Int64N(int64(n.max-n.min)+1))
}

// fakeNode is one node's Streams.
type fakeNode struct {
	net *fakeNet
	id  [32]byte

	mu        sync.Mutex
	listeners map[string]*fakeListener
}

func (n *fakeNet) node(id [32]byte) *fakeNode {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[id] = &fakeNode{net: n, id: id, listeners: make(map[string]*fakeListener)}
	return n.nodes[id]
}

func (f *fakeNode) Listen(proto string) net.Listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &fakeListener{node: f, queue: make(chan net.Conn, 64), closed: make(chan struct{})}
	f.listeners[proto] = l
	return l
}

var errNoProtocol = errors.New("nobody speaks this protocol")

func (f *fakeNode) Dial(ctx context.Context, id [32]byte, proto string) (net.Conn, error) {
	for {
		ok, changed := f.net.reach(f.id, id)
		if ok {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.net.mu.Lock()
	peer := f.net.nodes[id]
	f.net.mu.Unlock()
	if peer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	peer.mu.Lock()
	l := peer.listeners[proto]
	peer.mu.Unlock()
	if l == nil {
		return nil, errNoProtocol
	}
	there, back := newPipe(f.net, f.id, id), newPipe(f.net, id, f.id)
	select {
	case l.queue <- &fakeConn{in: there, out: back, peer: f.id}:
		return &fakeConn{in: back, out: there, peer: id}, nil
	case <-l.closed:
		return nil, errNoProtocol
	}
}

type fakeListener struct {
	node   *fakeNode
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return fakeAddr(l.node.id) }

type fakeAddr [32]byte

func (fakeAddr) Network() string  { return "fake" }
func (a fakeAddr) String() string { return hex.EncodeToString(a[:]) }

// pipe is one direction of a stream.
type pipe struct {
	net      *fakeNet
	from, to [32]byte

	mu       sync.Mutex
	segments []segment
	ended    bool          // by the writer: EOF after the segments
	dropped  bool          // by the reader
	deadline time.Time     // of Read
	last     time.Time     // arrival of the last segment: they do not overtake each other
	wake     chan struct{} // closed at the next change
}

type segment struct {
	at   time.Time
	data []byte
}

func newPipe(n *fakeNet, from, to [32]byte) *pipe {
	return &pipe{net: n, from: from, to: to, wake: make(chan struct{})}
}

// change runs f and wakes who waits.
func (p *pipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *pipe) write(b []byte) (n int, err error) {
	latency := p.net.latency()
	p.change(func() {
		if p.ended || p.dropped {
			err = net.ErrClosed
			return
		}
		at := time.Now().Add(latency)
		if at.Before(p.last) {
			at = p.last
		}
		p.last = at
		p.segments = append(p.segments, segment{at, append([]byte(nil), b...)})
		n = len(b)
	})
	return n, err
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		reachable, moved := p.net.reach(p.from, p.to)
		p.mu.Lock()
		now := time.Now()
		var until time.Time
		switch {
		case p.dropped:
			p.mu.Unlock()
			return 0, net.ErrClosed
		case !p.deadline.IsZero() && !now.Before(p.deadline):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case reachable && len(p.segments) > 0 && !now.Before(p.segments[0].at):
			n := copy(b, p.segments[0].data)
			if p.segments[0].data = p.segments[0].data[n:]; len(p.segments[0].data) == 0 {
				p.segments = p.segments[1:]
			}
			p.mu.Unlock()
			return n, nil
		case reachable && len(p.segments) > 0:
			until = p.segments[0].at
		case reachable && p.ended:
			p.mu.Unlock()
			return 0, io.EOF
		}
		if !p.deadline.IsZero() && (until.IsZero() || p.deadline.Before(until)) {
			until = p.deadline
		}
		wake := p.wake
		p.mu.Unlock()
		var timer <-chan time.Time
		if !until.IsZero() {
			timer = time.After(time.Until(until))
		}
		select {
		case <-wake:
		case <-moved:
		case <-timer:
		}
	}
}

// fakeConn is one end of a stream.
type fakeConn struct {
	in, out *pipe
	peer    [32]byte
}

func (c *fakeConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *fakeConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *fakeConn) Close() error {
	c.in.change(func() { c.in.dropped = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

func (c *fakeConn) LocalAddr() net.Addr                { return fakeAddr(c.in.to) }
func (c *fakeConn) RemoteAddr() net.Addr               { return fakeAddr(c.peer) }
func (c *fakeConn) SetWriteDeadline(t time.Time) error { return nil }
func (c *fakeConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}
