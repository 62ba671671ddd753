package session

import (
	"math/bits"
	"sync/atomic"
	"time"

	"meshnet/meshd/wire"
)

// PathMTU is how long datagrams may be, and why.
type PathMTU struct {
	Datagram   int  // bytes of UDP payload; at least the endpoint's MaxDatagram
	Packet     int  // bytes of such a datagram with its UDP and IP headers; 0: the path was not probed
	Fragmented bool // not even these pass whole: IP cuts them
}

// PathMTU returns how long datagrams to the peer may be.
func (s *Session) PathMTU() PathMTU { return *s.pathMTU.Load() }

// SetPathMTU says how long datagrams may be that are sent to the session's endpoint. It belongs to the control side.
func (s *Session) SetPathMTU(m PathMTU) { s.pathMTU.Store(&m) }

// MaxPayload returns how many bytes of a frame one datagram to the peer carries.
func (s *Session) MaxPayload() int { return s.pathMTU.Load().Datagram - wire.Overhead }

// What goes by a lane is not ahead of what went by the first before: it begins to be used after a pause, in which that has arrived, or
// if there is none for so long that it may as well be out of order for once.
const (
	lanePause = 20 * time.Millisecond
	laneAwait = 10 * time.Second
)

// laneUse is how what belongs to a lane is sent. It is the frame path's.
type laneUse struct {
	last  atomic.Int64 // when something was sent; time.Duration since the session began
	since atomic.Int64 // when the lane was first found open; 0: it is not
	used  atomic.Bool  // and it is used
}

// Lane returns by which lane to send now what belongs to lane l: by l if that is known to pass, else by the first. What belongs to one
// lane is sent by one goroutine.
func (s *Session) Lane(now time.Time, l uint8) uint8 {
	if l == 0 {
		return 0
	}
	u, at := &s.uses[l], s.since(now)
	last := u.last.Swap(at)
	if s.lanes.Load()&(1<<l) == 0 {
		if u.since.Load() != 0 {
			u.since.Store(0)
			u.used.Store(false)
		}
		return 0
	}
	if u.used.Load() {
		return l
	}
	u.since.CompareAndSwap(0, at)
	if at-last < int64(lanePause) && at-u.since.Load() < int64(laneAwait) {
		return 0
	}
	u.used.Store(true)
	return l
}

// Lanes returns how many lanes to the peer are in use, the first included.
func (s *Session) Lanes() int { return 1 + bits.OnesCount32(s.lanes.Load()) }

// SetLanes says which lanes beside the first pass datagrams as long as PathMTU says: bit l stands for lane l. It belongs to the
// control side.
func (s *Session) SetLanes(open uint32) { s.lanes.Store(open &^ 1) }

// SentLong records that a frame was sent for which the path's MTU matters: it is longer than wire.MaxPayload.
func (s *Session) SentLong(now time.Time) { s.lastLong.Store(s.since(now)) }

// LastLong returns when such a frame was last sent; zero if none ever was.
func (s *Session) LastLong() time.Time {
	at := s.lastLong.Load()
	if at == 0 {
		return time.Time{}
	}
	return s.began.Add(time.Duration(at))
}

// TakeProbe reports whether a Probe or ProbeAck from the peer is to be worked on: that is up to probeBurst of them at once and one each
// probeInterval in the long run. An honest peer needs far fewer; one that sends more costs only itself its answers.
func (s *Session) TakeProbe(now time.Time) bool {
	at := s.since(now)
	for {
		until := s.probesUntil.Load()
		next := max(until, at-int64(probeBurst*probeInterval)) + int64(probeInterval)
		if next > at {
			return false
		}
		if s.probesUntil.CompareAndSwap(until, next) {
			return true
		}
	}
}

// probed records a probe of n bytes. It may be too long to arrive: so it is no sign of life to the peer, and nothing need come back.
func (s *Session) probed(n int) {
	s.txBytes.Add(uint64(n))
	s.txDatagrams.Add(1)
}
