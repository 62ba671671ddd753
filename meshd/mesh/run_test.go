package mesh

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/session"
	"meshnet/test/netsim"
)

func TestRunOutboundEnds(t *testing.T) {
	broken := errors.New("file descriptor in bad state")
	tests := []struct {
		name string
		end  func(cancel context.CancelFunc, tap *netsim.TAP)
		tap  func(*netsim.TAP) TAP
		want error
	}{
		{"when ctx is cancelled", func(cancel context.CancelFunc, _ *netsim.TAP) { cancel() }, asTAP, nil},
		{"when the TAP is closed", func(_ context.CancelFunc, tap *netsim.TAP) { tap.Close() }, asTAP, nil},
		{"when the TAP's file is closed", func(context.CancelFunc, *netsim.TAP) {}, failing(os.ErrClosed), nil},
		{"with the error of the TAP", func(context.CancelFunc, *netsim.TAP) {}, failing(broken), broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hosts := newHosts(t, time.Now(), 2, 1500)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tap := netsim.NewTAP()
				ended := make(chan error, 1)
				go func() { ended <- hosts[0].sw.RunOutbound(ctx, 0, test.tap(tap), &void{}) }()
				synctest.Wait()
				test.end(cancel, tap)
				if err := <-ended; !errors.Is(err, test.want) {
					t.Errorf("RunOutbound() error = %v, want %v", err, test.want)
				}
				synctest.Wait() // and nothing is left behind
			})
		})
	}
}

func TestRunOutboundClosesTheTAPWhenCtxEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tap := netsim.NewTAP()
	a := newHosts(t, time.Now(), 2, 1500)[0]
	if err := a.sw.RunOutbound(ctx, 0, tap, &void{}); err != nil {
		t.Errorf("RunOutbound() error = %v, want nil", err)
	}
	if _, err := tap.ReadBatch(make([][]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch() error afterwards = %v, want %v", err, net.ErrClosed)
	}
}

func asTAP(tap *netsim.TAP) TAP { return tap }

func failing(err error) func(*netsim.TAP) TAP {
	return func(tap *netsim.TAP) TAP { return failingTAP{tap, err} }
}

// failingTAP is a TAP of which every read fails.
type failingTAP struct {
	TAP
	err error
}

func (t failingTAP) ReadBatch([][]byte) (int, error) { return 0, t.err }

func TestRunOutboundCarriesFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		hosts := newHosts(t, now, 2, 1500)
		a, b := hosts[0], hosts[1]
		tap := netsim.NewTAP()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := a.sw.RunOutbound(t.Context(), 0, tap, a.under); err != nil {
				t.Errorf("RunOutbound() error = %v", err)
			}
		})
		want := [][]byte{plain(broadcast, macA, 1514, 1), plain(broadcast, macA, 60, 2)}
		for _, f := range append(want, plain(broadcast, macA, 1600, 3)) { // the last is cut off by the TAP
			tap.Inject(f)
		}
		synctest.Wait()
		tap.Close()
		wg.Wait()
		a.deliver(t, now, b)
		b.wantFrames(t, "arrived", want...)
		a.wantCount(t, "frame_long", 1)
		a.wantCount(t, "outbound_frames", 3)
	})
}

// TestControlPublishesWhileFramesFlow is for the race detector: two goroutines read the TAP, two receive, and control
// changes everything that it can meanwhile.
func TestControlPublishesWhileFramesFlow(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500)
	a, b, c := hosts[0], hosts[1], hosts[2]
	queue := make(chan report, 64)
	a.sw.report, b.sw.report, c.sw.report = chanReport(queue), discard{}, discard{}
	sessions := []*session.Session{a.machine.Session(b.id), a.machine.Session(c.id)}

	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { // from the TAP
			o := newOutbound(a.sw, 0, &void{})
			for n := 0; !stop.Load(); n++ {
				o.batch(time.Now(), packets(plain(broadcast, mac(n%100), 1514, 1), plain(mac(1000+n%100), macA, 60, byte(i))))
			}
		})
	}
	for _, from := range []*host{b, c} {
		wg.Go(func() { // from a peer
			o := newOutbound(from.sw, 0, &loop{to: &host{member: a.member, in: a.sw.NewInbound(&sink{})}})
			for n := 0; !stop.Load(); n++ {
				o.batch(time.Now(), packets(plain(broadcast, mac(1000+n%100), 1514, 1), plain(mac(n%100), macB, 60, 2)))
			}
		})
	}
	for i := range 2000 {
		now = now.Add(10 * time.Millisecond)
		switch i % 8 {
		case 0:
			a.sw.SetPeers(sessions[:i/8%3])
		case 3:
			a.sw.RemovePeer(b.id)
		case 5:
			a.sw.Neighbours(map[MAC]session.NodeID{mac(i % 100): a.id, mac(1000 + i%100): c.id})
		case 7:
			a.sw.FDB(now)
			a.sw.Counters().Snapshot()
		default:
			select {
			case r := <-queue:
				a.sw.Learn(now, r.mac, r.node)
			default:
			}
		}
		a.sw.Advance(now)
	}
	stop.Store(true)
	wg.Wait()
}

// chanReport is a Report into a channel.
type chanReport chan report

func (c chanReport) Learn(mac MAC, node session.NodeID) bool {
	select {
	case c <- report{mac, node}:
		return true
	default:
		return false
	}
}
