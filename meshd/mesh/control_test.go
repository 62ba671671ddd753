package mesh

import (
	"encoding/binary"
	"testing"
	"time"

	"meshnet/meshd/session"
)

// Nodes of the tests.
var (
	self  = session.NodeID{0xaa}
	node1 = session.NodeID{1}
	node2 = session.NodeID{2}
)

// newSwitch returns a switch of node self for an MTU of 1500, whose report goes to nobody, and the time.
func newSwitch(limits Limits) (*Switch, time.Time) {
	sw := New(Config{
		Self:     self,
		MTU:      1500,
		Boundary: testBoundary,
		Report:   discard{},
		Limits:   limits,
	})
	return sw, time.Now()
}

// known makes nodes known to the switch without sessions.
func known(sw *Switch, nodes ...session.NodeID) {
	macs := make(map[MAC]session.NodeID)
	for i, n := range nodes {
		macs[MAC{0x0e, 0, 0, 0, 0, byte(i)}] = n
	}
	sw.Neighbours(macs)
}

// behind returns the node that the frame path finds mac behind, and whether there is one.
func behind(sw *Switch, mac MAC) (session.NodeID, bool) {
	e := (*sw.shared.fdb.Load())[mac]
	if e == nil {
		return session.NodeID{}, false
	}
	return e.peer.id, true
}

// wantBehind fails unless mac is behind node, or behind none if node is zero.
func wantBehind(t *testing.T, sw *Switch, mac MAC, node session.NodeID) {
	t.Helper()
	if got, ok := behind(sw, mac); got != node || ok != (node != session.NodeID{}) {
		t.Errorf("%v is behind %v, want %v", mac, got.Short(), node.Short())
	}
}

// mac returns the i-th of many.
func mac(i int) MAC {
	m := MAC{0x06}
	binary.BigEndian.PutUint32(m[2:], uint32(i))
	return m
}

func TestLearn(t *testing.T) {
	sw, now := newSwitch(Limits{})
	known(sw, node1, node2)

	sw.Learn(now, macA, node1)
	sw.Advance(now)
	wantBehind(t, sw, macA, node1)

	t.Run("a station that moves is behind its new peer", func(t *testing.T) {
		now = now.Add(time.Minute)
		sw.Learn(now, macA, node2)
		sw.Advance(now)
		wantBehind(t, sw, macA, node2)
	})
	t.Run("a station that moves to this host is local", func(t *testing.T) {
		now = now.Add(time.Minute)
		sw.Learn(now, macA, self)
		sw.Advance(now)
		wantBehind(t, sw, macA, self)
	})
	t.Run("groups are never learned", func(t *testing.T) {
		now = now.Add(time.Minute)
		sw.Learn(now, broadcast, node1)
		sw.Learn(now, MAC{0x33, 0x33, 0, 0, 0, 1}, node1)
		sw.Learn(now, MAC{}, node1)
		sw.Advance(now)
		wantBehind(t, sw, broadcast, session.NodeID{})
		wantBehind(t, sw, MAC{}, session.NodeID{})
	})
	t.Run("nodes that are not known teach nothing", func(t *testing.T) {
		now = now.Add(time.Minute)
		sw.Learn(now, macB, session.NodeID{99})
		sw.Advance(now)
		wantBehind(t, sw, macB, session.NodeID{})
	})
	t.Run("a removed peer's stations are forgotten, but for the neighbour table's", func(t *testing.T) {
		now = now.Add(time.Minute)
		sw.Learn(now, macB, node1)
		sw.Learn(now, macC, node2)
		sw.RemovePeer(node1)
		sw.RemovePeer(self)
		sw.Advance(now)
		wantBehind(t, sw, macA, self)
		wantBehind(t, sw, macB, session.NodeID{})
		wantBehind(t, sw, macC, node2)
		wantBehind(t, sw, MAC{0x0e, 0, 0, 0, 0, 0}, node1)
	})
}

func TestNeighboursBeatWhatIsLearned(t *testing.T) {
	sw, now := newSwitch(Limits{})
	known(sw, node1, node2)
	sw.Learn(now, macA, node1)
	sw.Neighbours(map[MAC]session.NodeID{macA: node2, macB: self, macC: node1})
	sw.Learn(now, macA, node1)
	sw.Learn(now, macB, node1)
	sw.Advance(now)
	wantBehind(t, sw, macA, node2)
	wantBehind(t, sw, macB, self)
	if got := sw.Control.peers[node1].learned; got != 0 {
		t.Errorf("stations that count as learned from node 1 = %d, want 0", got)
	}

	t.Run("they do not age", func(t *testing.T) {
		now = now.Add(time.Hour)
		sw.Advance(now)
		wantBehind(t, sw, macA, node2)
	})
	t.Run("the next call replaces them", func(t *testing.T) {
		sw.Neighbours(map[MAC]session.NodeID{macA: node1})
		now = now.Add(time.Second)
		sw.Advance(now)
		wantBehind(t, sw, macA, node1)
		wantBehind(t, sw, macB, session.NodeID{})
	})
	t.Run("nodes without anything are forgotten", func(t *testing.T) {
		sw.Neighbours(nil)
		if n := len(sw.Control.peers); n != 1 {
			t.Errorf("peers = %d, want only this node", n)
		}
	})
}

func TestLearnedStationsAge(t *testing.T) {
	sw, now := newSwitch(Limits{})
	known(sw, node1)
	sw.Learn(now, macA, node1)
	sw.Learn(now, macB, node1)
	sw.Advance(now)
	start := now
	for !now.After(start.Add(ageingTime + sweepInterval)) {
		if now.Sub(start) == 200*time.Second {
			// A frame from B.
			(&learner{sw: sw}).observe(now, *sw.shared.fdb.Load(), macB, sw.Control.peers[node1])
		}
		if now.Sub(start) < ageingTime {
			wantBehind(t, sw, macA, node1)
		}
		now = sw.Next()
		sw.Advance(now)
	}
	wantBehind(t, sw, macA, session.NodeID{})
	wantBehind(t, sw, macB, node1)
	if got := sw.Control.peers[node1].learned; got != 1 {
		t.Errorf("stations learned = %d, want 1", got)
	}
}

func TestNextIsZeroWhenThereIsNothingToWaitFor(t *testing.T) {
	sw, now := newSwitch(Limits{})
	if got := sw.Next(); !got.IsZero() {
		t.Errorf("Next() of a new switch = %v, want zero", got)
	}
	known(sw, node1)
	sw.Learn(now, macA, node1)
	if got := sw.Next(); got.After(now) {
		t.Errorf("Next() after the first change = %v, want at once", got)
	}
	sw.Advance(now)
	if got, want := sw.Next(), now.Add(sweepInterval); !got.Equal(want) {
		t.Errorf("Next() with something learned = %v, want %v", got, want)
	}
	sw.RemovePeer(node1)
	if got, want := sw.Next(), now.Add(publishInterval); !got.Equal(want) {
		t.Errorf("Next() with a change right after the last = %v, want %v", got, want)
	}
	sw.Advance(now.Add(publishInterval))
	if got := sw.Next(); !got.IsZero() {
		t.Errorf("Next() with nothing learned = %v, want zero", got)
	}
}

func TestAStormOfMACsIsPublishedNowAndThen(t *testing.T) {
	sw, now := newSwitch(Limits{PerPeer: 10_000})
	known(sw, node1)
	publications := 0
	last := sw.shared.fdb.Load()
	for i := range 10_000 {
		now = now.Add(10 * time.Microsecond)
		sw.Learn(now, mac(i), node1)
		sw.Advance(now)
		if p := sw.shared.fdb.Load(); p != last {
			publications++
			last = p
		}
	}
	// 100 ms: the first at once, then one in publishInterval.
	if publications > 6 {
		t.Errorf("publications in 100 ms = %d, want at most 6", publications)
	}
	sw.Advance(sw.Next())
	if got := len(*sw.shared.fdb.Load()); got != 10_000+1 {
		t.Errorf("entries published in the end = %d, want 10001", got)
	}
}

func TestLimits(t *testing.T) {
	sw, now := newSwitch(Limits{FDB: 15, PerPeer: 10})
	known(sw, node1, node2)
	p1, p2 := sw.Control.peers[node1], sw.Control.peers[node2]
	learn := func(n int, node session.NodeID) {
		for i := range n {
			sw.Learn(now, mac(i+int(node[0])*1000), node)
		}
	}
	want := func(what string, p1Learned, p2Learned int, p1Full, allFull bool, limited uint64) {
		t.Helper()
		if p1.learned != p1Learned || p2.learned != p2Learned || len(sw.Control.learned) != p1Learned+p2Learned {
			t.Errorf("%s: learned %d and %d, %d in all, want %d and %d", what,
				p1.learned, p2.learned, len(sw.Control.learned), p1Learned, p2Learned)
		}
		if p1.full.Load() != p1Full || sw.shared.full.Load() != allFull {
			t.Errorf("%s: peer full %v, all full %v, want %v and %v", what, p1.full.Load(), sw.shared.full.Load(), p1Full, allFull)
		}
		if got := sw.Counters().Snapshot()["learn_limit"]; got != limited {
			t.Errorf("%s: learn_limit = %d, want %d", what, got, limited)
		}
	}
	learn(9, node1)
	want("below the limit", 9, 0, false, false, 0)
	learn(12, node1)
	want("a peer at its limit teaches no more", 10, 0, true, false, 2)
	learn(7, node2)
	want("nor does anybody when all are full", 10, 5, true, true, 4)
	(&learner{sw: sw}).observe(now, table{}, macA, p2)
	want("and the frame path does not even ask", 10, 5, true, true, 5)
	(&learner{sw: sw}).observe(now, table{macA: newEntry(p1, false, 0)}, macA, p2)
	want("unless a station moves", 10, 5, true, true, 5)
	sw.Learn(now, mac(1000), node2)
	want("but stations may move", 9, 6, false, true, 5)
	sw.RemovePeer(node2)
	want("a peer that goes makes room", 9, 0, false, false, 5)
	now = now.Add(ageingTime)
	sw.Advance(now)
	want("and so does age", 0, 0, false, false, 5)
}

func TestFDB(t *testing.T) {
	sw, now := newSwitch(Limits{})
	known(sw, node1)
	sw.Neighbours(map[MAC]session.NodeID{macB: node1})
	sw.Learn(now, macA, node1)
	sw.Learn(now, macC, self)
	sw.Advance(now)
	got := sw.FDB(now.Add(7 * time.Second))
	want := []Entry{
		{MAC: macA, Node: node1, Age: 7 * time.Second},
		{MAC: macB, Node: node1, Static: true, Age: -1},
		{MAC: macC, Node: self, Age: 7 * time.Second},
	}
	if len(got) != len(want) {
		t.Fatalf("FDB() = %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("FDB()[%d] = %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestABusyStationsEntryIsWrittenOnceASecond(t *testing.T) {
	sw, now := newSwitch(Limits{})
	known(sw, node1)
	sw.Learn(now, macA, node1)
	sw.Advance(now)
	e := (*sw.shared.fdb.Load())[macA]
	first := e.seen.Load()
	e.refresh(sw.shared.age(now.Add(refreshInterval - 1)))
	if got := e.seen.Load(); got != first {
		t.Errorf("entry written after less than %v", refreshInterval)
	}
	e.refresh(sw.shared.age(now.Add(refreshInterval)))
	if got := e.seen.Load(); got != first+int64(refreshInterval) {
		t.Errorf("entry not written after %v", refreshInterval)
	}
}
