package mesh

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// carry says how long datagrams from a to b may be.
func carry(a, b *host, datagram int) {
	a.machine.Session(b.id).SetPathMTU(session.PathMTU{Datagram: datagram})
}

// "A piece is at most 1,200 bytes unless the sender knows that the path carries more": pieces follow the session, and the headers
// of a burst are sent twice only if it takes several.
func TestPiecesFollowThePath(t *testing.T) {
	x := newPair(t)
	for _, datagram := range []int{wire.MaxDatagram, 1252, 1452, 1472, 8952, 8972, wire.MaxDatagram} {
		carry(x.a, x.b, datagram)
		room := datagram - wire.Overhead
		for _, p := range [][]byte{
			packets(plain(macB, macA, 60, 1))[0],
			packets(plain(macB, macA, 1514, 1))[0],
			packets(plain(macB, macA, min(room, 1518), 1))[0],
			super(1428+1, 1), super(room-offload.HeaderLen-86, 2), super(room-offload.HeaderLen-86+1, 3), super(20000, 4), super(65000, 5),
		} {
			ds := x.send(p)
			whole := newPayload(bytes.Clone(p))
			want := len(whole.bytes)
			if want > room && whole.repeated != nil {
				want = len(whole.repeated)
			}
			if pieces := (want + room - 1) / room; len(ds) != pieces {
				t.Errorf("datagrams of %d bytes: %d pieces of a payload of %d, want %d", datagram, len(ds), want, pieces)
			}
			got := 0
			for _, d := range ds {
				if len(d.Buf) > datagram {
					t.Errorf("datagram of %d bytes where %d pass", len(d.Buf), datagram)
				}
				got += len(d.Buf) - wire.Overhead
			}
			if got != want {
				t.Errorf("datagrams of %d bytes: payload of %d, want %d", datagram, got, want)
			}
			x.receive(t, ds...)
			x.b.wantFrames(t, fmt.Sprintf("%d bytes in datagrams of %d", len(p), datagram), plainFrames(p)...)
		}
	}
	x.b.wantCount(t, "piece_malformed", 0)
}

// A frame for everybody is cut for each peer by itself.
func TestReplicateToPathsThatDiffer(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 5, 1500)
	a := hosts[0]
	sizes := []int{1232, 8972, 1472, 1252}
	for i, n := range sizes {
		carry(a, hosts[i+1], n)
	}
	for _, p := range [][]byte{super(1400, 6), super(3000, 7), super(40000, 8), packets(plain(broadcast, macA, 1514, 2))[0]} {
		copy(p[offload.HeaderLen:], broadcast[:])
		a.out.batch(now, [][]byte{bytes.Clone(p)[:len(p)]})
		for _, d := range a.under.sent {
			for i, h := range hosts[1:] {
				if d.Endpoint.Addr == h.endpoint && len(d.Buf) > sizes[i] {
					t.Errorf("datagram of %d bytes to a peer where %d pass", len(d.Buf), sizes[i])
				}
			}
		}
		a.deliver(t, now, hosts[1:]...)
		for i, h := range hosts[1:] {
			h.wantFrames(t, fmt.Sprintf("packet of %d bytes, datagrams of %d", len(p), sizes[i]), plainFrames(p)...)
			h.wantCount(t, "piece_malformed", 0)
		}
	}
}

// "Frames for which the path's MTU matters" are those longer than what every path carries in one datagram.
func TestLongFramesAreNoticed(t *testing.T) {
	x := newPair(t)
	s := x.a.machine.Session(x.b.id)
	x.send(packets(plain(macB, macA, wire.MaxPayload, 1))[0])
	if at := s.LastLong(); !at.IsZero() {
		t.Errorf("a frame of %d bytes is a long one, at %v", wire.MaxPayload, at)
	}
	x.now = x.now.Add(time.Minute)
	x.send(packets(plain(macB, macA, wire.MaxPayload+1, 1))[0])
	if at := s.LastLong(); !at.Equal(x.now) {
		t.Errorf("the last long frame was at %v, want %v", at, x.now)
	}
}

func TestLongPiecesDoNotAllocate(t *testing.T) {
	hosts := newPath(t, 2)
	hosts[1].in = hosts[1].sw.NewInbound(&sink{})
	hosts[0].out.under = &loop{to: hosts[1]}
	frames := [][]byte{super(burst, 1), super(burst, 2)}
	for _, datagram := range []int{1472, 8972} {
		carry(hosts[0], hosts[1], datagram)
		if got := testing.AllocsPerRun(100, func() { hosts[0].out.batch(time.Now(), frames) }); got != 0 {
			t.Errorf("datagrams of %d bytes: allocations per batch = %v, want 0", datagram, got)
		}
	}
	if n := hosts[0].count("underlay_write"); n != 0 {
		t.Errorf("datagrams lost = %d", n)
	}
}
