package path

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// world is a path on fake time, and the peer at its end.
type world struct {
	t      *testing.T
	p      *Path
	now    time.Time
	began  time.Time
	mtu    int           // of the path, bytes of IP packet
	device int           // of this host's own device, the same
	rtt    time.Duration //
	dead   bool          // nothing passes
	deaf   bool          // only probes are lost, whatever their size: the peer is heard
	active bool
	heard  time.Time
	lose   func(probe wire.Probe) bool // loses further probes
	acks   []arrival
	sent   []int // sizes of the probes that left the host, as IP packets
	log    []string
	state  string
}

type arrival struct {
	at  time.Time
	ack wire.Probe
}

func newWorld(t *testing.T, is4 bool, mtu int) *world {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &world{t: t, p: New(is4), now: now, began: now, mtu: mtu, device: 1 << 16, rtt: 10 * time.Millisecond, active: true, heard: now}
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); ; w.now = w.next(end) {
		w.arrive()
		w.advance()
		if !w.now.Before(end) {
			return
		}
	}
}

// next returns when something happens next, at most end.
func (w *world) next(end time.Time) time.Time {
	if due := w.p.Next(); due.After(w.now) && due.Before(end) {
		end = due
	}
	for _, a := range w.acks {
		if a.at.After(w.now) && a.at.Before(end) {
			end = a.at
		}
	}
	return end
}

// until lets time pass until ok, at most d.
func (w *world) until(d time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	began := w.now
	for !ok() {
		if w.now.Sub(began) > d {
			w.t.Fatalf("not after %v: %s; %v, MTU %d\n%s", d, what, w.p.State(), w.p.Packet(), strings.Join(w.log, "\n"))
		}
		w.run(w.next(w.now.Add(20 * time.Millisecond)).Sub(w.now))
	}
	return w.now.Sub(began)
}

// settles lets time pass until the machine is Complete with the MTU, at most d.
func (w *world) settles(d time.Duration, mtu int) time.Duration {
	w.t.Helper()
	return w.until(d, fmt.Sprintf("the MTU found is %d", mtu), func() bool { return w.p.State() == Complete && w.p.Packet() == mtu })
}

// arrive delivers what is due from the peer.
func (w *world) arrive() {
	w.acks = slices.DeleteFunc(w.acks, func(a arrival) bool {
		if a.at.After(w.now) {
			return false
		}
		w.heard = w.now
		w.note("acknowledged: %d", a.ack.Size+w.p.headers)
		w.p.Acked(w.now, a.ack)
		return true
	})
	if w.deaf {
		w.heard = w.now
	}
}

func (w *world) advance() {
	for range 100 {
		probe, send := w.p.Advance(w.now, w.active, w.heard)
		if state := fmt.Sprintf("%v at %d", w.p.State(), w.p.Packet()); state != w.state {
			w.state = state
			w.note("%s", state)
		}
		if !send {
			return
		}
		w.take(probe)
	}
	w.t.Fatalf("Advance wants to be called for ever\n%s", strings.Join(w.log, "\n"))
}

// take carries a probe.
func (w *world) take(probe wire.Probe) {
	packet := probe.Size + w.p.headers
	if packet > w.device {
		w.note("too long for the device: %d", packet)
		w.p.TooLong(w.now, probe.Number)
		return
	}
	w.sent = append(w.sent, packet)
	w.note("probe: %d", packet)
	if w.dead || w.deaf || packet > w.mtu || w.lose != nil && w.lose(probe) {
		return
	}
	w.acks = append(w.acks, arrival{w.now.Add(w.rtt), probe})
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f ", w.now.Sub(w.began).Seconds())+fmt.Sprintf(format, args...))
}
