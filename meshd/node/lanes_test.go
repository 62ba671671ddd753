package node_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"meshnet/meshd/node"
	"meshnet/meshd/path"
	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// lanesUsed returns how many lanes m uses to the other.
func lanesUsed(m *member) int {
	for _, p := range m.node.Peers() {
		if p.State == node.PeerUp {
			return p.Lanes
		}
	}
	return 0
}

// carry injects a frame into a's queue, and returns whether it arrives and the port that it left by. used is where frames left by last.
func (x *couple) carry(queue int, used *atomic.Value) (arrives bool, port netip.AddrPort) {
	x.b.tap.Frames()
	f := frame(broadcast, [6]byte{2, 0, 0, 0, 0, 1}, 1000+queue) // not long: it takes the lane that is open
	x.a.queues[queue].Inject(f)
	time.Sleep(time.Second)
	for _, got := range x.b.tap.Frames() {
		arrives = arrives || bytes.Equal(got, f)
	}
	return arrives, used.Load().(netip.AddrPort)
}

// "While long frames go to a peer, they go by several lanes if these pass": each queue by its own. One that stops passing is left within
// seconds, and taken up again; nothing moves the endpoint.
func TestLanes(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		x := newCoupleOf(t, seed, true, 1500, 3)
		defer x.close()
		var used atomic.Value // a netip.AddrPort
		x.net.Tap(func(e netsim.Event) {
			if wire.Type(e.Datagram[0]) == wire.TypeFrame {
				used.Store(e.From)
			}
		})
		endpoint := x.a.node.Peers()[0].Endpoint

		want := func(when string, lanes int, ports ...int) {
			t.Helper()
			if n := lanesUsed(x.a); n != lanes {
				t.Fatalf("%s: %d lanes are used, want %d", when, n, lanes)
			}
			for queue, lane := range ports {
				if arrives, port := x.carry(queue, &used); !arrives || port != x.a.port(lane) {
					t.Errorf("%s: a frame of queue %d left by %v, arrives: %v; want %v", when, queue, port, arrives, x.a.port(lane))
				}
			}
		}
		want("before there were long frames", 1, 0, 0, 0)
		x.talk(5 * time.Second)
		want("while there are", 3, 0, 1, 2)
		x.net.Cut(x.a.port(2), x.b.port(0))
		x.talk(path.ConfirmInterval + (path.MaxProbes+1)*path.ConfirmTimeout)
		want("after one was cut", 2, 0, 1, 0)
		x.net.Heal()
		x.talk(path.LaneRetryTime)
		want("a minute after it was healed", 3, 0, 1, 2)
		time.Sleep(path.ActiveTime + 2*time.Second)
		want("without long frames", 1, 0, 0, 0)
		if e := x.b.node.Peers()[0].Endpoint; e != x.a.port(0) || x.a.node.Peers()[0].Endpoint != endpoint {
			t.Errorf("the endpoint moved to %v", e)
		}
	})
}

// A peer that does not know of lanes, or has but one socket, gets all by the first, or reads all by it.
func TestLanesOfOneSide(t *testing.T) {
	for _, lanes := range [][2]int{{1, 4}, {4, 1}} {
		t.Run(fmt.Sprint(lanes), func(t *testing.T) {
			seeds(t, func(t *testing.T, seed int64) {
				x := newCoupleOf(t, seed, false, 1500, lanes[0], lanes[1])
				defer x.close()
				x.net.SetLoss(0.01)
				x.talk(20 * time.Second)
				x.net.SetLoss(0)
				x.talk(time.Second)
				if a, b := lanesUsed(x.a), lanesUsed(x.b); a != lanes[0] || b != lanes[1] {
					t.Errorf("lanes used: %d and %d, want %d and %d", a, b, lanes[0], lanes[1])
				}
				if !x.crosses() {
					t.Error("a frame does not arrive")
				}
			})
		})
	}
}
