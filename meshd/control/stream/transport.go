package stream

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

const (
	// IdleTimeout is how long a connection outlives its last packet. It is also how long a peer's silent death holds
	// up its streams, so it is half of QUIC's usual 30 s.
	IdleTimeout = 15 * time.Second
	// handshakeTimeout is how long a peer may be silent while a connection is being made (quic-go allows twice that
	// for all of it): five round trips of a bad path with lost packets.
	handshakeTimeout = 5 * time.Second
	// maxConnections bounds the connections that one peer may hold. Two are made when both ends dial at once, and a
	// restart leaves its old ones behind for IdleTimeout.
	maxConnections = 8
	// maxStreams bounds the streams that a peer may have open on a connection.
	maxStreams = 64

	// Flow control windows: one stream may use a path of 10 MB/s and 100 ms, a peer may make us hold 2 MB.
	streamWindow     = 256 << 10
	maxStreamWindow  = 1 << 20
	connectionWindow = 512 << 10
	maxConnWindow    = 2 << 20
)

// Config is what a Transport needs. All fields are required.
type Config struct {
	Self session.NodeID
	// Send sends one packet of at most wire.MaxPayload bytes to a peer, or loses it. It must not block, and must not
	// keep packet.
	Send func(to session.NodeID, packet []byte)
	Log  *slog.Logger
}

// Transport makes and accepts streams. All methods are safe for concurrent use.
type Transport struct {
	cfg      Config
	counters Counters
	conn     *packetConn
	quic     *quic.Transport
	listener *quic.Listener
	tls      *tls.Config
	wg       sync.WaitGroup // acceptor, dials, connections and streams being routed

	mu        sync.Mutex
	closed    bool
	links     map[session.NodeID][]*quic.Conn // the last one is used for new streams
	dials     map[session.NodeID]*dial
	listeners map[string]*Listener
}

// dial is one attempt to connect, which any number of callers may wait for.
type dial struct {
	done chan struct{} // closed when conn and err are set
	conn *quic.Conn
	err  error
}

// New returns a Transport that accepts connections until Close.
func New(cfg Config) (*Transport, error) {
	t := &Transport{
		cfg:       cfg,
		links:     make(map[session.NodeID][]*quic.Conn),
		dials:     make(map[session.NodeID]*dial),
		listeners: make(map[string]*Listener),
	}
	var err error
	if t.tls, err = tlsConfig(); err != nil {
		return nil, fmt.Errorf("making a certificate for streams: %w", err)
	}
	t.conn = newPacketConn(cfg.Self, cfg.Send, &t.counters)
	key := quic.StatelessResetKey(sha256.Sum256(append([]byte("meshnet stateless reset"), cfg.Self[:]...)))
	t.quic = &quic.Transport{
		Conn:                             t.conn,
		StatelessResetKey:                &key,
		DisableVersionNegotiationPackets: true,
	}
	if t.listener, err = t.quic.Listen(t.tls, quicConfig()); err != nil {
		return nil, fmt.Errorf("listening for streams: %w", err)
	}
	t.wg.Go(t.accept)
	return t, nil
}

// quicConfig returns the QUIC configuration of both ends. Packets are exactly what a sealed datagram can carry
// on every path; QUIC's own path MTU discovery would look for room that the session does not have.
func quicConfig() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 IdleTimeout,
		InitialPacketSize:              wire.MaxPayload,
		DisablePathMTUDiscovery:        true,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: connectionWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
	}
}

// Handle takes in one QUIC packet of from, which it copies. It does not block: when the queue is full the packet is
// dropped and counted.
func (t *Transport) Handle(from session.NodeID, packet []byte) { t.conn.deliver(from, packet) }

// Counters returns what was dropped and done, by name.
func (t *Transport) Counters() map[string]uint64 { return t.counters.snapshot() }

// Dial opens a stream to protocol proto at peer, over the connection that there is or a new one. It returns when the
// request is on its way: whether the peer knows proto shows at the first Read (ErrProtocol).
func (t *Transport) Dial(ctx context.Context, peer session.NodeID, proto string) (*Conn, error) {
	conn, err := t.open(ctx, peer, proto)
	if err != nil {
		return nil, fmt.Errorf("dialing %s at node %s: %w", proto, peer.Short(), err)
	}
	return conn, nil
}

func (t *Transport) open(ctx context.Context, peer session.NodeID, proto string) (*Conn, error) {
	header, err := appendProtocol(nil, proto)
	if err != nil {
		return nil, err
	}
	link, err := t.link(ctx, peer)
	if err != nil {
		return nil, err
	}
	s, err := link.OpenStreamSync(ctx)
	if err != nil {
		if ctx.Err() != nil || link.Context().Err() == nil {
			return nil, err
		}
		// The connection ended while it was being used: once more with a new one.
		if link, err = t.link(ctx, peer); err != nil {
			return nil, err
		}
		if s, err = link.OpenStreamSync(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := s.Write(header); err != nil {
		return nil, err
	}
	return &Conn{stream: s, local: Addr{t.cfg.Self}, remote: Addr{peer}}, nil
}

// link returns a live connection with peer, made if need be.
func (t *Transport) link(ctx context.Context, peer session.NodeID) (*quic.Conn, error) {
	d, conn, err := t.linkOrDial(peer)
	if d == nil {
		return conn, err
	}
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// linkOrDial returns a live connection with peer, or the attempt to make one.
func (t *Transport) linkOrDial(peer session.NodeID) (*dial, *quic.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, net.ErrClosed
	}
	for i := len(t.links[peer]) - 1; i >= 0; i-- {
		if conn := t.links[peer][i]; conn.Context().Err() == nil {
			return nil, conn, nil
		}
	}
	if d := t.dials[peer]; d != nil {
		return d, nil, nil
	}
	d := &dial{done: make(chan struct{})}
	t.dials[peer] = d
	t.counters.Dials.Add(1)
	t.wg.Go(func() {
		// Without a deadline of a caller's: others may be waiting too. Close ends it.
		d.conn, d.err = t.quic.Dial(context.Background(), Addr{peer}, t.tls, quicConfig())
		t.dialed(peer, d)
		close(d.done)
	})
	return d, nil, nil
}

// dialed ends an attempt and starts serving the new connection.
func (t *Transport) dialed(peer session.NodeID, d *dial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dials[peer] == d {
		delete(t.dials, peer)
	}
	if d.err != nil {
		t.counters.DialFailures.Add(1)
		return
	}
	if t.closed {
		d.conn, d.err = nil, errors.Join(net.ErrClosed, d.conn.CloseWithError(codeDone, ""))
		return
	}
	t.addLocked(peer, d.conn)
}

// accept takes in connections until the listener is closed.
func (t *Transport) accept() {
	for {
		conn, err := t.listener.Accept(context.Background())
		if err != nil {
			return
		}
		peer, ok := conn.RemoteAddr().(Addr)
		if !ok || !t.add(peer.ID, conn) {
			t.counters.Refused.Add(1)
			_ = conn.CloseWithError(codeBusy, "") // the peer has gone, at worst
		}
	}
}

// add starts serving an accepted connection, unless the peer has too many.
func (t *Transport) add(peer session.NodeID, conn *quic.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.links[peer]) >= maxConnections {
		return false
	}
	t.addLocked(peer, conn)
	return true
}

func (t *Transport) addLocked(peer session.NodeID, conn *quic.Conn) {
	t.links[peer] = append(t.links[peer], conn)
	t.wg.Go(func() {
		t.serve(peer, conn)
		t.remove(peer, conn)
	})
}

// remove forgets a connection that has ended.
func (t *Transport) remove(peer session.NodeID, conn *quic.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return // Close has taken all
	}
	links := t.links[peer]
	for i := range links {
		if links[i] == conn {
			links = append(links[:i:i], links[i+1:]...)
			break
		}
	}
	t.links[peer] = links
	if len(links) == 0 {
		delete(t.links, peer)
	}
}

// Disconnect closes all connections with peer at once, because it has lost its ends of them. Streams fail with an
// error; the next Dial makes a new connection.
func (t *Transport) Disconnect(peer session.NodeID) {
	t.mu.Lock()
	links := t.links[peer]
	delete(t.links, peer)
	delete(t.dials, peer) // a handshake with the old instance fails by itself; nobody new waits for it
	t.mu.Unlock()
	for _, conn := range links {
		_ = conn.CloseWithError(codeDone, "") // nobody is left to tell
	}
}

// Close ends all connections, tells the peers, and waits until every goroutine of the Transport has ended.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	links, listeners := t.links, t.listeners
	t.links, t.listeners = nil, nil
	t.mu.Unlock()

	for _, l := range listeners {
		l.shut()
	}
	for _, conns := range links {
		for _, conn := range conns {
			_ = conn.CloseWithError(codeDone, "") // a peer that does not hear it finds out after IdleTimeout
		}
	}
	err := errors.Join(t.listener.Close(), t.quic.Close(), t.conn.Close())
	t.wg.Wait()
	return err
}
