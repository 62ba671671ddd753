package udp_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/udp"
	"meshnet/meshd/wire"
)

// loopback has an address of each family.
var loopback = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:0")}

func listen(t testing.TB, cfg udp.Config) *udp.Conn {
	t.Helper()
	c, err := udp.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// both runs a test with two sockets of each family.
func both(t *testing.T, test func(t *testing.T, a, b *udp.Conn)) {
	for _, addr := range loopback {
		t.Run(addr.Addr().String(), func(t *testing.T) {
			test(t, listen(t, udp.Config{Addr: addr, Socket: 1}), listen(t, udp.Config{Addr: addr, Socket: 2}))
		})
	}
}

// numbered returns count datagrams, the i-th of i+1 bytes with value i.
func numbered(count int, to netip.AddrPort) []wire.Datagram {
	ds := make([]wire.Datagram, count)
	for i := range ds {
		ds[i] = wire.Datagram{Buf: bytes.Repeat([]byte{byte(i)}, i+1), Endpoint: wire.Endpoint{Addr: to}}
	}
	return ds
}

// read reads until count datagrams have come.
func read(t *testing.T, c *udp.Conn, count int) []wire.Datagram {
	t.Helper()
	return readBy(t, c, count, 64)
}

// readBy is read with at most size datagrams at once.
func readBy(t *testing.T, c *udp.Conn, count, size int) []wire.Datagram {
	t.Helper()
	var got []wire.Datagram
	for len(got) < count {
		ds := make([]wire.Datagram, min(size, count-len(got)))
		n, err := c.ReadBatch(ds, 10*time.Second) // what never comes fails the test
		if err != nil || n < 1 || n > len(ds) {
			t.Fatalf("ReadBatch = %d, %v after %d of %d datagrams", n, err, len(got), count)
		}
		for _, d := range ds[:n] {
			d.Buf = bytes.Clone(d.Buf)
			got = append(got, d)
		}
	}
	return got
}

// "ds[i].Endpoint is the sender's address and this socket's number." More datagrams than a system call takes arrive
// whole and in order.
func TestBatches(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		if n, err := a.WriteBatch(numbered(150, b.LocalAddr())); n != 150 || err != nil {
			t.Fatalf("WriteBatch = %d, %v, want 150, <nil>", n, err)
		}
		from := wire.Endpoint{Addr: a.LocalAddr(), Socket: 2}
		for i, d := range read(t, b, 150) {
			if want := bytes.Repeat([]byte{byte(i)}, i+1); !bytes.Equal(d.Buf, want) || d.Endpoint != from {
				t.Errorf("datagram %d = %x from %+v, want %d bytes from %+v", i, d.Buf, d.Endpoint, i+1, from)
			}
		}
		if sent, received := a.Counters().Sent.Load(), b.Counters().Received.Load(); sent != 150 || received != 150 {
			t.Errorf("sent %d and received %d, want 150", sent, received)
		}
	})
}

func TestEmptyBatchAndDatagram(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		if n, err := b.ReadBatch(nil, -1); n != 0 || err != nil {
			t.Errorf("ReadBatch(nil) = %d, %v, want 0, <nil>", n, err)
		}
		if n, err := a.WriteBatch(nil); n != 0 || err != nil {
			t.Errorf("WriteBatch(nil) = %d, %v, want 0, <nil>", n, err)
		}
		if n, err := a.WriteBatch([]wire.Datagram{{Endpoint: wire.Endpoint{Addr: b.LocalAddr()}}}); n != 1 || err != nil {
			t.Errorf("WriteBatch(empty datagram) = %d, %v, want 1, <nil>", n, err)
		}
		if got := read(t, b, 1); len(got[0].Buf) != 0 {
			t.Errorf("read %x, want an empty datagram", got[0].Buf)
		}
	})
}

// "A datagram that the kernel refuses or whose address is of the other family is counted and skipped; the rest are
// sent."
func TestRefusedDatagramsLoseNoOthers(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		other := loopback[0]
		if b.LocalAddr().Addr().Is4() {
			other = loopback[1]
		}
		ds := numbered(100, b.LocalAddr())
		for _, i := range []int{0, 7, 8, 99} {
			ds[i].Buf = make([]byte, 70000) // EMSGSIZE
		}
		ds[20].Endpoint.Addr = netip.AddrPortFrom(other.Addr(), 9)
		ds[64].Endpoint.Addr = netip.AddrPortFrom(b.LocalAddr().Addr(), 0) // EINVAL
		n, err := a.WriteBatch(ds)
		if n != 94 || err != nil {
			t.Errorf("WriteBatch = %d, %v, want 94, <nil>", n, err)
		}
		read(t, b, 94)
		counts := a.Counters().Snapshot()
		for name, want := range map[string]uint64{"sent": 94, "send_too_big": 4, "send_family": 1, "send_invalid": 1} {
			if counts[name] != want {
				t.Errorf("counter %s = %d, want %d (%v)", name, counts[name], want, counts)
			}
		}
	})
}

// "After Close the error is net.ErrClosed", for those that wait as for those that come.
func TestCloseUnblocks(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		first, last := make(chan error), make(chan error)
		go func() {
			ds := make([]wire.Datagram, 1)
			_, err := b.ReadBatch(ds, -1)
			first <- err
			_, err = b.ReadBatch(ds, -1)
			last <- err
		}()
		if _, err := a.WriteBatch(numbered(1, b.LocalAddr())); err != nil {
			t.Fatal(err)
		}
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close = %v, want <nil>", err)
			}
		}
		if err := <-last; !errors.Is(err, net.ErrClosed) {
			t.Errorf("waiting ReadBatch = %v, want net.ErrClosed", err)
		}
		if _, err := b.ReadBatch(make([]wire.Datagram, 1), -1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch = %v, want net.ErrClosed", err)
		}
		if _, err := b.WriteBatch(numbered(1, a.LocalAddr())); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch = %v, want net.ErrClosed", err)
		}
	})
}

// "ReadBatch belongs to one goroutine; all other methods may be called from several at once." Every datagram arrives.
func TestConcurrentUse(t *testing.T) {
	both(t, func(t *testing.T, a, b *udp.Conn) {
		const writers, rounds, size = 6, 50, 10 // more writers than a Conn has
		var sending sync.WaitGroup
		for range writers {
			sending.Go(func() {
				for range rounds {
					if n, err := a.WriteBatch(numbered(size, b.LocalAddr())); n != size || err != nil {
						t.Errorf("WriteBatch = %d, %v, want %d, <nil>", n, err, size)
					}
				}
			})
		}
		read(t, b, writers*rounds*size)
		sending.Wait()
	})
}

// "Its error names the address and the way out, and wraps the errno."
func TestListenErrors(t *testing.T) {
	taken := listen(t, udp.Config{Addr: loopback[0]}).LocalAddr()
	tests := []struct {
		name  string
		addr  netip.AddrPort
		errno error
		says  []string
	}{
		{"port in use", taken, unix.EADDRINUSE, []string{taken.String(), "another meshd", "--listen"}},
		{"not ours", netip.MustParseAddrPort("192.0.2.1:7000"), unix.EADDRNOTAVAIL,
			[]string{"192.0.2.1:7000", "--listen :7000"}},
		{"no address", netip.AddrPort{}, nil, []string{"no address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := udp.Listen(udp.Config{Addr: tt.addr})
			if err == nil {
				c.Close()
				t.Fatalf("Listen(%v) succeeded", tt.addr)
			}
			if tt.errno != nil && !errors.Is(err, tt.errno) {
				t.Errorf("Listen(%v) error = %v, want it to wrap %v", tt.addr, err, tt.errno)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("Listen(%v) error = %v, want it to say %q", tt.addr, err, s)
				}
			}
			if n := strings.Count(err.Error(), taken.String()); n > 1 {
				t.Errorf("Listen error = %v: names the address %d times", err, n)
			}
		})
	}
}

// One port serves both families, each with a socket of its own.
func TestBothFamiliesOnOnePort(t *testing.T) {
	four := listen(t, udp.Config{Addr: netip.MustParseAddrPort("0.0.0.0:0"), Socket: 1})
	six := listen(t, udp.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), four.LocalAddr().Port()), Socket: 2})
	for _, tt := range []struct {
		conn *udp.Conn
		from netip.AddrPort
	}{{four, loopback[0]}, {six, loopback[1]}} {
		sender := listen(t, udp.Config{Addr: tt.from})
		to := netip.AddrPortFrom(tt.from.Addr(), tt.conn.LocalAddr().Port())
		if _, err := sender.WriteBatch(numbered(1, to)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, tt.conn, 1)[0].Endpoint.Addr; got != sender.LocalAddr() {
			t.Errorf("read from %v, want %v", got, sender.LocalAddr())
		}
	}
}

// The options that Config and the package promise, as the kernel has them.
func TestSocketOptions(t *testing.T) {
	for _, addr := range loopback {
		c := listen(t, udp.Config{Addr: addr, Mark: 77, Buffer: 1 << 20})
		tests := []struct {
			name          string
			level, option int
			want          int
		}{
			{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, 77},
			{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, 2 << 20}, // the kernel doubles what it is asked for: socket(7)
			{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 2 << 20},
			{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
		}
		if addr.Addr().Is6() {
			tests[3].name, tests[3].level, tests[3].option = "IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
		}
		for _, tt := range tests {
			if got := option(t, c, tt.level, tt.option); got != tt.want {
				t.Errorf("%v: %s = %d, want %d", addr, tt.name, got, tt.want)
			}
		}
	}
}

func option(t *testing.T, c *udp.Conn, level, name int) int {
	t.Helper()
	value, err := unix.GetsockoptInt(udp.FD(c), level, name)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
