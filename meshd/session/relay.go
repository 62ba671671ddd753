package session

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// SetRelays says which members relay. Whoever cannot be reached at its own addresses is reached through those of them with whom there
// is a session.
func (m *Machine) SetRelays(now time.Time, relays []NodeID) {
	m.observe(now)
	m.relays = slices.Clone(relays)
}

// relaysTo returns the endpoints of p through relays for the n-th try: through the nearest first, and through others in later tries,
// since not every member reaches every other.
func (m *Machine) relaysTo(p *peer, n int) []wire.Endpoint {
	var usable []*Session
	for _, id := range m.relays {
		if q := m.peers[id]; id != p.id && q != nil && q.session != nil && q.session.relays(m.now) {
			usable = append(usable, q.session)
		}
	}
	slices.SortFunc(usable, func(a, b *Session) int {
		return cmp.Or(cmp.Compare(a.RTT(), b.RTT()), bytes.Compare(a.id[:], b.id[:]))
	})
	var to []wire.Endpoint
	for i := range min(len(usable), MaxRelays) {
		via := usable[(n*MaxRelays+i)%len(usable)]
		to = append(to, wire.Through(wire.Hop{Via: via.id, Peer: p.id}))
	}
	return to
}

// hasRelay reports whether some member relays to p, so that it is worth while to find out soon that a path does not work.
func (m *Machine) hasRelay(p *peer) bool {
	return len(m.relays) > 1 || len(m.relays) == 1 && m.relays[0] != p.id
}

// relays reports whether the peer can be sent something to relay: nothing is relayed twice, and it must be there.
func (s *Session) relays(now time.Time) bool {
	return s.Keypair() != nil && !s.Endpoint().Relayed() && s.doubted(now) < UnansweredTimeout && !s.silent(now)
}

// upgrade looks for a direct path to a peer that is reached through a relay. Both sides do so as soon as they have agreed keys through
// the relay, and go on: what one sends opens its NAT for the other.
func (m *Machine) upgrade(p *peer) {
	u := &p.pursuit
	if p.session == nil || !p.session.Endpoint().Relayed() || p.pending != nil || u.active || len(p.candidates) == 0 {
		return
	}
	u.active, u.upgrade, u.began, u.tries = true, true, m.now, p.upgrades
	m.try(u)
}

// punch tells a peer that is reached through a relay that we try to reach it directly now: if it does the same, each opens its NAT for
// the other.
func (m *Machine) punch(p *peer) {
	if k := p.session.Keypair(); k != nil {
		m.seal(k, p.session.Endpoint(), wire.TypePunch, nil)
	}
}

// Punched takes a Punch message opened by a keypair of s. It makes the next try come sooner, but not by more than half: that bounds
// what a peer can make us send to the addresses that it names.
func (m *Machine) Punched(now time.Time, s *Session) {
	m.observe(now)
	p := m.peers[s.id]
	if p == nil || p.session != s || !s.Endpoint().Relayed() {
		return
	}
	u := &p.pursuit
	if !u.active {
		u.tries = p.upgrades
	} else if !u.upgrade {
		return // keys are being agreed anyway
	}
	if now.Before(u.last.Add(u.interval() / 2)) {
		return
	}
	u.punched = true
	if !u.active {
		m.upgrade(p)
		return
	}
	m.try(u)
}

// move makes e the endpoint of p's session.
func (m *Machine) move(p *peer, e wire.Endpoint) {
	s := p.session
	old := s.Endpoint()
	s.move(e)
	if old.Hop() == e.Hop() {
		return
	}
	if !e.Relayed() {
		p.upgrades = 0
		if p.pursuit.upgrade {
			m.rest(&p.pursuit)
		}
	}
	m.emit(Moved{Session: s, From: old, To: e})
}

// follows reports whether the session's endpoint becomes e when the peer's newest message has come from there. A path that works
// directly stays. Between relays only handshakes choose: two sides that followed each other would go on for ever.
func (s *Session) follows(now time.Time, e wire.Endpoint) bool {
	current := s.Endpoint()
	if e == current {
		return false
	}
	if !e.Relayed() {
		return true
	}
	return !current.Relayed() && e.Hop().Peer == s.id && s.since(now)-s.lastDirect.Load() >= int64(DirectPatience)
}

// doubted returns for how long frames to one container of the peer were not answered.
func (s *Session) doubted(now time.Time) time.Duration {
	asked := s.asked.Load()
	if asked == 0 {
		return 0
	}
	return time.Duration(s.since(now) - asked)
}

// lifeNumbers is where the numbers of the Probes begin that ask for a sign of life; those of other Probes are below, or with the
// highest bit set.
const lifeNumbers = 1 << 30

// IsLifeProbe reports whether a Probe of this number only asked for a sign of life, so that its acknowledgement says nothing more.
func IsLifeProbe(number uint32) bool { return number>>30 == lifeNumbers>>30 }

// askForLife sends p a Probe, which is answered at once, whatever else it has to say.
func (m *Machine) askForLife(p *peer, k *Keypair) {
	counter, err := k.Reserve(1)
	if err != nil {
		return
	}
	p.lifeProbes++
	probe := wire.Probe{Number: lifeNumbers | p.lifeProbes&(lifeNumbers-1), Size: wire.MaxDatagram}
	datagram := k.Seal(make([]byte, 0, probe.Size), wire.Header{Type: wire.TypeProbe, Counter: counter}, probe.Append(nil))
	k.Probed(len(datagram))
	m.transmit(p.session.Endpoint(), datagram)
}

// TakeRelay reports whether a datagram of n bytes is to be relayed for the peer: that is up to relayBurst bytes at once and relayRate
// a second in the long run. Safe for concurrent use.
func (s *Session) TakeRelay(now time.Time, n int) bool {
	at := s.since(now)
	for {
		until := s.relayUntil.Load()
		next := max(until, at-int64(relayTime(relayBurst))) + int64(relayTime(n))
		if next > at {
			return false
		}
		if s.relayUntil.CompareAndSwap(until, next) {
			return true
		}
	}
}

// relayTime returns for how long n bytes use up relayRate.
func relayTime(n int) time.Duration { return time.Duration(n) * time.Second / relayRate }
