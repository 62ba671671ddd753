package path

import (
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// lanesWorld is a path with lanes on fake time.
type lanesWorld struct {
	t      *testing.T
	l      *Lanes
	now    time.Time
	size   int
	active bool
	rtt    time.Duration
	blocks map[uint8]bool // lanes that nothing passes on
	narrow map[uint8]int  // lanes that pass only this many bytes
	acks   []arrival
	sent   map[uint8]int // probes by lane
}

func newLanesWorld(t *testing.T, n int) *lanesWorld {
	return &lanesWorld{
		t: t, l: NewLanes(n), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), size: 1472, active: true,
		rtt: 20 * time.Millisecond, blocks: map[uint8]bool{}, narrow: map[uint8]int{}, sent: map[uint8]int{},
	}
}

// run lets d pass, in steps of 5 ms.
func (w *lanesWorld) run(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); !w.now.After(end); w.now = w.now.Add(5 * time.Millisecond) {
		for len(w.acks) > 0 && !w.acks[0].at.After(w.now) {
			w.l.Acked(w.now, w.acks[0].ack)
			w.acks = w.acks[1:]
		}
		for n := 0; ; n++ {
			lane, probe, send := w.l.Advance(w.now, w.active, w.size)
			if !send {
				break
			}
			if n > wire.MaxLanes {
				w.t.Fatal("Advance wants to be called for ever")
			}
			if probe.Size != w.size {
				w.t.Fatalf("probe of %d bytes, want %d", probe.Size, w.size)
			}
			w.sent[lane]++
			if limit := w.narrow[lane]; !w.blocks[lane] && (limit == 0 || probe.Size <= limit) {
				w.acks = append(w.acks, arrival{w.now.Add(w.rtt), probe})
			}
		}
	}
}

func (w *lanesWorld) want(when string, open uint32) {
	w.t.Helper()
	if got := w.l.Open(w.size); got != open {
		w.t.Errorf("%s: open lanes %03b, want %03b", when, got>>1, open>>1)
	}
}

const all = 1<<1 | 1<<2 | 1<<3

// "A lane is used only after a Probe sent by it was acknowledged", which takes a round trip; one that a firewall blocks is not, and is tried
// again after a minute.
func TestLanesThatPassAreOpen(t *testing.T) {
	w := newLanesWorld(t, 4)
	w.blocks[2] = true
	w.want("at first", 0)
	w.run(w.rtt)
	w.want("after a round trip", all&^(1<<2))
	w.run(30 * time.Second)
	w.want("after 30 s", all&^(1<<2))
	if n := w.sent[2]; n != MaxProbes {
		t.Errorf("%d probes by the blocked lane within 30 s, want %d", n, MaxProbes)
	}
	if n := w.sent[1]; n < 13 || n > 17 {
		t.Errorf("%d probes by an open lane within 30 s, want one every %v", n, ConfirmInterval)
	}
	w.blocks[2] = false
	w.run(LaneRetryTime)
	w.want("a minute after it has been unblocked", all)
}

// "If 3 are lost, 1 s after each other, the lane is not used any more": within ConfirmInterval + 3 s.
func TestLaneThatFailsIsClosed(t *testing.T) {
	w := newLanesWorld(t, 4)
	w.run(5 * time.Second)
	w.want("after 5 s", all)
	w.blocks[3] = true
	w.run(ConfirmInterval + MaxProbes*ConfirmTimeout)
	w.want("after it was blocked", all&^(1<<3))
	w.blocks[3] = false
	w.run(LaneRetryTime + time.Second)
	w.want("after it was unblocked", all)
}

// Loss now and then does not close a lane.
func TestLanesSurviveLoss(t *testing.T) {
	w := newLanesWorld(t, 3)
	w.run(time.Second)
	for range 20 {
		w.blocks[1], w.blocks[2] = true, true
		w.run(ConfirmTimeout * 3 / 2) // two probes at most
		w.blocks[1], w.blocks[2] = false, false
		w.run(2 * ConfirmTimeout)
		w.want("after a probe was lost", 1<<1|1<<2)
	}
}

// A larger size has to be shown to pass first; a smaller one passes where a larger one did.
func TestLanesAndSize(t *testing.T) {
	w := newLanesWorld(t, 2)
	w.narrow[1] = 1472
	w.size = wire.MaxDatagram
	w.run(time.Second)
	w.want("at the size every path carries", 1<<1)
	w.size = 1472
	w.want("before 1472 was probed", 0)
	w.run(time.Second)
	w.want("at 1472", 1<<1)
	w.size = wire.MaxDatagram
	w.want("less than what passes", 1<<1)
	w.size = 8972
	w.run(10 * time.Second)
	w.want("more than what passes", 0)
	w.size = wire.MaxDatagram
	w.run(LaneRetryTime)
	w.want("less again", 1<<1)
}

// "Without long frames the lanes are closed", at no cost; after a restart, too.
func TestLanesRest(t *testing.T) {
	w := newLanesWorld(t, 4)
	w.run(time.Second)
	w.active = false
	w.run(time.Millisecond)
	w.want("at rest", 0)
	clear(w.sent)
	w.run(time.Hour)
	if len(w.sent) != 0 {
		t.Errorf("probes at rest: %v", w.sent)
	}
	if next := w.l.Next(); !next.IsZero() {
		t.Errorf("Next() at rest = %v, want zero", next)
	}
	w.active = true
	w.run(w.rtt)
	w.want("awake", all)
	w.l.Restart()
	w.want("after a restart", 0)
}

// Only the acknowledgement of what waits for one counts, and once.
func TestLanesAcked(t *testing.T) {
	w := newLanesWorld(t, 2)
	_, probe, send := w.l.Advance(w.now, true, 1472)
	if !send {
		t.Fatal("no probe at first")
	}
	for _, ack := range []wire.Probe{{}, {Number: probe.Number + 1, Size: 1472}, {Number: probe.Number, Size: 1471}, {Number: 1, Size: 1472}} {
		if w.l.Acked(w.now, ack) {
			t.Errorf("Acked(%+v) = true", ack)
		}
	}
	if w.l.Acked(w.now.Add(AckTime+1), probe) {
		t.Error("an acknowledgement that is too late counts")
	}
	if !w.l.Acked(w.now.Add(AckTime), probe) || w.l.Acked(w.now, probe) {
		t.Error("an acknowledgement counts not once")
	}
	if none := NewLanes(1); none.Open(1232) != 0 || none.Acked(w.now, probe) || !none.Next().IsZero() {
		t.Error("there are lanes beside the first where there is only one")
	}
}
