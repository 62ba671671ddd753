package raftstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Streams opens and accepts streams between the nodes of the network. The peer of a stream is proven; RemoteAddr of what a
// listener accepts has the peer's node ID, 64 hex digits, as its String.
type Streams interface {
	// Dial opens a stream to proto at node id. Whether id speaks proto may show only at the first Read.
	Dial(ctx context.Context, id [32]byte, proto string) (net.Conn, error)
	// Listen accepts the streams that other nodes open to proto.
	Listen(proto string) net.Listener
}

// peerOf returns the node at the other end of an accepted stream.
func peerOf(c net.Conn) ([32]byte, error) {
	var id [32]byte
	text := c.RemoteAddr().String()
	if n, err := hex.Decode(id[:], []byte(text)); err != nil || n != len(id) || len(text) != 2*len(id) {
		return id, fmt.Errorf("stream of %q, which is no node ID", text)
	}
	return id, nil
}

const (
	preambleLen     = 1 + 16 + 8 + 8 + 8 // bytes
	preambleTimeout = 5 * time.Second
	acceptQueue     = 16 // raft streams that wait for raft to accept them
)

// preamble begins a raft stream: which log it is about. Who has another log closes the stream.
type preamble struct {
	registry    [16]byte
	generation  uint64
	lineage     uint64
	incarnation uint64 // of the accepting side
}

// append appends version (1), registry ID (16), generation (8), lineage (8), incarnation (8).
func (p preamble) append(dst []byte) []byte {
	dst = append(dst, version)
	dst = append(dst, p.registry[:]...)
	dst = binary.BigEndian.AppendUint64(dst, p.generation)
	dst = binary.BigEndian.AppendUint64(dst, p.lineage)
	return binary.BigEndian.AppendUint64(dst, p.incarnation)
}

func readPreamble(r io.Reader) (preamble, error) {
	var b [preambleLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return preamble{}, err
	}
	if b[0] != version {
		return preamble{}, fmt.Errorf("%w: version %d, want %d", errMessage, b[0], version)
	}
	return preamble{[16]byte(b[1:17]), binary.BigEndian.Uint64(b[17:]), binary.BigEndian.Uint64(b[25:]),
		binary.BigEndian.Uint64(b[33:])}, nil
}

// layer is the raft.StreamLayer of one server, from its start to its end.
type layer struct {
	streams Streams
	self    serverID
	log     preamble // of the streams to this server

	queue  chan net.Conn
	ctx    context.Context // ends with the layer
	cancel context.CancelFunc

	mu    sync.Mutex
	conns map[*layerConn]struct{} // open ones, in both directions
	ended bool
}

func newLayer(streams Streams, registry identity, self serverID) *layer {
	l := &layer{
		streams: streams,
		self:    self,
		log:     preamble{registry.ID, registry.Generation, registry.Lineage, self.incarnation},
		queue:   make(chan net.Conn, acceptQueue),
		conns:   make(map[*layerConn]struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// layerConn is a stream that ends with its layer.
type layerConn struct {
	net.Conn
	layer *layer
}

func (c *layerConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// track makes c end with the layer, which may be now.
func (l *layer) track(c net.Conn) (net.Conn, error) {
	t := &layerConn{c, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, net.ErrClosed
	}
	l.conns[t] = struct{}{}
	return t, nil
}

// deliver takes over a stream whose preamble was p, or closes it.
func (l *layer) deliver(p preamble, c net.Conn) {
	if p == l.log {
		if t, err := l.track(c); err == nil {
			select {
			case l.queue <- t:
				return
			default:
				c = t
			}
		}
	}
	c.Close()
}

// Accept implements net.Listener for raft.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. address is what serverID.String returns.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	server, err := parseServerID(string(address))
	if err != nil {
		return nil, err
	}
	ctx := l.ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	t, err := l.open(ctx, server)
	if err != nil {
		return nil, err
	}
	return &dialed{layer: l, server: server, conn: t, used: time.Now()}, nil
}

// open opens a stream to the log of server.
func (l *layer) open(ctx context.Context, server serverID) (net.Conn, error) {
	c, err := l.streams.Dial(ctx, server.node, RaftProtocol)
	if err != nil {
		return nil, err
	}
	t, err := l.track(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	p := l.log
	p.incarnation = server.incarnation
	if err = t.SetWriteDeadline(time.Now().Add(preambleTimeout)); err == nil {
		_, err = t.Write(p.append(nil))
	}
	if err == nil {
		err = t.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("opening a raft stream to %s: %w", short(server.node), err)
	}
	return t, nil
}

// Close ends all streams of the layer.
func (l *layer) Close() error {
	l.cancel()
	l.mu.Lock()
	l.ended = true
	open := make([]*layerConn, 0, len(l.conns))
	for c := range l.conns {
		open = append(open, c)
	}
	l.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return nil
}

// Addr implements net.Listener for raft, which makes it this server's address.
func (l *layer) Addr() net.Addr { return layerAddr(l.self.String()) }

type layerAddr string

func (layerAddr) Network() string  { return "meshnet" }
func (a layerAddr) String() string { return string(a) }
