package udp_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/udp"
	"meshnet/meshd/wire"
)

func listenLanes(t *testing.T, cfg udp.Config, n int) []*udp.Conn {
	t.Helper()
	lanes, err := udp.ListenLanes(cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range lanes {
			c.Close()
		}
	})
	if len(lanes) != n {
		t.Fatalf("ListenLanes = %d lanes, want %d", len(lanes), n)
	}
	return lanes
}

// message returns a datagram of a lane, of no meaning but its form, that says k.
func message(to netip.AddrPort, lane uint8, k int) wire.Datagram {
	h := wire.Header{Type: wire.TypeFrame, Lane: lane, Counter: uint64(k)}
	return wire.Datagram{Buf: append(h.Append(nil), make([]byte, 100)...), Endpoint: wire.Endpoint{Addr: to}, Lane: lane}
}

// "The kernel gives a message to the Conn of its lane", in order, single ones and bursts; "each but the first sends from a port of
// its own", and so do all that the receiver has fewer of.
func TestLanes(t *testing.T) {
	const each = 200
	for _, addr := range loopback {
		for _, receivers := range []int{1, 2, 3, 4} {
			t.Run(fmt.Sprint(addr.Addr(), " ", receivers), func(t *testing.T) {
				from := listenLanes(t, udp.Config{Addr: addr, Socket: 1}, 4)
				to := listenLanes(t, udp.Config{Addr: addr, Socket: 7}, receivers)
				for lane, c := range from {
					var ds []wire.Datagram
					for k := range each {
						ds = append(ds, message(to[0].LocalAddr(), uint8(lane), k))
					}
					for _, part := range [][]wire.Datagram{ds[:1], ds[1:]} {
						if n, err := c.WriteBatch(part); n != len(part) || err != nil {
							t.Fatalf("lane %d: WriteBatch = %d, %v", lane, n, err)
						}
					}
				}
				ports := map[netip.AddrPort]uint8{}
				for i, c := range to {
					next := map[uint8]uint64{}
					for _, d := range read(t, c, each*len(lanesOf(i, receivers))) {
						h, err := wire.ParseHeader(d.Buf)
						if err != nil {
							t.Fatal(err)
						}
						if int(h.Lane)%receivers != i || h.Counter != next[h.Lane] {
							t.Fatalf("socket %d got message %d of lane %d, want %d", i, h.Counter, h.Lane, next[h.Lane])
						}
						next[h.Lane]++
						if lane, known := ports[d.Endpoint.Addr]; known && lane != h.Lane || d.Endpoint.Socket != 7 {
							t.Fatalf("lane %d came from %+v, as lane %d did", h.Lane, d.Endpoint, lane)
						}
						ports[d.Endpoint.Addr] = h.Lane
					}
				}
				if len(ports) != 4 || ports[from[0].LocalAddr()] != 0 {
					t.Errorf("ports = %v, want 4, the first lane's its own", ports)
				}
			})
		}
	}
}

// lanesOf returns which of four lanes the i-th of n sockets receives.
func lanesOf(i, n int) (lanes []int) {
	for l := i; l < 4; l += n {
		lanes = append(lanes, l)
	}
	return lanes
}

// What is not a message of a lane, however short, comes to the first; what is sent to a lane's own port comes to nobody.
func TestWhatIsOfNoLane(t *testing.T) {
	lanes := listenLanes(t, udp.Config{Addr: loopback[0]}, 2)
	stranger := listen(t, udp.Config{Addr: loopback[0]})
	if _, err := lanes[1].WriteBatch([]wire.Datagram{message(stranger.LocalAddr(), 1, 0)}); err != nil {
		t.Fatal(err)
	}
	own := read(t, stranger, 1)[0].Endpoint.Addr
	short := numbered(3, lanes[0].LocalAddr())
	for _, ds := range [][]wire.Datagram{numbered(1, own), short} {
		if _, err := stranger.WriteBatch(ds); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range read(t, lanes[0], len(short)) {
		if !bytes.Equal(d.Buf, short[i].Buf) {
			t.Errorf("datagram %d = %x, want %x", i, d.Buf, short[i].Buf)
		}
	}
	if n, err := lanes[1].ReadBatch(make([]wire.Datagram, 1), 0); n != 0 || err != nil {
		t.Errorf("what was sent to the lane's own port was read: %d, %v", n, err)
	}
}

// "Offloads says why" there is only one lane.
func TestOffloadsOfLanes(t *testing.T) {
	for _, test := range []struct {
		n   int
		off udp.Off
		why string
	}{{3, udp.Off{}, ""}, {1, udp.Off{}, "the host has one processor"}, {3, udp.Off{Lanes: true}, "it was switched off"}} {
		lanes, err := udp.ListenLanes(udp.Config{Addr: loopback[0], Off: test.off}, test.n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range lanes {
			if o := c.Offloads()[2]; o.Name != "udp-lanes" || o.On != (test.why == "") || o.Why != test.why {
				t.Errorf("%d lanes, %+v: offload %+v, want why %q", test.n, test.off, o, test.why)
			}
			c.Close()
		}
		if want := map[bool]int{true: test.n, false: 1}[test.why == ""]; len(lanes) != want {
			t.Errorf("%d lanes, %+v: there are %d, want %d", test.n, test.off, len(lanes), want)
		}
	}
}

// "Another meshd's port is noticed", whether it has lanes or not.
func TestLanesOfAnotherMeshd(t *testing.T) {
	for _, there := range []int{1, 3} {
		first := listenLanes(t, udp.Config{Addr: loopback[0]}, there)[0]
		for _, n := range []int{1, 3} {
			if _, err := udp.ListenLanes(udp.Config{Addr: first.LocalAddr()}, n); !errors.Is(err, unix.EADDRINUSE) {
				t.Errorf("%d lanes where there are %d: %v, want %v", n, there, err, unix.EADDRINUSE)
			}
		}
	}
}

// "What a kernel or its limits do not let have is done without": here no more file descriptors.
func TestLanesDoneWithout(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	probe, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(probe)
	few := old
	few.Cur = uint64(probe) + 5 // two for the first lane, three for the others, which need eight
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	var logged bytes.Buffer
	lanes, err := udp.ListenLanes(udp.Config{Addr: loopback[0], Log: slog.New(slog.NewTextHandler(&logged, nil))}, 3)
	if err != nil || len(lanes) != 1 {
		t.Fatalf("ListenLanes = %d lanes, %v, want 1", len(lanes), err)
	}
	defer lanes[0].Close()
	if !bytes.Contains(logged.Bytes(), []byte("one UDP socket only")) {
		t.Errorf("logged %q", logged.String())
	}
	a := lanes[0].LocalAddr()
	if _, err := lanes[0].WriteBatch([]wire.Datagram{message(a, 1, 0)}); err != nil {
		t.Fatal(err)
	}
	read(t, lanes[0], 1)
}

// Close ends both directions of each lane.
func TestCloseLane(t *testing.T) {
	for _, c := range listenLanes(t, udp.Config{Addr: loopback[0]}, 2) {
		ended := make(chan error)
		go func() {
			_, err := c.ReadBatch(make([]wire.Datagram, 1), time.Minute)
			ended <- err
		}()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch = %v, want net.ErrClosed", err)
		}
		if _, err := c.WriteBatch(numbered(1, c.LocalAddr())); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch = %v, want net.ErrClosed", err)
		}
	}
}
