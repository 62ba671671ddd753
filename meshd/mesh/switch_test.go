package mesh

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

func TestWhoGetsAFrame(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 4, 1500)
	a := hosts[0]
	absent := newMember(t, 99)
	a.sw.Neighbours(map[MAC]session.NodeID{macA: a.id, macB: hosts[1].id, macC: absent.id})
	a.sw.Advance(now)
	tests := []struct {
		name string
		dst  MAC
		to   []int // hosts
		drop string
	}{
		{"broadcast is replicated to every peer", broadcast, []int{1, 2, 3}, ""},
		{"multicast is replicated to every peer", MAC{0x33, 0x33, 0, 0, 0, 1}, []int{1, 2, 3}, ""},
		{"unknown unicast is replicated to every peer", MAC{2, 9}, []int{1, 2, 3}, ""},
		{"known unicast goes to one", macB, []int{1}, ""},
		{"a known peer without a session gets nothing", macC, nil, "no_session"},
		{"a destination on this host stays here", macA, nil, "destination_local"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := uint64(0)
			if test.drop != "" {
				before = a.count(test.drop)
			}
			b := plain(test.dst, macA, 100, 1)
			a.out.batch(now, packets(b))
			if got := a.deliver(t, now, hosts[1:]...); got != len(test.to) {
				t.Errorf("datagrams = %d, want %d", got, len(test.to))
			}
			for _, i := range test.to {
				hosts[i].wantFrames(t, fmt.Sprintf("host %d", i), b)
			}
			if test.drop != "" {
				a.wantCount(t, test.drop, before+1)
			}
		})
	}
	t.Run("a peer that has lost its session gets no copy", func(t *testing.T) {
		a.sw.SetPeers(nil)
		a.out.batch(now, packets(plain(broadcast, macA, 100, 1), plain(macB, macA, 100, 1)))
		if got := len(a.under.take()); got != 0 {
			t.Errorf("datagrams = %d, want 0", got)
		}
		a.wantCount(t, "no_peers", 1)
		a.wantCount(t, "no_session", 2)
	})
}

func TestFramesAreCutIntoEqualPieces(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	tests := []struct {
		length int
		pieces []int
	}{
		{14, []int{14}},
		{60, []int{60}},
		{wire.MaxPayload, []int{wire.MaxPayload}},
		{wire.MaxPayload + 1, []int{601, 600}},
		{1513, []int{757, 756}},
		{1514, []int{757, 757}},
		{1518, []int{759, 759}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.length), func(t *testing.T) {
			frame := plain(broadcast, macA, test.length, 1)
			a.out.batch(now, packets(frame))
			var base uint64
			sent := a.under.take()
			for i, d := range sent {
				h, err := wire.ParseHeader(d.Buf)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					base = h.Counter
				}
				want := wire.Header{Type: wire.TypeFrame, Piece: uint8(i), More: i < len(test.pieces)-1,
					Receiver: h.Receiver, Counter: base + uint64(i)}
				if h != want {
					t.Errorf("header of piece %d = %+v, want %+v", i, h, want)
				}
				if got := len(d.Buf) - wire.Overhead; i < len(test.pieces) && got != test.pieces[i] {
					t.Errorf("length of piece %d = %d, want %d", i, got, test.pieces[i])
				}
			}
			if len(sent) != len(test.pieces) {
				t.Errorf("pieces = %d, want %d", len(sent), len(test.pieces))
			}
			a.under.sent = sent
			a.deliver(t, now, b)
			b.wantFrames(t, "arrived", frame)
		})
	}
}

func TestJumboFramesArriveWhole(t *testing.T) {
	now := time.Now()
	for _, mtu := range []int{1280, 1500, 9000, 65521} {
		hosts := newHosts(t, now, 2, mtu)
		frame := plain(broadcast, macA, mtu+frameOverhead, 7)
		hosts[0].out.batch(now, packets(frame))
		hosts[0].deliver(t, now, hosts[1])
		hosts[1].wantFrames(t, fmt.Sprintf("MTU %d", mtu), frame)
	}
}

func TestAFrameFromTheMeshNeverGoesBack(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500)
	a, b := hosts[0], hosts[1]
	// A knows that C is behind its third host; B still thinks that it is behind A.
	a.sw.Neighbours(map[MAC]session.NodeID{macC: hosts[2].id})
	a.control(now)
	b.sw.Neighbours(map[MAC]session.NodeID{macC: a.id})
	b.control(now)

	toAll, toC := plain(broadcast, macB, 100, 1), plain(macC, macB, 1514, 2)
	b.out.batch(now, packets(toAll, toC))
	b.deliver(t, now, a)
	a.wantFrames(t, "a frame for everyone", toAll)
	a.wantCount(t, "split_horizon", 1)
	if got := len(a.under.take()); got != 0 {
		t.Errorf("datagrams sent back into the mesh = %d, want 0", got)
	}
}

func TestSwitchLearnsFromFrames(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500)
	a, b, c := hosts[0], hosts[1], hosts[2]
	send := func(h *host, dst, src MAC) int {
		now = now.Add(time.Second)
		h.out.batch(now, packets(plain(dst, src, 100, 1)))
		h.control(now)
		n := h.deliver(t, now, hosts...)
		for _, h := range hosts {
			h.control(now)
		}
		return n
	}

	send(b, broadcast, macB)
	wantBehind(t, a.sw, macB, b.id)
	wantBehind(t, b.sw, macB, b.id)
	if got := send(a, macB, macA); got != 1 {
		t.Errorf("datagrams of the answer = %d, want 1: it is known where B is", got)
	}
	wantBehind(t, b.sw, macA, a.id)

	send(c, broadcast, macB)
	wantBehind(t, a.sw, macB, c.id) // B moved

	send(a, broadcast, macB)
	wantBehind(t, a.sw, macB, a.id) // B moved to this host
	send(c, macB, macC)
	a.tap.written = nil
	send(c, macB, macC)
	if got := len(a.tap.written); got != 1 {
		t.Errorf("frames that reach B on its new host = %d, want 1", got)
	}

	send(c, broadcast, macB)
	wantBehind(t, a.sw, macB, c.id) // and away again
}

func TestAFrameThatTheBoundaryStopsTeachesNothing(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a := hosts[0]
	a.out.batch(now, packets(eth(broadcast, macA, etherTypeARP, arp(host4, gateway4))))
	if len(a.told) != 0 {
		t.Errorf("reports = %v, want none", a.told)
	}
	a.wantCount(t, "boundary_gateway_arp", 1)
	a.wantCount(t, "outbound_frames", 1)
	a.wantCount(t, "outbound_datagrams", 0)
}

func TestTheMeshCannotTakeOverAContainersMAC(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500)
	a, b := hosts[0], hosts[1]
	a.sw.Neighbours(map[MAC]session.NodeID{macA: a.id, macC: hosts[2].id})
	a.control(now)
	onC := plain(broadcast, macC, 100, 1)
	b.out.batch(now, packets(plain(broadcast, macA, 100, 1), onC))
	b.deliver(t, now, a)
	a.wantFrames(t, "a container elsewhere may have moved", onC)
	a.wantCount(t, "source_local", 1)
	a.wantCount(t, "learn_static", 1)
	a.control(now)
	wantBehind(t, a.sw, macA, a.id)
	wantBehind(t, a.sw, macC, hosts[2].id)
}

func TestPiecesFromASessionThatIsNotPublished(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	b.sw.SetPeers(nil)
	a.out.batch(now, packets(plain(broadcast, macA, 100, 1)))
	a.deliver(t, now, b)
	b.wantFrames(t, "nothing")
	b.wantCount(t, "unknown_peer", 1)
}

func TestWhatTheUnderlayDoesNotTakeIsCounted(t *testing.T) {
	now := time.Now()
	a := newHosts(t, now, 2, 1500)[0]
	a.under.refuse = 3
	a.out.batch(now, packets(plain(broadcast, macA, 1514, 1), plain(broadcast, macA, 1514, 1)))
	a.wantCount(t, "underlay_write", 3)
	a.wantCount(t, "outbound_datagrams", 1)
}

func TestWhatTheTAPDoesNotTakeIsCounted(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	b.tap.err = errors.New("input/output error")
	a.out.batch(now, packets(plain(broadcast, macA, 100, 1), plain(broadcast, macA, 1514, 1)))
	for _, d := range a.under.take() {
		b.receive(t, now, d.Buf)
	}
	if _, err := b.in.Flush(now); !errors.Is(err, b.tap.err) {
		t.Errorf("Flush() error = %v, want it to wrap %v", err, b.tap.err)
	}
	b.wantCount(t, "tap_write", 2)
	b.tap.err = nil
	if _, err := b.in.Flush(now); err != nil {
		t.Errorf("second Flush() error = %v, want nil", err)
	}
}

func TestALargeBatchIsWrittenInParts(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	var frames [][]byte
	for i := range 3*inboundBatch + 1 {
		frames = append(frames, plain(broadcast, macA, 1180+i, byte(i))) // some of one piece, more of two
	}
	a.out.batch(now, packets(frames...))
	a.deliver(t, now, b)
	b.wantFrames(t, "all", frames...)
}

func TestReportsAreNotRepeatedFrameByFrame(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 3, 1500)
	a, b := hosts[0], hosts[1]
	from := a.sw.Control.peers[b.id]
	for _, step := range []struct {
		after time.Duration
		mac   MAC
		want  int // reports so far
	}{
		{0, macA, 1},
		{0, macA, 1},
		{publishInterval - 1, macA, 1},
		{0, macB, 2},
		{1, macA, 3},
		{0, macB, 3},
	} {
		now = now.Add(step.after)
		a.in.learn.observe(now, table{}, step.mac, from)
		if got := len(a.told); got != step.want {
			t.Errorf("%+v: reports = %d, want %d", step, got, step.want)
		}
	}
}

func TestAReportThatFindsTheQueueFullIsMadeAgain(t *testing.T) {
	sw, now := newSwitch(Limits{})
	sw.report = refuse{}
	l := learner{sw: sw}
	l.observe(now, table{}, macA, sw.shared.local)
	l.observe(now, table{}, macA, sw.shared.local)
	if got := sw.Counters().Snapshot()["learn_queue"]; got != 2 {
		t.Errorf("learn_queue = %d, want 2", got)
	}
}

// refuse is a Report whose queue is full.
type refuse struct{}

func (refuse) Learn(MAC, session.NodeID) bool { return false }

func TestCounterNames(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	names := new(Counters).Snapshot()
	if got, want := len(names), 6+int(numDrops)-1; got != want {
		t.Errorf("counters = %d, want %d: names must differ", got, want)
	}
	for name := range names {
		if !snake.MatchString(name) {
			t.Errorf("counter name %q is not snake_case", name)
		}
	}
}
