package hub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
)

// A waiter is a Network whose Flush wants to be called again, as its script says, and notes when it was called.
type waiter struct {
	began  time.Time
	again  []time.Duration // what Flush returns, one by one; then 0
	calls  []time.Duration // when Flush was called, since began
	sealed int
}

func (*waiter) Handshake(wire.Endpoint, []byte)                {}
func (w *waiter) NewReceiver() Receiver                        { return w }
func (w *waiter) Sealed(time.Time, wire.Header, wire.Datagram) { w.sealed++ }
func (w *waiter) Flush(now time.Time) (again time.Duration) {
	w.calls = append(w.calls, now.Sub(w.began))
	if len(w.again) > 0 {
		again, w.again = w.again[0], w.again[1:]
	}
	return again
}

// "It returns after how long it wants to be called again even if nothing comes; 0 means not at all."
func TestFlushAgain(t *testing.T) {
	const ms = time.Millisecond
	type arrival struct {
		at time.Duration
		to int // network
	}
	tests := []struct {
		name     string
		again    [2][]time.Duration // of each network
		arrivals []arrival
		want     [2][]time.Duration // when each is flushed
	}{
		{"nobody waits", [2][]time.Duration{}, []arrival{{1 * ms, 0}, {9 * ms, 0}}, [2][]time.Duration{{1 * ms, 9 * ms}, nil}},
		{"one waits, nothing comes", [2][]time.Duration{{3 * ms}}, []arrival{{1 * ms, 0}}, [2][]time.Duration{{1 * ms, 4 * ms}, nil}},
		{"it waits on", [2][]time.Duration{{3 * ms, 5 * ms, 7 * ms}}, []arrival{{0, 0}},
			[2][]time.Duration{{0, 3 * ms, 8 * ms, 15 * ms}, nil}},
		{"both wait, each is called with the sooner", [2][]time.Duration{{10 * ms, 5 * ms}, {4 * ms}}, []arrival{{0, 0}, {1 * ms, 1}},
			[2][]time.Duration{{0, 1 * ms, 5 * ms}, {1 * ms, 5 * ms}}},
		{"what comes for the other does not put it off", [2][]time.Duration{{3 * ms, 3 * ms, 2 * ms}}, []arrival{{0, 0}, {2 * ms, 1}},
			[2][]time.Duration{{0, 2 * ms, 5 * ms, 7 * ms}, {2 * ms}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSocket("192.0.2.1:7000")
				h := New([][]Socket{{s}}, slog.New(slog.DiscardHandler))
				var networks [2]*waiter
				var slots [2]uint8
				for i := range networks {
					networks[i] = &waiter{began: time.Now(), again: tt.again[i]}
					slots[i] = add(t, h, networks[i])
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- h.Run(ctx) }()
				began := time.Now()
				for i, a := range tt.arrivals {
					time.Sleep(a.at - time.Since(began))
					s.arrives <- []wire.Datagram{sealed(slots[a.to], uint64(i))}
				}
				time.Sleep(time.Hour)
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run = %v", err)
				}
				for i, n := range networks {
					if !slices.Equal(n.calls, tt.want[i]) {
						t.Errorf("network %d was flushed after %v, want %v", i, fmt.Sprint(n.calls), tt.want[i])
					}
				}
			})
		})
	}
}

// A network that has gone while it waited is not called any more, and nobody waits for it.
func TestFlushAfterRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSocket("192.0.2.1:7000")
		h := New([][]Socket{{s}}, slog.New(slog.DiscardHandler))
		n := &waiter{began: time.Now(), again: []time.Duration{time.Second, time.Second}}
		slot := add(t, h, n)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		s.arrives <- []wire.Datagram{sealed(slot, 1)}
		synctest.Wait()
		h.Remove(slot)
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if len(n.calls) != 1 {
			t.Errorf("flushed after %v, want once", n.calls)
		}
	})
}
