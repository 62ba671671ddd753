package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"meshnet/meshd/session"
)

const (
	// MaxProtocol is the length in bytes of the longest protocol name.
	MaxProtocol = 32
	// acceptQueue is how many streams wait for Accept; more are reset as busy.
	acceptQueue = 64
	// headerTimeout is how long the name of the protocol may take to arrive.
	headerTimeout = 10 * time.Second
)

var errProtocolName = errors.New("stream: a protocol name has 1 to 32 bytes")

// appendProtocol appends the first bytes of a stream: the length of the protocol's name (1 byte) and the name.
func appendProtocol(dst []byte, proto string) ([]byte, error) {
	if proto == "" || len(proto) > MaxProtocol {
		return nil, errProtocolName
	}
	return append(append(dst, byte(len(proto))), proto...), nil
}

// readProtocol reads what appendProtocol appends, and not a byte more.
func readProtocol(r io.Reader) (string, error) {
	var b [MaxProtocol]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", err
	}
	n := int(b[0])
	if n == 0 || n > MaxProtocol {
		return "", errProtocolName
	}
	if _, err := io.ReadFull(r, b[:n]); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// Listener hands out the streams that peers open to one protocol. It implements net.Listener.
type Listener struct {
	transport *Transport
	proto     string
	queue     chan *Conn
	closing   sync.Once
	closed    chan struct{}
}

// Listen starts accepting streams for proto. A name that is malformed or taken is a bug of the caller and panics.
func (t *Transport) Listen(proto string) *Listener {
	if _, err := appendProtocol(nil, proto); err != nil {
		panic(fmt.Sprintf("listening for protocol %q: %v", proto, err))
	}
	l := &Listener{transport: t, proto: proto, queue: make(chan *Conn, acceptQueue), closed: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		l.shut()
		return l
	}
	if t.listeners[proto] != nil {
		panic(fmt.Sprintf("listening for protocol %q: somebody does already", proto))
	}
	t.listeners[proto] = l
	return l
}

// Accept implements net.Listener; the connections are *Conn. It returns net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Streams that wait for Accept are reset.
func (l *Listener) Close() error {
	l.transport.mu.Lock()
	if l.transport.listeners[l.proto] == l {
		delete(l.transport.listeners, l.proto)
	}
	l.transport.mu.Unlock()
	l.shut()
	return nil
}

// Addr returns this node's Addr.
func (l *Listener) Addr() net.Addr { return Addr{l.transport.cfg.Self} }

// shut ends Accept and resets who waits for it.
func (l *Listener) shut() {
	l.closing.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.queue:
			reset(c.stream, codeProtocol)
		default:
			return
		}
	}
}

// serve routes the streams that peer opens on conn until the connection ends.
func (t *Transport) serve(peer session.NodeID, conn *quic.Conn) {
	for {
		s, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		t.wg.Go(func() { t.route(peer, s) })
	}
}

// route hands a new stream to the listener of its protocol.
func (t *Transport) route(peer session.NodeID, s *quic.Stream) {
	_ = s.SetReadDeadline(time.Now().Add(headerTimeout)) // fails only after the end, and then so does Read
	proto, err := readProtocol(s)
	if err != nil {
		t.counters.BadProtocol.Add(1)
		reset(s, codeProtocol)
		return
	}
	_ = s.SetReadDeadline(time.Time{})
	t.mu.Lock()
	defer t.mu.Unlock() // shut, called after the listener was taken out, sees what is queued here
	l := t.listeners[proto]
	if l == nil {
		t.counters.BadProtocol.Add(1)
		reset(s, codeProtocol)
		return
	}
	select {
	case l.queue <- &Conn{stream: s, local: Addr{t.cfg.Self}, remote: Addr{peer}}:
	default:
		t.counters.Busy.Add(1)
		reset(s, codeBusy)
	}
}
