package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// How long a caller may take, and how long Serve waits for calls under way.
const (
	headerTimeout   = 5 * time.Second  // to send a request's header
	bodyTimeout     = 10 * time.Second // to send its body
	writeTimeout    = 2 * time.Minute  // from the header until the answer has been read
	idleTimeout     = time.Minute      // between two requests
	shutdownTimeout = 5 * time.Second
	maxHeader       = 16 << 10 // bytes
)

// Server serves the API on a Unix socket.
type Server struct {
	handler *handler
	http    *http.Server
	log     *slog.Logger
}

// NewServer returns a server of backend.
func NewServer(backend Backend, log *slog.Logger) *Server {
	h := newHandler(backend, log)
	return &Server{
		handler: h,
		log:     log,
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: headerTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ConnContext:       withPeer,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// Handle answers what comes in for pattern with h, for administrators alone. It is for what is not part of the API.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.handler.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := administrator(r); err != nil {
			s.handler.answer(w, r, nil, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Serve answers what comes in through l, see Listen, until ctx ends; then it closes l, lets the calls under way end, for
// five seconds, and returns nil. It can be called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving %v: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(end)
	if err != nil {
		s.log.Warn("api calls cut off at shutdown", "err", err)
		err = s.http.Close()
	}
	<-failed
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing %v: %w", l.Addr(), err)
	}
	return nil
}
