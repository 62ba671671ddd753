package nameserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"meshnet/meshd/zone"
)

const (
	maxConns   = 128 // of all clients on one socket
	maxClient  = 16  // of one client
	idle       = 10 * time.Second
	writeLimit = 5 * time.Second
)

// conns are the connections of one socket.
type conns struct {
	mu   sync.Mutex
	open map[net.Conn]netip.Addr
}

// add takes a connection in, if there is room for it.
func (c *conns) add(conn net.Conn, client netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, other := range c.open {
		if other == client {
			n++
		}
	}
	if n >= maxClient || len(c.open) >= maxConns {
		return false
	}
	c.open[conn] = client
	return true
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// close ends all of them.
func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close() // ends its reader
	}
}

// serveTCP answers what comes by connections to l until that is closed.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener) error {
	open := &conns{open: make(map[net.Conn]netip.Addr)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer open.close()
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting questions: %w", err)
		}
		client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if !s.cfg.Client(client) {
			s.counters.add(stranger)
			_ = conn.Close()
			continue
		}
		if !open.add(conn, client) {
			s.counters.add(overloaded)
			_ = conn.Close()
			continue
		}
		wg.Go(func() {
			defer conn.Close()
			defer open.remove(conn)
			_ = s.serveConn(ctx, conn, client) // whose questions are the client's business
		})
	}
}

// serveConn answers the questions of one connection, each behind its length (RFC 1035, section 4.2.2).
func (s *Server) serveConn(ctx context.Context, conn *net.TCPConn, client netip.Addr) error {
	var length [2]byte
	for {
		if err := conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		request := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, request); err != nil {
			return err
		}
		if !s.allow(client) {
			return nil
		}
		reply := s.answer(ctx, request, client)
		if reply == nil {
			return nil
		}
		if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		if _, err := conn.Write(framed(reply)); err != nil {
			return err
		}
	}
}

// answer returns the reply to a question that came by TCP; nil if it gets none.
func (s *Server) answer(ctx context.Context, request []byte, client netip.Addr) []byte {
	r := s.respond(request, true)
	if r.Outcome != zone.Forward {
		return r.Reply
	}
	if !s.begin(client) {
		return zone.Failure(r.Query)
	}
	defer s.end(client)
	return s.ask(ctx, r, true)
}

// framed returns a message as TCP carries it.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message))), message...)
}
