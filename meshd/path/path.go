package path

import (
	"time"

	"meshnet/meshd/wire"
)

// State is what is known of a path.
type State uint8

// The states (RFC 8899, section 5.2).
const (
	BaseState State = iota // whether Base passes is being probed; it is used
	Searching              // larger sizes are being probed; the largest that passed is used
	Complete               // the size in use is being confirmed
	Degraded               // not even Base passes whole: it is used all the same, and cut by IP. RFC 8899's Error
)

// String returns the state's name.
func (s State) String() string { return [...]string{"base", "searching", "complete", "degraded"}[s] }

// Path is the state machine of the path to one endpoint of a peer. All sizes are bytes of UDP payload.
type Path struct {
	headers int // bytes of UDP and IP
	state   State
	size    int       // in use: the largest that passed, or Base
	proven  time.Time // when the probe was sent that showed last that size passes; zero: none did
	limit   int       // the smallest that does not pass
	raise   time.Time // Complete: when larger sizes are tried again

	suspect   int       // did not pass, but maybe nothing does: size is probed; 0: none
	suspected time.Time // since when: the first such probe was sent then

	probe  attempt
	due    time.Time // when Advance has something to do; zero: when there is a long frame
	sent   [memory]sentProbe
	number uint32 // of the last probe
	rtt    time.Duration
}

// attempt is the size that is being probed.
type attempt struct {
	size  int // 0: none
	count int // of probes sent
	began time.Time
}

// memory is how many probes are remembered. Of two sizes all are: an acknowledgement may be late.
const memory = 2 * MaxProbes

// sentProbe is a probe that was not acknowledged yet.
type sentProbe struct {
	wire.Probe
	at time.Time
}

// New returns the machine of a path of IPv4 or IPv6 of which nothing is known.
func New(is4 bool) *Path {
	p := new(Path)
	p.Restart(is4)
	return p
}

// Restart forgets what was known: the peer has another endpoint. Acknowledgements of earlier probes do not count.
func (p *Path) Restart(is4 bool) {
	*p = Path{headers: headers6, size: Base, number: p.number}
	if is4 {
		p.headers = headers4
	}
	p.limit = p.max() + 1
}

// State returns what is known.
func (p *Path) State() State { return p.state }

// Size returns how long datagrams may be.
func (p *Path) Size() int { return p.size }

// Packet returns how long the IP packet of such a datagram is: the path's MTU, as people call it.
func (p *Path) Packet() int { return p.size + p.headers }

// Next returns when Advance is to be called; zero means as soon as there are long frames.
func (p *Path) Next() time.Time { return p.due }

// max returns the largest size that is looked for.
func (p *Path) max() int { return maxPacket - p.headers }

// Advance returns a probe that is to be sent now, if one is; it wants to be called again right away then. active says that frames
// were sent within ActiveTime which are longer than what Base carries: without them the path costs nothing, and what is known of it
// stays until they come again. heard is when the peer was last heard, whatever it said.
func (p *Path) Advance(now time.Time, active bool, heard time.Time) (probe wire.Probe, send bool) {
	if !active {
		p.rest()
		return wire.Probe{}, false
	}
	if now.Before(p.due) {
		return wire.Probe{}, false
	}
	if p.probe.count == MaxProbes {
		p.lost(now, heard)
	}
	if p.probe.size == 0 && !now.Before(p.due) {
		p.choose(now)
	}
	if p.probe.size == 0 {
		return wire.Probe{}, false
	}
	return p.send(now), true
}

// rest ends what is under way, without a conclusion.
func (p *Path) rest() {
	p.probe, p.suspect, p.due = attempt{}, 0, time.Time{}
}

// send returns the next probe of the size that is being probed.
func (p *Path) send(now time.Time) wire.Probe {
	if p.probe.count == 0 {
		p.probe.began = now
	}
	p.probe.count++
	p.number++
	probe := wire.Probe{Number: p.number, Size: p.probe.size}
	p.sent[p.number%memory] = sentProbe{Probe: probe, at: now}
	p.due = now.Add(p.timeout())
	return probe
}

// timeout returns how long the probe just sent is waited for: a second, which is the least that RFC 8899 allows, when the current size
// is at stake. Many larger ones may have to be tried until one passes. There it is less: a mistake does no harm but that the search ends
// with a smaller size, and an acknowledgement that comes too late counts all the same.
func (p *Path) timeout() time.Duration {
	if p.probe.size == p.size || p.rtt == 0 {
		return ConfirmTimeout
	}
	return min(max(4*p.rtt, MinTimeout), ConfirmTimeout)
}

// lost concludes from the loss of all probes of a size.
func (p *Path) lost(now, heard time.Time) {
	lost := p.probe
	p.probe = attempt{}
	switch {
	case lost.size > p.size:
		p.suspect, p.suspected = lost.size, now
	case p.size > Base:
		p.limit = min(p.limit, p.size+1) // it is tried once more: maybe nothing passed, whatever its size
		p.fall()
	case heard.After(lost.began):
		p.degrade(now)
	default: // nothing passes, whatever its size
		p.suspect, p.due = 0, now.Add(SilentTime)
	}
}

// fall gives up the current size. Base is used at once, before it is probed: the frames that are under way need it.
func (p *Path) fall() {
	p.size, p.proven, p.suspect, p.state = Base, time.Time{}, 0, BaseState
}

func (p *Path) degrade(now time.Time) {
	p.suspect, p.state, p.due = 0, Degraded, now.Add(DegradedTime)
}

// Acked takes an acknowledgement. It reports false if it is none of a probe that waits for one.
func (p *Path) Acked(now time.Time, ack wire.Probe) bool {
	s := &p.sent[ack.Number%memory]
	if s.Probe != ack || s.at.IsZero() || now.Sub(s.at) > AckTime {
		return false
	}
	at := s.at
	*s = sentProbe{}
	p.measure(now.Sub(at))
	if ack.Size < p.size {
		return true
	}
	if ack.Size > p.size {
		p.grow(ack.Size)
	}
	if at.After(p.proven) {
		p.proven = at
	}
	p.passed(at)
	if p.state == BaseState || p.state == Degraded {
		p.state = Searching
	}
	if p.probe.size <= p.size {
		p.probe, p.due = attempt{}, now
	}
	return true
}

// grow makes size the current one. It may be one that was given up: then the search goes on from there.
func (p *Path) grow(size int) {
	p.size, p.proven, p.state = size, time.Time{}, Searching
	if p.limit <= size {
		p.limit = p.max() + 1
	}
}

// passed concludes from a probe of the current size, sent at, that a suspect is too large: if it was sent right after the suspect's
// last one. If that was lost too and a later one passed, the path has failed meanwhile, and the suspect is tried again.
func (p *Path) passed(at time.Time) {
	if p.suspect == 0 || at.Before(p.suspected) {
		return
	}
	if p.suspect > p.size && at.Equal(p.suspected) {
		p.limit = min(p.limit, p.suspect)
	}
	p.suspect = 0
}

// measure takes a round trip into the estimate: at once if it is longer, else by an eighth, as RFC 6298 does.
func (p *Path) measure(rtt time.Duration) { p.rtt = max(rtt, (7*p.rtt+rtt)/8) }

// TooLong says that the probe of this number was not sent, since a network device of this host cannot: that needs no second opinion.
func (p *Path) TooLong(now time.Time, number uint32) {
	s := &p.sent[number%memory]
	if s.Number != number || s.at.IsZero() {
		return
	}
	size := s.Size
	*s = sentProbe{}
	p.probe, p.due = attempt{}, now
	switch {
	case size > p.size:
		p.limit = min(p.limit, size)
	case p.size > Base:
		p.limit = min(p.limit, size)
		p.fall()
	default:
		p.degrade(now)
	}
}
