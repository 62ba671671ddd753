package nameserver

import (
	"net/netip"
	"sync"
	"time"
)

const (
	rate       = 500  // questions of one client a second
	burst      = 1000 // that it may ask at once after a while
	maxClients = 4096 // that are counted at a time
	maxPending = 64   // questions of one client that wait for others
)

// limiter bounds what one client may ask: a bucket of tokens each.
type limiter struct {
	mu      sync.Mutex
	clients map[netip.Addr]*bucket
	swept   time.Time // when clients were last looked through
}

type bucket struct {
	tokens  float64
	at      time.Time // when tokens was right
	pending int
}

func newLimiter() *limiter { return &limiter{clients: make(map[netip.Addr]*bucket)} }

// allow reports whether a client may ask one more question.
func (l *limiter) allow(now time.Time, client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.clients[client]
	if b == nil {
		if len(l.clients) >= maxClients && now.Sub(l.swept) >= time.Second { // anybody can make up clients
			l.forget(now)
		}
		if len(l.clients) >= maxClients {
			return false
		}
		b = &bucket{tokens: burst, at: now}
		l.clients[client] = b
	}
	b.fill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// fill adds the tokens of the time that has passed.
func (b *bucket) fill(now time.Time) {
	b.tokens = min(burst, b.tokens+rate*now.Sub(b.at).Seconds())
	b.at = now
}

// forget forgets the clients of whom nothing has to be known.
func (l *limiter) forget(now time.Time) {
	l.swept = now
	for client, b := range l.clients {
		if b.fill(now); b.tokens >= burst && b.pending == 0 {
			delete(l.clients, client)
		}
	}
}

// begin counts a question that waits for others, if the client may have one more. It was allowed before.
func (l *limiter) begin(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.clients[client]
	if b == nil || b.pending >= maxPending {
		return false
	}
	b.pending++
	return true
}

func (l *limiter) end(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[client].pending-- // forget leaves who has any
}
