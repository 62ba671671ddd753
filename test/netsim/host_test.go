package netsim_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// send sends one datagram and fails the test if it does not leave.
func send(t *testing.T, from *netsim.Host, to netip.AddrPort, payload string) {
	t.Helper()
	ds := []wire.Datagram{{Buf: []byte(payload), Endpoint: wire.Endpoint{Addr: to}}}
	if n, err := from.WriteBatch(ds); n != 1 || err != nil {
		t.Errorf("WriteBatch(%q to %v) = %d, %v, want 1, <nil>", payload, to, n, err)
	}
}

// a received datagram, with the time it took since start.
type received struct {
	payload string
	from    wire.Endpoint
	at      time.Duration
}

// listen collects all that h receives until it is closed; the result is complete when the bubble has settled.
func listen(t *testing.T, h *netsim.Host) *[]received {
	got := new([]received)
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ds := make([]wire.Datagram, 8)
		for {
			for i := range ds {
				ds[i].Buf = make([]byte, 64)
			}
			n, err := h.ReadBatch(ds, -1)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("ReadBatch = %v, want net.ErrClosed", err)
				}
				return
			}
			for _, d := range ds[:n] {
				*got = append(*got, received{string(d.Buf), d.Endpoint, time.Since(start)})
			}
		}
	}()
	t.Cleanup(func() {
		h.Close()
		<-done
	})
	return got
}

func payloads(got []received) []string {
	var s []string
	for _, r := range got {
		s = append(s, r.payload)
	}
	return s
}

// "ds[i].Endpoint is the sender's address and the number of the socket it came in through."
func TestDelivery(t *testing.T) {
	tests := []struct {
		name     string
		to       string
		through  uint8 // socket that the sender names
		from     string
		socket   uint8 // socket that the receiver sees
		datagram string
	}{
		{"IPv4", "192.0.2.2:7000", 0, "192.0.2.1:7000", 1, "four"},
		{"IPv6", "[2001:db8::2]:7000", 0, "[2001:db8::1]:7000", 2, "six"},
		{"by socket", "192.0.2.2:7000", 3, "192.0.2.1:7001", 1, "other port"},
		{"empty", "192.0.2.2:7000", 0, "192.0.2.1:7000", 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := netsim.New(1)
				a := n.Host("192.0.2.1:7000", "[2001:db8::1]:7000", "192.0.2.1:7001")
				b := n.Host("192.0.2.2:7000", "[2001:db8::2]:7000")
				got := listen(t, b)
				buf := []byte(tt.datagram)
				to := wire.Endpoint{Addr: netip.MustParseAddrPort(tt.to), Socket: tt.through}
				if n, err := a.WriteBatch([]wire.Datagram{{Buf: buf, Endpoint: to}}); n != 1 || err != nil {
					t.Fatalf("WriteBatch = %d, %v, want 1, <nil>", n, err)
				}
				clear(buf) // WriteBatch keeps no buffer
				time.Sleep(time.Second)
				synctest.Wait()
				want := received{
					payload: tt.datagram,
					from:    wire.Endpoint{Addr: netip.MustParseAddrPort(tt.from), Socket: tt.socket},
					at:      time.Millisecond,
				}
				if len(*got) != 1 || (*got)[0] != want {
					t.Errorf("received %+v, want %+v", *got, want)
				}
				if stats := n.Stats(); stats != (netsim.Stats{Sent: 1, Delivered: 1}) {
					t.Errorf("Stats() = %+v, want one sent and delivered", stats)
				}
			})
		})
	}
}

// "ReadBatch waits for a datagram and reads as many as there are, at most len(ds)."
func TestReadBatchTakesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
		for i := range 5 {
			send(t, a, b.LocalAddr(), fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		ds := make([]wire.Datagram, 3)
		for _, want := range []string{"012", "34"} {
			for i := range ds {
				ds[i].Buf = make([]byte, 0, 8) // "fills ds[i].Buf up to its capacity"
			}
			count, err := b.ReadBatch(ds, -1)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, d := range ds[:count] {
				got = append(got, d.Buf...)
			}
			if string(got) != want {
				t.Errorf("ReadBatch read %q, want %q", got, want)
			}
		}
	})
}

// "After Close the error is net.ErrClosed", for those that wait as for those that come.
func TestCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netsim.New(1).Host("192.0.2.1:7000")
		result := make(chan error, 3)
		ds := func() []wire.Datagram { return []wire.Datagram{{Buf: make([]byte, 8)}} }
		for range 2 {
			go func() {
				_, err := h.ReadBatch(ds(), -1)
				result <- err
			}()
		}
		synctest.Wait()
		h.Close()
		h.Close()
		_, err := h.ReadBatch(ds(), -1)
		result <- err
		for range 3 {
			if err := <-result; !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadBatch error = %v, want net.ErrClosed", err)
			}
		}
		if _, err := h.WriteBatch(ds()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch error = %v, want net.ErrClosed", err)
		}
	})
}

// "An address may be given again after Close, to the host that restarted, and then receives what was sent to it in the
// meantime and is still under way."
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		n.SetLatency(100*time.Millisecond, 100*time.Millisecond)
		a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
		addr := b.LocalAddr()

		send(t, a, addr, "to nobody")
		time.Sleep(50 * time.Millisecond)
		b.Close()
		time.Sleep(time.Second)
		if stats := n.Stats(); stats.Unreachable != 1 {
			t.Errorf("Unreachable = %d, want 1", stats.Unreachable)
		}
		send(t, a, addr, "to the next")
		time.Sleep(50 * time.Millisecond)
		got := listen(t, n.Host(addr.String()))
		time.Sleep(time.Second)
		synctest.Wait()
		if fmt.Sprint(payloads(*got)) != "[to the next]" {
			t.Errorf("received %q, want only what was under way", payloads(*got))
		}
	})
}

func TestLostAtTheEnds(t *testing.T) {
	tests := []struct {
		name  string
		to    string
		size  int
		count int
		sent  int
		want  netsim.Stats
	}{
		{"unknown destination", "192.0.2.9:7000", 8, 3, 3, netsim.Stats{Sent: 3, Unreachable: 3}},
		{"no address of the family", "[2001:db8::2]:7000", 8, 3, 0, netsim.Stats{Unreachable: 3}},
		{"queue full", "192.0.2.2:7000", 8, 1030, 1030, netsim.Stats{Sent: 1030, Delivered: 1024, Overflow: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := netsim.New(1)
				a := n.Host("192.0.2.1:7000")
				n.Host("192.0.2.2:7000", "[2001:db8::2]:7000")
				ds := make([]wire.Datagram, tt.count)
				for i := range ds {
					ds[i] = wire.Datagram{Buf: make([]byte, tt.size),
						Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort(tt.to)}}
				}
				if sent, err := a.WriteBatch(ds); sent != tt.sent || err != nil {
					t.Errorf("WriteBatch = %d, %v, want %d, <nil>", sent, err, tt.sent)
				}
				time.Sleep(time.Second)
				if stats := n.Stats(); stats != tt.want {
					t.Errorf("Stats() = %+v, want %+v", stats, tt.want)
				}
			})
		})
	}
}

// "At most for wait; none if the time is up."
func TestReadBatchWaitsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
		ds, began := make([]wire.Datagram, 2), time.Now()
		if count, err := b.ReadBatch(ds, time.Second); count != 0 || err != nil || time.Since(began) != time.Second {
			t.Errorf("ReadBatch = %d, %v after %v, want 0, <nil> after 1s", count, err, time.Since(began))
		}
		send(t, a, b.LocalAddr(), "in time")
		if count, err := b.ReadBatch(ds, time.Hour); count != 1 || err != nil || string(ds[0].Buf) != "in time" {
			t.Errorf("ReadBatch = %d (%q), %v, want what was sent", count, ds[0].Buf, err)
		}
	})
}

func TestHostPanicsOnAddress(t *testing.T) {
	tests := [][]string{{}, {"192.0.2.1"}, {"example.com:7000"}, {"192.0.2.7:7000"}, {"[::ffff:192.0.2.7]:7000"}}
	for _, addrs := range tests {
		func() {
			n := netsim.New(1)
			n.Host("192.0.2.7:7000")
			defer func() {
				if recover() == nil {
					t.Errorf("Host(%q) did not panic", addrs)
				}
			}()
			n.Host(addrs...)
		}()
	}
}
