package session

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// laneMessage returns a message of a lane that k opens.
func laneMessage(k *Keypair, lane uint8, counter uint64) (wire.Header, []byte) {
	h := wire.Header{Type: wire.TypeFrame, Lane: lane, Counter: counter}
	return h, k.Seal(nil, h, []byte("a frame"))
}

// "Each lane has a window of its own": one that is far behind another loses nothing, and copies are known all the same.
func TestLanesHaveTheirOwnWindows(t *testing.T) {
	k := keypairOf(t, wire.AES256GCM)
	open := func(lane uint8, counter uint64) error {
		h, b := laneMessage(k, lane, counter)
		_, err := k.Open(h, b)
		return err
	}
	for _, test := range []struct {
		lane    uint8
		counter uint64
		want    error
	}{
		{0, 10 * windowBits, nil},
		{1, 5, nil}, // far behind lane 0
		{0, 6, ErrReplay},
		{1, 5, ErrReplay},
		{3, 7, nil},
		{1, 8, nil},
		{0, 10 * windowBits, ErrReplay},
		{3, 7, ErrReplay},
	} {
		if err := open(test.lane, test.counter); err != test.want {
			t.Errorf("lane %d, counter %d: %v, want %v", test.lane, test.counter, err, test.want)
		}
	}
}

// The lane is authentic: a copy cannot be sent by another one, where it is not known.
func TestLaneIsAuthenticated(t *testing.T) {
	k := keypairOf(t, wire.ChaCha20Poly1305)
	h, b := laneMessage(k, 1, 1)
	for lane := range uint8(wire.MaxLanes) {
		if lane == h.Lane {
			continue
		}
		forged := append([]byte(nil), b...)
		forged[wire.LaneOffset] = lane
		fh, err := wire.ParseHeader(forged)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(fh, forged); !errors.Is(err, ErrAuth) {
			t.Errorf("as of lane %d: %v, want %v", lane, err, ErrAuth)
		}
	}
}

// "Nothing is sent to the port that a lane's messages come from": they move no endpoint, and do not keep the first lane's from it.
func TestLanesDoNotRoam(t *testing.T) {
	k := keypairOf(t, wire.AES256GCM)
	elsewhere := wire.Endpoint{Addr: netip.MustParseAddrPort("203.0.113.9:4321"), Socket: 1}
	now := time.Unix(1, 0)
	receive := func(lane uint8, counter uint64) (roam bool) {
		_, roam = k.Received(now, elsewhere, wire.Header{Type: wire.TypeFrame, Lane: lane, Counter: counter}, 100)
		return roam
	}
	if receive(1, 1000) {
		t.Error("a message of lane 1 moves the endpoint")
	}
	if !receive(0, 10) {
		t.Error("a message of the first lane does not move the endpoint")
	}
}

// "By l if that is known to pass, else by the first"; after a move nothing is known.
func TestLane(t *testing.T) {
	now := time.Unix(1, 0)
	s := newSession(now, NodeID{1}, 1, wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:6780")})
	want := func(when string, lanes ...uint8) {
		t.Helper()
		now = now.Add(time.Second) // a pause
		open := 1
		for l, lane := range lanes {
			if got := s.Lane(now, uint8(l)); got != lane {
				t.Errorf("%s: Lane(%d) = %d, want %d", when, l, got, lane)
			}
			if lane != 0 {
				open++
			}
		}
		if got := s.Lanes(); got != open {
			t.Errorf("%s: Lanes() = %d, want %d", when, got, open)
		}
	}
	want("at first", 0, 0, 0, 0)
	s.SetLanes(1<<1 | 1<<3)
	want("two are open", 0, 1, 0, 3)
	s.SetLanes(1<<0 | 1<<2)
	want("the first is said to be open, too", 0, 0, 2, 0)
	s.move(wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.2:6780")})
	want("after a move", 0, 0, 0, 0)
}

// "It begins to be used after a pause, or if there is none for so long": a flow that does not pause is not overtaken by itself.
func TestLanesBeginInAPause(t *testing.T) {
	const step = time.Millisecond
	began := time.Unix(1, 0)
	s := newSession(began, NodeID{1}, 1, wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:6780")})
	now := began.Add(time.Minute)
	until := func(limit time.Duration) time.Duration {
		from := now
		for s.Lane(now, 1) == 0 && now.Sub(from) < limit {
			now = now.Add(step)
		}
		return now.Sub(from)
	}
	until(time.Second)
	s.SetLanes(1 << 1)
	if took := until(time.Hour); took < laneAwait || took > laneAwait+step {
		t.Errorf("without a pause the lane is used after %v, want %v", took, laneAwait)
	}
	s.SetLanes(0)
	if got := s.Lane(now, 1); got != 0 {
		t.Errorf("a lane that does not pass is used")
	}
	now = now.Add(step)
	s.SetLanes(1 << 1)
	if got := s.Lane(now, 1); got != 0 {
		t.Error("it is used again without a pause")
	}
	now = now.Add(lanePause)
	if got := s.Lane(now, 1); got != 1 {
		t.Error("it is not used after a pause")
	}
}
