package stream

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"meshnet/meshd/session"
)

// Application error codes of connections and streams (docs/protocol.md, "Streams").
const (
	codeDone     = 0 // closed by its owner
	codeProtocol = 1 // nobody listens for this protocol, or its name is malformed
	codeBusy     = 2 // too many connections or streams wait
)

// ErrProtocol says that the peer knows no protocol of that name.
var ErrProtocol = errors.New("stream: the peer does not speak this protocol")

// ErrBusy says that the peer took no more streams for this protocol.
var ErrBusy = errors.New("stream: the peer accepts no more streams")

// Conn is one stream as a net.Conn.
type Conn struct {
	stream        *quic.Stream
	local, remote Addr

	closed  atomic.Bool
	writing sync.Mutex // held during Write: quic-go's Close must not meet it
}

// Peer returns the node at the other end.
func (c *Conn) Peer() session.NodeID { return c.remote.ID }

// Read implements net.Conn. The error wraps os.ErrDeadlineExceeded, net.ErrClosed, ErrProtocol or ErrBusy where these
// are the cause.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	return n, c.explain(err)
}

// Write implements net.Conn. It returns when QUIC has taken over all of b.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.stream.Write(b)
	return n, c.explain(err)
}

// CloseWrite tells the peer that nothing follows: it reads io.EOF after the last byte.
func (c *Conn) CloseWrite() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.explain(c.stream.Close())
}

// Close implements net.Conn. What was written is still delivered; a Write that is under way is cut off.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.stream.CancelRead(codeDone)
	if !c.writing.TryLock() {
		c.stream.CancelWrite(codeDone)
		return nil
	}
	defer c.writing.Unlock()
	return c.stream.Close()
}

// reset gives the stream up with an error code.
func reset(s *quic.Stream, code quic.StreamErrorCode) {
	s.CancelRead(code)
	s.CancelWrite(code)
}

// explain puts this package's words to the codes of QUIC.
func (c *Conn) explain(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if c.closed.Load() {
		return net.ErrClosed
	}
	if se, ok := errors.AsType[*quic.StreamError](err); ok && se.Remote {
		switch se.ErrorCode {
		case codeProtocol:
			return ErrProtocol
		case codeBusy:
			return ErrBusy
		}
	}
	return err
}

// LocalAddr returns this node's Addr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's Addr, which its session has proven.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }
