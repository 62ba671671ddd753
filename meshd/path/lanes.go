package path

import (
	"time"

	"meshnet/meshd/wire"
)

// LaneRetryTime is after which a lane that did not pass is tried again.
const LaneRetryTime = time.Minute

// laneNumbers is where the numbers of lanes' probes begin: no acknowledgement of one is that of a Path's.
const laneNumbers = 1 << 31

// Lanes is the state machine of the lanes to one endpoint of a peer, beside the first (docs/protocol.md, "Lanes"): which of them pass
// what the first does. A lane is another pair of UDP ports, and a firewall, a NAT or a path of its own may be in its way. Each is
// probed with the size in use, and used only as long as it goes on passing.
type Lanes struct {
	lanes  []lane // lane l of the path is l-1 here
	number uint32 // of the last probe
}

// lane is one of them.
type lane struct {
	size  int // of the largest probe that passed; 0: the lane is not open
	due   time.Time
	probe wire.Probe // that waits for an acknowledgement; Number 0: none
	at    time.Time  // when it was sent
	count int        // of probes sent since the last acknowledgement
}

// NewLanes returns the machine of a path with n lanes in all, up to wire.MaxLanes, of which none but the first is open.
func NewLanes(n int) *Lanes { return &Lanes{lanes: make([]lane, max(n-1, 0)), number: laneNumbers} }

// Restart closes all lanes: the peer has another endpoint. Acknowledgements of earlier probes do not count.
func (l *Lanes) Restart() { clear(l.lanes) }

// Open returns which lanes pass datagrams of size bytes: bit i stands for lane i.
func (l *Lanes) Open(size int) (open uint32) {
	for i := range l.lanes {
		if l.lanes[i].size >= size {
			open |= 2 << i
		}
	}
	return open
}

// Next returns when Advance is to be called; zero means as soon as there are long frames.
func (l *Lanes) Next() (next time.Time) {
	for i := range l.lanes {
		if due := l.lanes[i].due; next.IsZero() || !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next
}

// Advance returns a probe that is to be sent now and its lane, if one is; it wants to be called again right away then. active is as
// for Path: without long frames the lanes are closed, since nothing keeps open what is in their way. size is that in use, in bytes.
func (l *Lanes) Advance(now time.Time, active bool, size int) (lane uint8, probe wire.Probe, send bool) {
	if !active {
		clear(l.lanes)
		return 0, wire.Probe{}, false
	}
	for i := range l.lanes {
		if l.lanes[i].advance(now, size) {
			l.number = max(l.number+1, laneNumbers+1)
			l.lanes[i].send(now, wire.Probe{Number: l.number, Size: size})
			return uint8(i + 1), l.lanes[i].probe, true
		}
	}
	return 0, wire.Probe{}, false
}

// advance reports whether a probe of size bytes is to be sent.
func (l *lane) advance(now time.Time, size int) bool {
	if l.probe.Size != 0 && l.probe.Size < size {
		l.due, l.count = now, 0 // of no use any more: more is wanted
	}
	if l.size != 0 && l.size < size {
		*l = lane{due: now}
	}
	if now.Before(l.due) {
		return false
	}
	if l.count == MaxProbes {
		*l = lane{due: now.Add(LaneRetryTime)}
		return false
	}
	return true
}

func (l *lane) send(now time.Time, probe wire.Probe) {
	l.probe, l.at, l.due = probe, now, now.Add(ConfirmTimeout)
	l.count++
}

// Acked takes an acknowledgement. It reports false if it is none of a probe that waits for one.
func (l *Lanes) Acked(now time.Time, ack wire.Probe) bool {
	for i := range l.lanes {
		l := &l.lanes[i]
		if l.probe.Number != 0 && l.probe == ack && now.Sub(l.at) <= AckTime {
			*l = lane{size: ack.Size, due: now.Add(ConfirmInterval)}
			return true
		}
	}
	return false
}
