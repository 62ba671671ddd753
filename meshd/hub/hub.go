package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meshnet/meshd/wire"
)

// MaxNetworks is how many networks one hub serves: a slot is eight bits of the receiver index.
const MaxNetworks = 256

// ErrFull is returned by Add when every slot is taken.
var ErrFull = errors.New("a host can be in at most 256 networks")

// Socket is one UDP socket, or its twin in a simulation.
type Socket interface {
	// ReadBatch waits for a datagram, at most for wait, which is for ever if negative. What it returns is memory of the
	// socket, valid until the next ReadBatch; nothing if the time is up.
	ReadBatch(ds []wire.Datagram, wait time.Duration) (int, error)
	WriteBatch(ds []wire.Datagram) (int, error)
	// Probe sends d, which must not be fragmented. The error wraps wire.ErrTooLong if d cannot leave this host whole.
	Probe(d wire.Datagram) error
	LocalAddr() netip.AddrPort
	Close() error
}

// Network receives what is meant for one network.
type Network interface {
	// Handshake takes a handshake message. It is called from several goroutines, must not block, and does not keep
	// datagram.
	Handshake(from wire.Endpoint, datagram []byte)
	// NewReceiver returns the network's end of one socket; each is used by one goroutine.
	NewReceiver() Receiver
}

// Receiver takes the sealed messages that one socket received for one network.
type Receiver interface {
	// Sealed takes one message, which it may open in place and keep until Flush.
	Sealed(now time.Time, h wire.Header, d wire.Datagram)
	// Flush ends a batch: afterwards no buffer of it is used any more. It returns after how long it wants to be called again
	// even if nothing comes; 0 means not at all.
	Flush(now time.Time) (again time.Duration)
}

// Hub is the sockets and the networks behind them.
type Hub struct {
	log    *slog.Logger
	ports  [][]Socket // the lanes of each port: Endpoint.Socket n means one of ports[n-1]
	v4, v6 []Socket   // by which a datagram for an endpoint without a socket goes; nil if there is none
	all    []Socket

	networks [MaxNetworks]atomic.Pointer[attached]

	mu sync.Mutex // guards changes to networks

	counters Counters
}

// attached is a network and its receivers, one a socket.
type attached struct {
	network   Network
	receivers []Receiver
}

// New returns a hub over ports, each of which is the sockets of its lanes, at least one. It owns the sockets from now on: Run closes
// them. Endpoint.Socket n means ports[n-1].
func New(ports [][]Socket, log *slog.Logger) *Hub {
	h := &Hub{log: log, ports: ports, all: slices.Concat(ports...)}
	for _, lanes := range ports {
		if lanes[0].LocalAddr().Addr().Unmap().Is4() {
			if h.v4 == nil {
				h.v4 = lanes
			}
		} else if h.v6 == nil {
			h.v6 = lanes
		}
	}
	return h
}

// Add reserves a slot for a network. Nothing is delivered to it before Attach.
func (h *Hub) Add() (slot uint8, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.networks {
		if h.networks[i].CompareAndSwap(nil, &attached{}) {
			return uint8(i), nil
		}
	}
	return 0, ErrFull
}

// Attach starts the delivery of slot's datagrams to n.
func (h *Hub) Attach(slot uint8, n Network) {
	a := &attached{network: n}
	for range h.all {
		a.receivers = append(a.receivers, n.NewReceiver())
	}
	h.networks[slot].Store(a)
}

// Remove ends the delivery to the slot's network and frees the slot. A batch in flight may still reach the network.
func (h *Hub) Remove(slot uint8) { h.networks[slot].Store(nil) }

// Addrs returns the addresses the hub listens on, in the order of the ports.
func (h *Hub) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(h.ports))
	for i, lanes := range h.ports {
		addrs[i] = lanes[0].LocalAddr()
	}
	return addrs
}

// Lanes returns how many lanes there are to send by.
func (h *Hub) Lanes() int {
	most := 0
	for _, lanes := range h.ports {
		most = max(most, len(lanes))
	}
	return most
}

// Counters returns what the hub dropped, by reason.
func (h *Hub) Counters() map[string]uint64 { return h.counters.Snapshot() }

// Run reads from all sockets until ctx ends, then closes them, waits for its goroutines and returns the first error
// that was not the closing.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, s := range h.all {
			s.Close()
		}
	})
	defer stop()

	errs := make([]error, len(h.all))
	var wg sync.WaitGroup
	for i, s := range h.all {
		wg.Go(func() {
			defer cancel()
			if err := (&reader{hub: h, socket: i}).run(s); !errors.Is(err, net.ErrClosed) {
				errs[i] = fmt.Errorf("reading from %v: %w", s.LocalAddr(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// WriteBatch sends each datagram by its endpoint's socket of its lane, or by the first one of the address's family, and returns
// how many were handed to a socket. Datagrams for a family that has no socket are counted and dropped. Safe for
// concurrent use; keeps nothing.
func (h *Hub) WriteBatch(ds []wire.Datagram) (int, error) {
	sent := 0
	for len(ds) > 0 {
		socket := h.socketFor(ds[0])
		run := 1
		for run < len(ds) && h.socketFor(ds[run]) == socket {
			run++
		}
		if socket == nil {
			h.counters.NoSocket.Add(uint64(run))
		} else {
			n, err := socket.WriteBatch(ds[:run])
			sent += n
			if err != nil {
				return sent, err
			}
		}
		ds = ds[run:]
	}
	return sent, nil
}

// Probe sends d, which must not be fragmented, by its endpoint's socket of its lane. The error wraps wire.ErrTooLong if d is too long for this
// host's own device. Safe for concurrent use; keeps nothing.
func (h *Hub) Probe(d wire.Datagram) error {
	socket := h.socketFor(d)
	if socket == nil {
		h.counters.NoSocket.Add(1)
		return fmt.Errorf("probing the path to %v: no socket for it", d.Endpoint)
	}
	return socket.Probe(d)
}

// socketFor returns the socket that d is sent by, nil if there is none. Where there are fewer lanes they are counted round.
func (h *Hub) socketFor(d wire.Datagram) Socket {
	lanes := h.v6
	if n := int(d.Endpoint.Socket); n > 0 && n <= len(h.ports) {
		lanes = h.ports[n-1]
	} else if d.Endpoint.Addr.Addr().Is4() {
		lanes = h.v4
	}
	if lanes == nil {
		return nil
	}
	return lanes[int(d.Lane)%len(lanes)]
}
