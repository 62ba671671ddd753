package stream

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/session"
)

func TestProtocolHeader(t *testing.T) {
	b, err := appendProtocol(nil, "neighbours")
	if err != nil || string(b) != "\x0aneighbours" {
		t.Errorf("appendProtocol = %q, %v", b, err)
	}
	r := bytes.NewReader(append(b, "rest"...))
	if got, err := readProtocol(r); err != nil || got != "neighbours" || r.Len() != 4 {
		t.Errorf("readProtocol = %q, %v, leaving %d bytes, want 4", got, err, r.Len())
	}
	for _, name := range []string{"", strings.Repeat("x", MaxProtocol+1)} {
		if _, err := appendProtocol(nil, name); !errors.Is(err, errProtocolName) {
			t.Errorf("appendProtocol(%q) error = %v, want %v", name, err, errProtocolName)
		}
	}
}

func FuzzReadProtocol(f *testing.F) {
	f.Add([]byte("\x0aneighbours"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, err := readProtocol(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again, err := appendProtocol(nil, name); err != nil || !bytes.HasPrefix(b, again) {
			t.Errorf("append of %q = %x, %v, want the beginning of %x", name, again, err, b)
		}
	})
}

func TestPacketConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counters Counters
		var sent []session.NodeID
		c := newPacketConn(session.NodeID{1}, func(to session.NodeID, _ []byte) { sent = append(sent, to) }, &counters)
		for range receiveQueue + 3 {
			c.deliver(session.NodeID{2}, []byte("packet"))
		}
		if got := counters.QueueFull.Load(); got != 3 {
			t.Errorf("dropped = %d, want 3: the queue is bounded", got)
		}
		b := make([]byte, 100)
		for range receiveQueue {
			if n, from, err := c.ReadFrom(b); err != nil || string(b[:n]) != "packet" || from != (Addr{session.NodeID{2}}) {
				t.Fatalf("ReadFrom = %q, %v, %v", b[:n], from, err)
			}
		}
		read := func() error { _, _, err := c.ReadFrom(b); return err }
		began := time.Now()
		_ = c.SetReadDeadline(began.Add(time.Second))
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("ReadFrom error = %v after %v, want the deadline after 1s", err, time.Since(began))
		}
		_ = c.SetReadDeadline(began)
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom after a past deadline error = %v", err)
		}
		_ = c.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { c.Close() })
		if err := read(); !errors.Is(err, net.ErrClosed) || time.Since(began) < time.Hour {
			t.Errorf("ReadFrom without a deadline error = %v after %v, want closed after 1h", err, time.Since(began))
		}
		if n, err := c.WriteTo(make([]byte, 1200), Addr{session.NodeID{3}}); n != 1200 || err != nil || len(sent) != 1 {
			t.Errorf("WriteTo = %d, %v, sent %d", n, err, len(sent))
		}
		if n, err := c.WriteTo(make([]byte, 1201), Addr{session.NodeID{3}}); n != 1201 || err != nil || len(sent) != 1 {
			t.Errorf("WriteTo of too much = %d, %v, sent %d: want it lost", n, err, len(sent))
		}
	})
}

// pair returns two Transports that reach each other in 5 ms.
func pair(t *testing.T) (a, b *Transport) {
	t.Helper()
	ends := make(map[session.NodeID]*Transport)
	for _, self := range []session.NodeID{{1}, {2}} {
		tr, err := New(Config{Self: self, Log: slog.New(slog.DiscardHandler), Send: func(to session.NodeID, packet []byte) {
			packet = bytes.Clone(packet)
			if dst := ends[to]; dst != nil {
				time.AfterFunc(5*time.Millisecond, func() { dst.Handle(self, packet) })
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ends[self] = tr
	}
	return ends[session.NodeID{1}], ends[session.NodeID{2}]
}

func closeBoth(t *testing.T, a, b *Transport) {
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Errorf("Close error = %v", err)
	}
}

// Many streams share one connection, whichever end opens them.
func TestConnectionIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		la, lb := a.Listen("p"), b.Listen("p")
		for i := range 20 {
			from, to, l := a, session.NodeID{2}, lb
			if i%2 == 1 {
				from, to, l = b, session.NodeID{1}, la
			}
			out, err := from.Dial(t.Context(), to, "p")
			if err != nil {
				t.Fatal(err)
			}
			in, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got := in.(*Conn).Peer(); got != from.cfg.Self {
				t.Errorf("peer of the accepted stream = %v, want %v", got, from.cfg.Self)
			}
			if _, err := out.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			out.Close()
			if got, err := io.ReadAll(in); err != nil || string(got) != "x" {
				t.Errorf("what was written before Close = %q, %v, want x", got, err)
			}
			in.Close()
		}
		if got := a.counters.Dials.Load() + b.counters.Dials.Load(); got != 1 {
			t.Errorf("connections = %d, want 1", got)
		}
		time.Sleep(2 * IdleTimeout)
		for _, tr := range []*Transport{a, b} {
			tr.mu.Lock()
			if len(tr.links) != 0 {
				t.Errorf("connections of %v after the idle timeout = %d, want none", tr.cfg.Self.Short(), len(tr.links))
			}
			tr.mu.Unlock()
		}
		closeBoth(t, a, b)
	})
}

// Close unblocks whoever waits: Accept, Read, Write and Dial.
func TestCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		lb := b.Listen("p")
		conn, err := a.Dial(t.Context(), session.NodeID{2}, "p")
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 4)
		go func() { _, err := conn.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := conn.Write(make([]byte, 64<<20)); errs <- err }()
		go func() {
			for {
				if _, err := lb.Accept(); err != nil {
					errs <- err
					return
				}
			}
		}()
		go func() { _, err := a.Dial(t.Context(), session.NodeID{3}, "p"); errs <- err }()
		time.Sleep(time.Second)
		closeBoth(t, a, b)
		for range 4 {
			if err := <-errs; err == nil {
				t.Error("a call that Close interrupted error = <nil>")
			}
		}
		if _, err := a.Dial(t.Context(), session.NodeID{2}, "p"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Close error = %v, want closed", err)
		}
	})
}

// Streams that nobody accepts do not pile up, and a listener that closes resets what waits for it.
func TestBusyListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		l := b.Listen("p")
		var conns []*Conn
		for range 2 { // two connections: a connection carries maxStreams, as many as wait
			for range maxStreams {
				ctx := t.Context()
				c, err := a.Dial(ctx, session.NodeID{2}, "p")
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			time.Sleep(time.Second)
			a.mu.Lock()
			clear(a.links) // as if it had been lost from sight
			a.mu.Unlock()
		}
		l.Close()
		var busy, unknown int
		for _, c := range conns {
			switch _, err := c.Read(make([]byte, 1)); {
			case errors.Is(err, ErrBusy):
				busy++
			case errors.Is(err, ErrProtocol):
				unknown++
			default:
				t.Errorf("Read error = %v, want busy or protocol", err)
			}
		}
		if busy != len(conns)-acceptQueue || unknown != acceptQueue {
			t.Errorf("busy = %d, reset by the listener's end = %d, want %d and %d", busy, unknown, len(conns)-acceptQueue, acceptQueue)
		}
		time.Sleep(2 * IdleTimeout)
		closeBoth(t, a, b)
	})
}
