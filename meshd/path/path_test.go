package path

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// "The largest usual size; then one that is just a little larger; then what is half way": what is found, how soon, and by how many
// probes.
func TestSearch(t *testing.T) {
	for _, test := range []struct {
		name        string
		is4         bool
		mtu, device int
		want        int
		within      time.Duration
		probes      int // at most
	}{
		{"Ethernet, IPv4", true, 1500, 1500, 1500, 500 * time.Millisecond, 4},
		{"Ethernet, IPv6", false, 1500, 1500, 1500, 500 * time.Millisecond, 4},
		{"jumbo frames, IPv4", true, 9000, 9000, 9000, 500 * time.Millisecond, 4},
		{"jumbo frames, IPv6", false, 9000, 9000, 9000, 500 * time.Millisecond, 4},
		{"a device of a cloud, Ethernet behind", true, 1500, 9001, 1500, 2 * time.Second, 12},
		{"PPPoE", true, 1492, 1500, 1492, 2 * time.Second, 12},
		{"Google's cloud", true, 1460, 1500, 1460, 4 * time.Second, 16},
		{"through WireGuard", false, 1420, 1500, 1420, 4 * time.Second, 20},
		{"through a tunnel", false, 1400, 1500, 1400, 4 * time.Second, 24},
		{"through a tunnel, jumbo device", false, 1400, 9001, 1400, 6 * time.Second, 28},
		{"an odd MTU", true, 1477, 1500, 1476, 4 * time.Second, 20},
		{"an odd MTU of jumbo frames", true, 8896, 9001, 8880, 8 * time.Second, 50},
		{"IPv6's minimum", false, 1280, 1500, 1280, 8 * time.Second, 30},
		{"IPv6's minimum with IPv4", true, 1280, 1500, 1280, 8 * time.Second, 30},
		{"a device of the minimum", false, 1280, 1280, 1280, 100 * time.Millisecond, 1},
		{"just Base with IPv4", true, 1260, 1500, 1260, 8 * time.Second, 34},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.is4, test.mtu)
			w.device = test.device
			took := w.until(test.within, "the search ends", func() bool { return w.p.State() == Complete })
			if got := w.p.Packet(); got > test.mtu || test.mtu-got > granularity || got < test.want {
				t.Errorf("MTU found = %d, want %d\n%s", got, test.want, strings.Join(w.log, "\n"))
			}
			if len(w.sent) > test.probes {
				t.Errorf("probes = %d, want at most %d\n%s", len(w.sent), test.probes, strings.Join(w.log, "\n"))
			}
			t.Logf("%d after %v, %d probes", w.p.Packet(), took, len(w.sent))
		})
	}
}

// Whatever a path carries is found up to granularity, without loss and with.
func TestSearchFindsEveryMTU(t *testing.T) {
	for mtu := 1280; mtu <= maxPacket; mtu += 37 {
		for _, is4 := range []bool{true, false} {
			w := newWorld(t, is4, mtu)
			w.until(30*time.Second, "the search ends", func() bool { return w.p.State() == Complete })
			if got := w.p.Packet(); got > mtu || mtu-got > granularity {
				t.Errorf("IPv4 %v, MTU %d: found %d", is4, mtu, got)
			}
		}
	}
}

// "Loss of single probes must not lower": of three, any two are lost.
func TestSingleLossesChangeNothing(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.device = 1500
	w.lose = func(p wire.Probe) bool { return w.p.probe.count < MaxProbes }
	w.until(10*time.Second, "the path is known", func() bool { return w.p.State() == Complete })
	if w.p.Packet() != 1500 {
		t.Fatalf("MTU found = %d, want 1500\n%s", w.p.Packet(), strings.Join(w.log, "\n"))
	}
	for range 600 {
		w.run(time.Second)
		if w.p.Packet() != 1500 {
			t.Fatalf("fell to %d\n%s", w.p.Packet(), strings.Join(w.log[len(w.log)-10:], "\n"))
		}
	}
}

// "A black hole is noticed within a few seconds; the size falls back to Base at once and is searched again."
func TestBlackHole(t *testing.T) {
	for _, test := range []struct{ before, after int }{{1500, 1400}, {9000, 1500}, {9000, 1280}, {1500, 1300}, {1420, 1280}} {
		w := newWorld(t, false, test.before)
		w.settles(10*time.Second, test.before)
		w.run(time.Minute)
		w.mtu = test.after
		fell := w.until(6*time.Second, "Base is used", func() bool { return w.p.Size() == Base })
		w.until(15*time.Second, "the search ends", func() bool { return w.p.State() == Complete })
		if got := w.p.Packet(); got > test.after || test.after-got > granularity {
			t.Errorf("from %d to %d: found %d", test.before, test.after, got)
		}
		t.Logf("from %d to %d: Base after %v, %d after %v", test.before, test.after, fell, w.p.Packet(), w.now.Sub(w.began))
	}
}

// "Larger sizes are tried again after RaiseTime", and nothing is given up for it.
func TestRaise(t *testing.T) {
	w := newWorld(t, true, 1400)
	w.settles(10*time.Second, 1400)
	w.mtu = 1500
	w.run(RaiseTime - 5*time.Second)
	if w.p.Packet() != 1400 {
		t.Errorf("MTU before RaiseTime = %d, want 1400", w.p.Packet())
	}
	w.settles(15*time.Second, 1500)
	w.run(RaiseTime - 20*time.Second)
	for range 1000 { // this time in vain
		w.run(20 * time.Millisecond)
		if w.p.Packet() != 1500 {
			t.Fatalf("fell to %d while larger sizes were tried", w.p.Packet())
		}
	}
}

// A path whose MTU changes to and fro is never used above what it carries for longer than a few seconds, and costs few probes.
func TestFlapping(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.device = 1500
	random := rand.New(rand.NewPCG(1, 2))
	var over time.Duration
	for range 200 {
		w.mtu = []int{1500, 1400, 1280}[random.IntN(3)]
		for until := w.now.Add(time.Duration(random.IntN(20)) * time.Second); w.now.Before(until); {
			before := w.now
			w.run(50 * time.Millisecond)
			if w.p.Packet() <= w.mtu {
				over = 0
			} else if over += w.now.Sub(before); over > 6*time.Second {
				t.Fatalf("%d is used for %v where %d passes\n%s", w.p.Packet(), over, w.mtu, strings.Join(w.log[len(w.log)-30:], "\n"))
			}
		}
	}
	if rate := float64(len(w.sent)) / w.now.Sub(w.began).Seconds(); rate > 4 {
		t.Errorf("%.1f probes a second", rate)
	}
}

// "Degraded: not even Base passes whole": IPv4 with an MTU of 576, or a peer that does not answer probes.
func TestDegraded(t *testing.T) {
	w := newWorld(t, true, 576)
	w.deaf = true
	w.until(5*time.Second, "the path is degraded", func() bool { return w.p.State() == Degraded })
	if w.p.Size() != Base {
		t.Errorf("size = %d, want Base", w.p.Size())
	}
	sent := len(w.sent)
	w.run(5 * time.Minute)
	if n := len(w.sent) - sent; n > 5*MaxProbes {
		t.Errorf("%d probes in 5 minutes, want %d at most", n, 5*MaxProbes)
	}
	w.deaf, w.mtu = false, 1500
	w.settles(DegradedTime+10*time.Second, 1500)
}

// A device of this host that is narrower than Base, or becomes narrower, is known at once.
func TestTooLongForTheDevice(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.device = 576
	w.run(0)
	if w.p.State() != Degraded || len(w.sent) > 0 {
		t.Errorf("%v after %d probes, want degraded after none", w.p.State(), len(w.sent))
	}
	w = newWorld(t, true, 9000)
	w.settles(time.Second, 9000)
	w.device = 1500
	w.until(ConfirmInterval, "the size fell", func() bool { return w.p.Packet() <= 1500 })
	w.settles(time.Second, 1500)
}

// While nothing at all passes nothing is concluded about sizes, and few probes are sent: the session will end or go on.
func TestDeadPath(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.device = 1500
	w.dead = true
	w.run(time.Minute)
	if w.p.State() != BaseState || len(w.sent) > 30 {
		t.Errorf("%v after %d probes, want base", w.p.State(), len(w.sent))
	}
	w.dead = false
	w.settles(10*time.Second, 1500)
	for _, pause := range []time.Duration{500 * time.Millisecond, 3 * time.Second, time.Minute} {
		w.dead = true
		w.run(pause)
		w.dead = false
		w.settles(15*time.Second, 1500)
	}
}

// A path that goes dead in the middle of a search does not look narrow afterwards.
func TestDeadDuringTheSearch(t *testing.T) {
	for dead := 10 * time.Millisecond; dead < 3*time.Second; dead += 70 * time.Millisecond {
		w := newWorld(t, false, 1420)
		w.run(dead)
		w.dead = true
		w.run(4 * time.Second)
		w.dead = false
		w.settles(20*time.Second, 1420)
	}
}

// "Without long frames the path costs nothing, and what is known of it stays."
func TestIdle(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.active = false
	w.run(time.Hour)
	if len(w.sent) != 0 {
		t.Errorf("probes of an idle path = %v, want none", w.sent)
	}
	w.active = true
	w.run(15 * time.Millisecond) // into the search
	w.active = false
	sent := len(w.sent)
	w.run(time.Hour)
	if len(w.sent) != sent || !w.p.Next().IsZero() {
		t.Errorf("%d probes of a path that fell idle; Next() = %v", len(w.sent)-sent, w.p.Next())
	}
	w.active = true
	w.settles(5*time.Second, 1500)
	w.active = false
	w.run(time.Hour)
	if w.p.Packet() != 1500 {
		t.Errorf("MTU after an hour without frames = %d, want 1500", w.p.Packet())
	}
	// The path became narrower meanwhile.
	w.mtu, w.active = 1400, true
	w.until(4*time.Second, "Base is used", func() bool { return w.p.Size() == Base })
	w.settles(10*time.Second, 1400)
}

// "Acknowledgements of earlier probes do not count": the peer has moved.
func TestRestart(t *testing.T) {
	w := newWorld(t, true, 9000)
	w.rtt = 100 * time.Millisecond
	w.until(time.Second, "the largest size is being probed", func() bool { return len(w.sent) == 2 })
	late := w.acks[len(w.acks)-1].ack
	w.mtu = 1280
	w.p.Restart(false)
	if w.p.Size() != Base || w.p.Packet() != 1280 || w.p.State() != BaseState {
		t.Fatalf("after Restart %v at %d", w.p.State(), w.p.Size())
	}
	if w.p.Acked(w.now, late) {
		t.Error("an acknowledgement of a probe to the endpoint of before counts")
	}
	w.acks = nil
	w.settles(10*time.Second, 1280)
}

// Only what answers a probe of this path, once and in time, counts.
func TestForgedAcks(t *testing.T) {
	w := newWorld(t, true, 1500)
	w.lose = func(wire.Probe) bool { return true }
	w.until(time.Second, "Base is probed", func() bool { return len(w.sent) == 1 })
	number := w.p.number
	for _, test := range []struct {
		name string
		ack  wire.Probe
		want bool
	}{
		{"of another size", wire.Probe{Number: number, Size: 8972}, false},
		{"of a probe to come", wire.Probe{Number: number + 1, Size: Base}, false},
		{"of a probe to come, same place", wire.Probe{Number: number + memory, Size: Base}, false},
		{"of none", wire.Probe{}, false},
		{"number 0", wire.Probe{Number: 0, Size: Base}, false},
		{"the true one", wire.Probe{Number: number, Size: Base}, true},
		{"again", wire.Probe{Number: number, Size: Base}, false},
	} {
		if got := w.p.Acked(w.now, test.ack); got != test.want {
			t.Errorf("acknowledgement %s: Acked(%+v) = %v, want %v", test.name, test.ack, got, test.want)
		}
	}
	w = newWorld(t, true, 1500)
	w.lose = func(wire.Probe) bool { return true }
	w.until(time.Second, "Base is probed", func() bool { return len(w.sent) == 1 })
	if w.p.Acked(w.now.Add(AckTime+time.Second), wire.Probe{Number: w.p.number, Size: Base}) {
		t.Error("an acknowledgement after AckTime counts")
	}
}

// Acknowledgements that overtake each other, or come after their size was given up, show that it passes all the same.
func TestLateAcks(t *testing.T) {
	for _, rtt := range []time.Duration{500 * time.Millisecond, 900 * time.Millisecond, 1400 * time.Millisecond, 2500 * time.Millisecond} {
		w := newWorld(t, true, 1500)
		w.device, w.rtt = 1500, rtt
		w.settles(30*time.Second, 1500)
	}
	w := newWorld(t, true, 1500)
	w.device = 1500
	w.settles(time.Second, 1500)
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 { // a queue that grows and shrinks
		w.rtt = time.Duration(random.IntN(2500)) * time.Millisecond
		w.run(100 * time.Millisecond)
		if w.p.Packet() != 1500 {
			t.Fatalf("fell to %d\n%s", w.p.Packet(), strings.Join(w.log[len(w.log)-20:], "\n"))
		}
	}
}

// Random loss on random paths: what is used at last is what passes, and no more than a few probes a second are sent.
func TestSeeds(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 5))
		w := newWorld(t, seed%2 == 0, 1280+random.IntN(8000))
		w.device = w.mtu + random.IntN(2)*random.IntN(9000)
		w.rtt = time.Duration(1+random.IntN(200)) * time.Millisecond
		loss := random.Float64() * 0.2
		w.lose = func(wire.Probe) bool { return random.Float64() < loss }
		w.run(2 * time.Minute)
		if w.p.Packet() > w.mtu {
			t.Errorf("seed %d: %d is used where %d passes", seed, w.p.Packet(), w.mtu)
		}
		w.lose = nil
		w.run(RaiseTime + 30*time.Second)
		if got, want := w.p.Packet(), min(w.mtu, maxPacket); got > want || want-got > granularity {
			t.Errorf("seed %d: found %d, want %d", seed, got, want)
		}
		if rate := float64(len(w.sent)) / w.now.Sub(w.began).Seconds(); rate > 2 {
			t.Errorf("seed %d: %.1f probes a second", seed, rate)
		}
	}
}

func TestStrings(t *testing.T) {
	for s, want := range map[State]string{BaseState: "base", Searching: "searching", Complete: "complete", Degraded: "degraded"} {
		if got := s.String(); got != want {
			t.Errorf("%d is called %q, want %q", s, got, want)
		}
	}
}
