package node_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/node"
	"meshnet/meshd/offload"
	"meshnet/meshd/offload/offloadtest"
	"meshnet/meshd/path"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// pathMTU returns what m knows of the path to the member named name.
func (m *member) pathMTU(name string) session.PathMTU {
	for _, p := range m.node.Peers() {
		if p.Name == name && p.State == node.PeerUp {
			return p.PathMTU
		}
	}
	return session.PathMTU{}
}

// couple is two hosts that send each other long frames. The underlay is IPv6, which cuts nothing on the way, or IPv4.
type couple struct {
	*cluster
	a, b *member

	logged *logged // by a
}

func newCouple(t *testing.T, seed int64, is4 bool, mtu int) *couple {
	return newCoupleOf(t, seed, is4, mtu, 1)
}

// newCoupleOf is newCouple for hosts with several lanes: as many on both, or a's and b's.
func newCoupleOf(t *testing.T, seed int64, is4 bool, mtu int, lanes ...int) *couple {
	c := newCluster(t, seed)
	c.net.SetMTU(mtu)
	c.net.SetLatency(2*time.Millisecond, 20*time.Millisecond)
	x := &couple{cluster: c, a: c.add(), logged: new(logged)}
	x.a.log = x.logged
	if !is4 {
		x.a.addr = "[2001:db8::1]:7000"
	}
	x.b = c.add(x.a)
	if !is4 {
		x.b.addr = "[2001:db8::2]:7000"
	}
	x.a.lanes, x.b.lanes = lanes[0], lanes[len(lanes)-1]
	x.a.start()
	x.b.start()
	c.eventually(10*time.Second, "there is a session", c.complete)
	return x
}

// talk sends frames in both directions for d, five a second.
func (x *couple) talk(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		for i, m := range []*member{x.a, x.b} {
			m.tap.Inject(frame(broadcast, [6]byte{2, 0, 0, 0, 0, byte(i + 1)}, 1514))
		}
	}
}

// crosses sends a burst of TCP from a to b, in pieces as long as may be, and reports whether all of it arrives.
func (x *couple) crosses() bool {
	time.Sleep(time.Second)
	x.b.tap.Frames()
	p := offloadtest.Packet{Dst: broadcast, Src: [6]byte{2, 0, 0, 0, 0, 1}, Kind: offload.TCPv6, IPv6: true, Payload: 20000, Size: 1400}.Make()
	x.a.tap.InjectPacket(p)
	time.Sleep(time.Second)
	got, whole := x.b.tap.Frames(), true
	offload.Segment(nil, p, func(plain []byte) {
		whole = whole && len(got) > 0 && bytes.Equal(got[0], plain[offload.HeaderLen:])
		got = got[min(1, len(got)):]
	})
	return whole
}

// reach talks until both sides know the MTU, at most for limit.
func (x *couple) reach(limit time.Duration, mtu int, cut bool) time.Duration {
	x.t.Helper()
	began := time.Now()
	know := func(m *member, name string) bool {
		got := m.pathMTU(name)
		return got.Packet <= mtu && mtu-got.Packet <= 16 && got.Fragmented == cut
	}
	for !know(x.a, "host1") || !know(x.b, "host0") {
		if time.Since(began) > limit {
			x.t.Fatalf("not after %v: MTU %d; %+v and %+v", limit, mtu, x.a.pathMTU("host1"), x.b.pathMTU("host0"))
		}
		x.talk(200 * time.Millisecond)
	}
	return time.Since(began)
}

// "Pieces of frames are as long as the path carries", whatever that is, also with loss.
func TestPathMTUIsFound(t *testing.T) {
	for _, test := range []struct {
		is4  bool
		mtu  int
		loss float64
	}{{true, 1500, 0}, {false, 1500, 0}, {true, 9000, 0}, {false, 9000, 0}, {false, 1280, 0}, {true, 1420, 0.03}, {false, 1492, 0.03}} {
		t.Run(fmt.Sprintf("IPv4 %v, MTU %d, loss %v", test.is4, test.mtu, test.loss), func(t *testing.T) {
			seeds(t, func(t *testing.T, seed int64) {
				x := newCouple(t, seed, test.is4, test.mtu)
				defer x.close()
				x.net.SetLoss(test.loss)
				took := x.reach(30*time.Second, test.mtu, false)
				x.talk(time.Minute)
				x.net.SetLoss(0)
				x.reach(10*time.Second, test.mtu, false)
				if !x.crosses() {
					t.Error("a frame does not arrive")
				}
				t.Logf("found after %v", took)
			})
		})
	}
}

// "An IPv4 path below 1280 still works, by fragmentation", and is told to be so.
func TestPathMTUBelowBase(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, true, 576)
		defer x.close()
		x.reach(20*time.Second, 1260, true)
		if !x.crosses() {
			t.Error("a frame does not arrive")
		}
	})
}

// "A path that has become narrower, without a word from ICMP, is noticed within a few seconds", and one that is wide again within
// RaiseTime. The session lives through both.
func TestPathMTUBlackHole(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, false, 1500)
		defer x.close()
		x.reach(10*time.Second, 1500, false)
		x.net.SetMTU(1400)
		if x.crosses() {
			t.Error("a frame crosses the black hole: nothing is tested")
		}
		took := x.reach(15*time.Second, 1400, false)
		if !x.crosses() {
			t.Error("a frame does not arrive")
		}
		x.net.SetMTU(1500)
		raised := x.reach(path.RaiseTime+20*time.Second, 1500, false)
		t.Logf("from 1500 to 1400 in %v, and back in %v", took, raised)
		if n := x.a.node.Counters()["node_path_narrowed"]; n != 1 {
			t.Errorf("node_path_narrowed = %d, want 1", n)
		}
	})
}

// "A peer that answers and is silent by turns changes it every few seconds", but fills the log with a line a minute at most.
func TestChangesOfAPathAreLoggedSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCouple(t, 1, false, 1500)
		defer x.close()
		var silent atomic.Bool
		x.net.Filter(func(_, _ netip.AddrPort, b []byte) bool {
			return !silent.Load() || wire.Type(b[0]) != wire.TypeProbeAck
		})
		const minutes = 10
		for range minutes * 60 / 20 {
			x.talk(10 * time.Second)
			silent.Store(!silent.Load())
			x.talk(10 * time.Second)
			silent.Store(!silent.Load())
		}
		lines := strings.Count(x.logged.String(), "path MTU changed")
		changes := x.a.node.Counters()["node_path_narrowed"]
		if changes == 0 || lines == 0 || lines > minutes+1 {
			t.Errorf("%d lines in %d minutes for %d falls, want some, and a line a minute at most", lines, minutes, changes)
		}
	})
}

// Each direction has its own MTU.
func TestPathMTUOfEachDirection(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, false, 1500)
		defer x.close()
		x.net.SetLinkMTU(x.b.host.LocalAddr(), x.a.host.LocalAddr(), 1400)
		x.talk(10 * time.Second)
		if to, back := x.a.pathMTU("host1").Packet, x.b.pathMTU("host0").Packet; to != 1500 || back != 1400 {
			t.Errorf("MTU from a to b = %d, back = %d, want 1500 and 1400", to, back)
		}
	})
}

// A device of this host with a smaller MTU is known at once, without a probe.
func TestPathMTUOfTheDevice(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, true, 0)
		defer x.close()
		x.a.host.SetMTU(1500)
		x.b.host.SetMTU(1500)
		x.net.SetMTU(1500)
		took := x.reach(5*time.Second, 1500, false)
		if took > 2*time.Second {
			t.Errorf("found after %v, want 2 s at most", took)
		}
	})
}

// "Idle sessions cost no probes", and neither do short frames.
func TestIdleSessionsAreNotProbed(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, true, 1500)
		defer x.close()
		probes := x.probes()
		for range 60 {
			x.a.tap.Inject(frame(broadcast, [6]byte{2, 0, 0, 0, 0, 1}, 200))
			time.Sleep(time.Second)
		}
		if n := probes(); n != 0 {
			t.Errorf("probes in a minute of short frames = %d, want 0", n)
		}
		x.reach(10*time.Second, 1500, false)
		time.Sleep(10 * time.Second)
		before := probes()
		time.Sleep(10 * time.Minute)
		if n := probes() - before; n != 0 {
			t.Errorf("probes in ten idle minutes = %d, want 0", n)
		}
	})
}

// probes counts the sealed messages of types 9 and 10 from now on.
func (x *couple) probes() (count func() int) {
	counts := make(chan int, 1)
	counts <- 0
	x.net.Tap(func(e netsim.Event) {
		if t := wire.Type(e.Datagram[0]); t == wire.TypeProbe || t == wire.TypeProbeAck {
			counts <- <-counts + 1
		}
	})
	return func() int {
		n := <-counts
		counts <- n
		return n
	}
}

// A peer that moves is found at another path, which is probed anew.
func TestPathMTUAfterRoaming(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCouple(t, seed, false, 1500)
		defer x.close()
		x.reach(10*time.Second, 1500, false)
		// b's host goes on at another address, behind a narrower path, with all its sessions.
		from := x.b.host.LocalAddr()
		to := netip.MustParseAddrPort("[2001:db8::77]:7000")
		nat := x.net.Host(to.String())
		defer nat.Close()
		x.net.Cut(from, x.a.host.LocalAddr())
		x.net.SetLinkMTU(x.a.host.LocalAddr(), to, 1400)
		x.net.SetLinkMTU(to, x.a.host.LocalAddr(), 1400)
		x.net.Tap(func(e netsim.Event) { // b's datagrams leave from there
			if e.From == from && e.To == x.a.host.LocalAddr() && e.Fate == netsim.Partitioned && len(e.Datagram) <= 1352 {
				x.net.Send(to, e.To, e.Datagram)
			}
		})
		forwarded := make(chan struct{})
		go func() { // and a's come in there
			defer close(forwarded)
			ds := []wire.Datagram{{}}
			for {
				if _, err := nat.ReadBatch(ds, -1); err != nil {
					return
				}
				x.net.Send(x.a.host.LocalAddr(), from, ds[0].Buf)
			}
		}()
		x.eventually(30*time.Second, "a sends to b's new address, in datagrams that every path carries", func() bool {
			x.talk(200 * time.Millisecond)
			for _, p := range x.a.node.Peers() {
				if p.Endpoint == to && p.PathMTU.Datagram < 1452 {
					return true
				}
			}
			return false
		})
		x.eventually(20*time.Second, "a knows the new path's MTU", func() bool {
			x.talk(200 * time.Millisecond)
			return x.a.pathMTU("host1").Packet == 1400
		})
		nat.Close()
		<-forwarded
	})
}
