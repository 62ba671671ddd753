package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// socket is a Socket in memory: it delivers what arrives is sent, and keeps what is written.
type socket struct {
	local   netip.AddrPort
	arrives chan []wire.Datagram
	closed  chan struct{}
	written []wire.Datagram
	probed  []wire.Datagram
}

func newSocket(local string) *socket {
	return &socket{local: netip.MustParseAddrPort(local), arrives: make(chan []wire.Datagram), closed: make(chan struct{})}
}

func (s *socket) ReadBatch(ds []wire.Datagram, wait time.Duration) (int, error) {
	var up <-chan time.Time
	if wait >= 0 {
		up = time.After(wait)
	}
	select {
	case in := <-s.arrives:
		return copy(ds, in), nil
	case <-up:
		return 0, nil
	case <-s.closed:
		return 0, net.ErrClosed
	}
}

func (s *socket) WriteBatch(ds []wire.Datagram) (int, error) {
	s.written = append(s.written, ds...)
	return len(ds), nil
}

func (s *socket) Probe(d wire.Datagram) error {
	s.probed = append(s.probed, d)
	return nil
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }

func (s *socket) Close() error {
	close(s.closed)
	return nil
}

// network is a Network that notes what it gets.
type network struct {
	handshakes int
	sealed     []uint64      // counters of the sealed messages
	flushed    chan []uint64 // what each batch brought
}

func newNetwork() *network { return &network{flushed: make(chan []uint64, 16)} }

func (n *network) Handshake(wire.Endpoint, []byte) { n.handshakes++ }
func (n *network) NewReceiver() Receiver           { return &network{flushed: n.flushed} } // one goroutine's

func (n *network) Sealed(_ time.Time, h wire.Header, _ wire.Datagram) {
	n.sealed = append(n.sealed, h.Counter)
}

func (n *network) Flush(time.Time) time.Duration {
	n.flushed <- slices.Clone(n.sealed)
	n.sealed = n.sealed[:0]
	return 0
}

// sealed returns a sealed message for the network in slot, of no meaning but its form.
func sealed(slot uint8, counter uint64) wire.Datagram {
	h := wire.Header{Type: wire.TypeFrame, Receiver: 0x1234_5600 | uint32(slot), Counter: counter}
	return wire.Datagram{Buf: append(h.Append(nil), make([]byte, wire.TagLen)...)}
}

// handshakeTo returns a handshake message of type t.
func handshakeTo(t wire.Type, slot uint8) wire.Datagram {
	b := wire.HandshakeHeader{Type: t, Receiver: uint32(slot)}.Append(nil)
	return wire.Datagram{Buf: append(b, make([]byte, 200)...)}
}

func add(t *testing.T, h *Hub, n Network) uint8 {
	t.Helper()
	slot, err := h.Add()
	if err != nil {
		t.Fatal(err)
	}
	h.Attach(slot, n)
	return slot
}

// "A first handshake message names no network, so each network is asked; everything else carries a receiver index whose low
// eight bits are the network's slot here."
func TestDelivery(t *testing.T) {
	s := newSocket("192.0.2.1:7000")
	h := New([][]Socket{{s}}, slog.New(slog.DiscardHandler))
	a, b := newNetwork(), newNetwork()
	slotA, slotB := add(t, h, a), add(t, h, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()

	s.arrives <- []wire.Datagram{
		handshakeTo(wire.TypeHandshake1, 0),
		handshakeTo(wire.TypeHandshake2, slotB),
		sealed(slotA, 1), sealed(slotB, 2), sealed(slotA, 3),
		sealed(77, 4), // a slot without a network
		{Buf: []byte{9}}, {Buf: nil}, {Buf: make([]byte, 64)},
	}
	if got := <-a.flushed; !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("network a got messages %v in one batch, want [1 3]", got)
	}
	if got := <-b.flushed; !slices.Equal(got, []uint64{2}) {
		t.Errorf("network b got messages %v in one batch, want [2]", got)
	}
	h.Remove(slotA)
	s.arrives <- []wire.Datagram{sealed(slotA, 5), handshakeTo(wire.TypeHandshake1, 0), sealed(slotB, 6)}
	<-b.flushed
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v after its context ended, want nil", err)
	}
	if a.handshakes != 1 || b.handshakes != 3 {
		t.Errorf("handshake messages = %d and %d, want 1 and 3", a.handshakes, b.handshakes)
	}
	want := map[string]uint64{"malformed": 3, "no_network": 2, "no_socket": 0}
	for name, n := range h.Counters() {
		if n != want[name] {
			t.Errorf("counter %s = %d, want %d", name, n, want[name])
		}
	}
}

// "WriteBatch sends each datagram by its endpoint's socket, or by the first one of the address's family."
func TestWriteBatch(t *testing.T) {
	first4, first6, second4 := newSocket("0.0.0.0:7000"), newSocket("[::]:7000"), newSocket("192.0.2.1:443")
	h := New([][]Socket{{first4}, {first6}, {second4}}, slog.New(slog.DiscardHandler))
	to := func(addr string, socket uint8) wire.Datagram {
		return wire.Datagram{Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort(addr), Socket: socket}}
	}
	n, err := h.WriteBatch([]wire.Datagram{
		to("198.51.100.1:1", 0), to("198.51.100.1:2", 0), to("[2001:db8::1]:3", 0), to("198.51.100.1:4", 3), to("198.51.100.1:5", 9),
	})
	if n != 5 || err != nil {
		t.Errorf("WriteBatch() = %d, %v; want 5", n, err)
	}
	for _, tt := range []struct {
		name string
		s    *socket
		want []uint16
	}{{"first IPv4", first4, []uint16{1, 2, 5}}, {"first IPv6", first6, []uint16{3}}, {"second IPv4", second4, []uint16{4}}} {
		var got []uint16
		for _, d := range tt.s.written {
			got = append(got, d.Endpoint.Addr.Port())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s socket sent to ports %v, want %v", tt.name, got, tt.want)
		}
	}
}

// "Probe sends d by its endpoint's socket."
func TestProbe(t *testing.T) {
	first4, second4 := newSocket("0.0.0.0:7000"), newSocket("192.0.2.1:443")
	h := New([][]Socket{{first4}, {second4}}, slog.New(slog.DiscardHandler))
	d := wire.Datagram{Buf: make([]byte, 1472), Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("198.51.100.1:1"), Socket: 2}}
	if err := h.Probe(d); err != nil || len(first4.probed) != 0 || len(second4.probed) != 1 {
		t.Errorf("Probe() = %v; the sockets sent %d and %d, want the second to send it", err, len(first4.probed), len(second4.probed))
	}
	d.Endpoint = wire.Endpoint{Addr: netip.MustParseAddrPort("[2001:db8::1]:1")}
	if err := h.Probe(d); err == nil || h.Counters()["no_socket"] != 1 {
		t.Errorf("Probe(to a family without a socket) = %v, no_socket = %d; want an error, and 1", err, h.Counters()["no_socket"])
	}
}

// A host without IPv6 still sends the rest.
func TestNoSocketOfTheFamily(t *testing.T) {
	s := newSocket("0.0.0.0:7000")
	h := New([][]Socket{{s}}, slog.New(slog.DiscardHandler))
	n, err := h.WriteBatch([]wire.Datagram{
		{Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("[2001:db8::1]:1")}},
		{Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.9:1")}},
	})
	if n != 1 || err != nil || len(s.written) != 1 || h.Counters()["no_socket"] != 1 {
		t.Errorf("WriteBatch() = %d, %v, no_socket = %d; want 1 sent and 1 counted", n, err, h.Counters()["no_socket"])
	}
}

func TestSlotsAreReused(t *testing.T) {
	h := New(nil, slog.New(slog.DiscardHandler))
	for range MaxNetworks {
		if _, err := h.Add(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Add(); !errors.Is(err, ErrFull) {
		t.Errorf("Add() with all slots taken = %v, want ErrFull", err)
	}
	h.Remove(7)
	if slot, err := h.Add(); slot != 7 || err != nil {
		t.Errorf("Add() = %d, %v; want the free slot 7", slot, err)
	}
}

// "The data path does not allocate."
func TestDeliveryDoesNotAllocate(t *testing.T) {
	h := New([][]Socket{{newSocket("192.0.2.1:7000")}}, slog.New(slog.DiscardHandler))
	n := newNetwork()
	n.sealed = make([]uint64, 0, 16)
	slot := add(t, h, quiet{n})
	r := &reader{hub: h, slots: make([]uint8, 0, MaxNetworks)}
	d, now := sealed(slot, 1), time.Now()
	if allocs := testing.AllocsPerRun(100, func() {
		r.deliver(now, d)
		r.flush(now)
		n.sealed = n.sealed[:0]
	}); allocs != 0 {
		t.Errorf("a sealed message costs %v allocations, want 0", allocs)
	}
}

// quiet is a network whose Flush does nothing.
type quiet struct{ *network }

func (q quiet) NewReceiver() Receiver       { return q }
func (quiet) Flush(time.Time) time.Duration { return 0 }

// "What is sent says which lane it goes by. Where there are fewer lanes they are counted round." All lanes are read.
func TestLanes(t *testing.T) {
	first, second, alone := newSocket("0.0.0.0:7000"), newSocket("0.0.0.0:7000"), newSocket("[::]:7000")
	h := New([][]Socket{{first, second}, {alone}}, slog.New(slog.DiscardHandler))
	if got := h.Addrs(); h.Lanes() != 2 || !slices.Equal(got, []netip.AddrPort{first.local, alone.local}) {
		t.Errorf("Lanes() = %d, Addrs() = %v; want 2, and one for each port", h.Lanes(), got)
	}
	var ds []wire.Datagram
	for i, addr := range []string{"198.51.100.1:1", "[2001:db8::1]:2"} {
		for lane := range uint8(3) {
			e := wire.Endpoint{Addr: netip.MustParseAddrPort(addr), Socket: uint8(i) * 2} // for IPv4 any, for IPv6 the second
			ds = append(ds, wire.Datagram{Endpoint: e, Lane: lane})
		}
	}
	if n, err := h.WriteBatch(ds); n != len(ds) || err != nil {
		t.Errorf("WriteBatch() = %d, %v; want %d", n, err, len(ds))
	}
	for _, d := range ds {
		if err := h.Probe(d); err != nil {
			t.Errorf("Probe(%+v) = %v", d, err)
		}
	}
	for name, tt := range map[string]struct {
		s    *socket
		want []wire.Datagram
	}{"first": {first, []wire.Datagram{ds[0], ds[2]}}, "second": {second, ds[1:2]}, "only": {alone, ds[3:]}} {
		same := func(a, b wire.Datagram) bool { return a.Endpoint == b.Endpoint && a.Lane == b.Lane }
		if !slices.EqualFunc(tt.s.written, tt.want, same) || !slices.EqualFunc(tt.s.probed, tt.want, same) {
			t.Errorf("%s lane sent %v and %v, want %v", name, tt.s.written, tt.s.probed, tt.want)
		}
	}

	n := newNetwork()
	slot := add(t, h, n)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	for i, s := range []*socket{first, second, alone} {
		s.arrives <- []wire.Datagram{sealed(slot, uint64(i))}
		if got := <-n.flushed; !slices.Equal(got, []uint64{uint64(i)}) {
			t.Errorf("network got messages %v from socket %d, want [%d]", got, i, i)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v", err)
	}
}
