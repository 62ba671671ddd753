package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"meshnet/meshd/zone"
)

// Config says whom a server answers, and what.
type Config struct {
	Zone      func() *zone.Zone     // as it is now; called for each question
	Client    func(netip.Addr) bool // who may ask
	Own       func(netip.Addr) bool // addresses of servers like this, which are never asked
	Resolvers string                // the file that names those to ask: /etc/resolv.conf
	Log       *slog.Logger
}

// Server answers on some sockets. Make it with New.
type Server struct {
	cfg      Config
	forward  *forwarder
	limit    *limiter
	counters counters
	answers  chan struct{} // a place for each question that waits for others
}

// maxWaiting bounds the questions of all clients that wait for others.
const maxWaiting = 512

// New returns a server that does nothing yet.
func New(cfg Config) *Server {
	return &Server{
		cfg: cfg, forward: newForwarder(newResolvers(cfg.Resolvers, cfg.Own)), limit: newLimiter(),
		answers: make(chan struct{}, maxWaiting),
	}
}

// Resolvers returns the servers that are asked what the zone does not know.
func (s *Server) Resolvers() []netip.AddrPort { return s.forward.resolvers.list(time.Now()) }

// Counters returns how many questions came to what.
func (s *Server) Counters() map[string]uint64 { return s.counters.snapshot() }

// Serve answers on the sockets, which it closes, until ctx ends or one of them fails.
func (s *Server) Serve(ctx context.Context, udp []*net.UDPConn, tcp []*net.TCPListener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(udp)+len(tcp))
	for i, conn := range udp {
		wg.Go(func() {
			defer cancel()
			errs[i] = s.serveUDP(ctx, conn)
		})
	}
	for i, l := range tcp {
		wg.Go(func() {
			defer cancel()
			errs[len(udp)+i] = s.serveTCP(ctx, l)
		})
	}
	<-ctx.Done()
	for _, conn := range udp {
		_ = conn.Close() // ends its reader
	}
	for _, l := range tcp {
		_ = l.Close()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// maxQuery is the length of the longest question that is read over UDP.
const maxQuery = 4096

// serveUDP answers what comes by conn until it is closed.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	b := make([]byte, maxQuery)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading questions: %w", err)
		}
		client := from.Addr().Unmap()
		if !s.allow(client) {
			continue
		}
		r := s.respond(b[:n], false)
		if r.Outcome != zone.Forward {
			if r.Reply != nil {
				_, _ = conn.WriteToUDPAddrPort(r.Reply, from) // who has gone asks no more
			}
			continue
		}
		if !s.begin(client) {
			_, _ = conn.WriteToUDPAddrPort(zone.Failure(r.Query), from)
			continue
		}
		wg.Go(func() {
			defer s.end(client)
			_, _ = conn.WriteToUDPAddrPort(s.ask(ctx, r, false), from)
		})
	}
}

// allow reports whether a question of a client is looked at.
func (s *Server) allow(client netip.Addr) bool {
	if !s.cfg.Client(client) {
		s.counters.add(stranger)
		return false
	}
	if !s.limit.allow(time.Now(), client) {
		s.counters.add(limited)
		return false
	}
	return true
}

// respond answers a question as far as the zone can.
func (s *Server) respond(request []byte, tcp bool) zone.Response {
	r := s.cfg.Zone().Respond(request, tcp)
	s.counters.add(counterOf[r.Outcome])
	return r
}

// begin takes a place for a question of a client that waits for others; there may be none.
func (s *Server) begin(client netip.Addr) bool {
	select {
	case s.answers <- struct{}{}:
	default:
		s.counters.add(overloaded)
		return false
	}
	if !s.limit.begin(client) {
		<-s.answers
		s.counters.add(overloaded)
		return false
	}
	return true
}

func (s *Server) end(client netip.Addr) {
	s.limit.end(client)
	<-s.answers
}

// ask returns the answer of others to what the zone does not know.
func (s *Server) ask(ctx context.Context, r zone.Response, tcp bool) []byte {
	reply, err := s.forward.exchange(ctx, r.Query)
	if err != nil {
		s.counters.add(failed)
		return zone.Failure(r.Query)
	}
	return fit(reply, r.Query, zone.Limit(r.Query, tcp))
}
