package session

import (
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// mayRelay reports whether the next message 1 may go through relays.
func (m *Machine) mayRelay(u *pursuit) bool {
	return u.peer != nil && !u.upgrade && (u.peer.session == nil || m.silent(u.peer))
}

// tryRelays sends the last message 1 through the relays that there are now, if it is time.
func (m *Machine) tryRelays(u *pursuit) {
	if u.message == nil {
		return
	}
	if m.now.Before(u.relayAt) {
		m.schedule(u.relayAt)
		return
	}
	for _, to := range m.relaysTo(u.peer, u.tries/2) {
		m.transmit(to, u.message)
	}
	u.message = nil
}

// targets returns where the next message 1 goes to at once: a rekey first goes to where the peer is, otherwise all candidates get the
// same message; relays get it a little later.
//
// The message that arrives first may be the one whose answer cannot come back: the others are taken for replays. So every other try goes
// through relays alone, the first one already if it is the direct path that has failed; and of those from the third on every other, or
// half of what is left, to one candidate alone.
func (m *Machine) targets(u *pursuit) (direct, relays []wire.Endpoint) {
	if u.seed != nil {
		return []wire.Endpoint{{Addr: u.seed.addr}}, nil
	}
	s, turn := u.peer.session, u.tries
	if s != nil && !u.upgrade {
		direct = append(direct, s.Endpoint())
		if u.tries == 0 && !m.silent(u.peer) {
			return direct, nil
		}
		turn++
	}
	direct = u.peer.reachable(m.now, direct)
	every, n := 2, u.tries
	if m.mayRelay(u) {
		relays = m.relaysTo(u.peer, turn/2)
	}
	if len(relays) > 0 {
		if turn%2 == 1 || len(direct) == 0 {
			return nil, relays
		}
		every, n = 4, turn
	}
	if u.tries >= 2 && n%every == 0 && len(direct) > 1 {
		one := n / every % len(direct)
		return direct[one : one+1], nil
	}
	return direct, nil
}

// reachable appends to the endpoints to be tried the candidates that are not among them.
func (p *peer) reachable(now time.Time, to []wire.Endpoint) []wire.Endpoint {
	for _, c := range p.candidates {
		known := slices.ContainsFunc(to, func(e wire.Endpoint) bool { return e.Addr == c.addr })
		if !known && !now.Before(c.notBefore) && len(to) < MaxCandidates {
			to = append(to, wire.Endpoint{Addr: c.addr})
		}
	}
	return to
}
