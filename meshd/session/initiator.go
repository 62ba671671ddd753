package session

import (
	"io"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// backoff is the time from one message 1 to the next; the last repeats. WireGuard's RekeyTimeout is 5 s throughout; the
// first tries come sooner so that a lost datagram does not delay a join, the last later because a peer that was not
// there for a minute has no hurry.
var backoff = [...]time.Duration{
	1 * time.Second, 2 * time.Second, 4 * time.Second,
	5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second,
	10 * time.Second, 20 * time.Second, 30 * time.Second,
}

// pursuit is the attempt to agree keys, with a peer or with whoever is at a seed. Each try is a fresh message 1.
type pursuit struct {
	peer *peer // one of
	seed *seed // these two

	active   bool
	began    time.Time
	tries    int
	last     time.Time // of the last try
	next     time.Time // try
	exchange *exchange // nil if no message 1 is out
	index    uint32    // that the exchange has allocated

	upgrade bool      // the peer has a session through a relay, and a direct path is looked for
	punched bool      // the next try answers a Punch
	message []byte    // the datagram, which goes through relays if it is not answered; nil: it does not
	relayAt time.Time // then
}

// seed is an endpoint of an unknown node.
type seed struct {
	addr      netip.AddrPort
	pursuit   pursuit
	session   *Session  // made through this seed
	notBefore time.Time // not tried until then: we are at this endpoint ourselves
}

// pursue begins a pursuit now, unless it is active. One that only looks for a better path gives way.
func (m *Machine) pursue(u *pursuit, now time.Time) {
	if u.upgrade {
		m.rest(u)
	}
	if u.active {
		return
	}
	u.active, u.began, u.tries = true, now, 0
	m.try(u)
}

// rest ends a pursuit.
func (m *Machine) rest(u *pursuit) {
	m.abandon(u)
	if u.upgrade {
		u.peer.upgrades = u.tries
	}
	u.active, u.upgrade = false, false
}

// abandon stops waiting for an answer to the last message 1.
func (m *Machine) abandon(u *pursuit) {
	if u.exchange != nil {
		m.end(u)
		m.table.release(u.index)
	}
}

// end takes the exchange out of a pursuit; its index is the caller's now.
func (m *Machine) end(u *pursuit) {
	delete(m.started, u.index)
	m.ended.add(m.now, [32]byte(u.exchange.own.ephemeral.Public))
	u.exchange, u.message = nil, nil
}

// hasten brings the next try forward, to a second after the last at the earliest, or half of that if the peer is there, and begins the
// backoff again.
func (u *pursuit) hasten(now time.Time) {
	u.tries = 0
	wait := backoff[0]
	if u.upgrade {
		wait /= 2
	}
	if soon := maxTime(now, u.last.Add(wait)); soon.Before(u.next) {
		u.next = soon
	}
}

// postpone begins a pursuit anew with the backoff at its end: the peer has sent us away.
func (m *Machine) postpone(u *pursuit) {
	m.rest(u)
	u.tries = len(backoff)
	u.active, u.began, u.next = true, m.now, m.now.Add(m.jitter(backoff[len(backoff)-1]))
	m.schedule(u.next)
}

// interval returns the time from the next try to the one after it.
func (u *pursuit) interval() time.Duration {
	if u.upgrade && u.tries >= len(backoff) {
		return UpgradeInterval
	}
	return backoff[min(u.tries, len(backoff)-1)]
}

// try sends a fresh message 1 and schedules the next.
func (m *Machine) try(u *pursuit) {
	m.abandon(u)
	direct, relays := m.targets(u)
	u.last, u.next = m.now, m.now.Add(m.jitter(u.interval()))
	later := len(direct) > 0 && m.mayRelay(u)
	u.tries++
	m.schedule(u.next)
	if len(direct)+len(relays) == 0 {
		return
	}
	index, err := m.table.allocate()
	if err != nil {
		m.counters.IndexFull.Add(1)
		return
	}
	payload := wire.Payload1{Sender: index, Timestamp: m.now.UnixNano()}
	if m.cfg.AES {
		payload.Capabilities = wire.CapAES
	}
	x, message, err := m.noise.initiate(payload.Append(nil))
	if err != nil {
		m.table.release(index)
		m.log.Error("handshake not begun", "err", err)
		return
	}
	u.exchange, u.index = x, index
	m.started[index] = u
	datagram := append(wire.HandshakeHeader{Type: wire.TypeHandshake1}.Append(nil), message...)
	for _, to := range slices.Concat(direct, relays) {
		m.transmit(to, datagram)
	}
	if u.upgrade && !u.punched {
		m.punch(u.peer)
	}
	u.punched = false
	if later {
		u.message, u.relayAt = datagram, m.now.Add(RelayDelay)
		m.schedule(u.relayAt)
	}
}

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

// jitter returns d and up to a fifth more, so that two nodes that collide do not do it again.
func (m *Machine) jitter(d time.Duration) time.Duration {
	var b [1]byte
	if _, err := io.ReadFull(m.cfg.Rand, b[:]); err != nil {
		return d
	}
	return d + d/5*time.Duration(b[0])/255
}

// handleMessage2 takes the answer to a message 1 of ours.
func (m *Machine) handleMessage2(from wire.Endpoint, h wire.HandshakeHeader, message []byte) {
	u := m.started[h.Receiver]
	if u == nil {
		m.counters.HandshakeIndex.Add(1)
		return
	}
	hs, plain, id, err := u.exchange.read2(message)
	if err != nil {
		m.counters.HandshakeAuth.Add(1)
		return
	}
	// From here on the message is authentic, by its static key.
	p2, err := wire.ParsePayload2(plain)
	if err != nil || p2.Cipher == wire.AES256GCM && !m.cfg.AES {
		m.counters.HandshakeMalformed.Add(1)
		return
	}
	own := id == m.cfg.Identity.Public
	if own && p2.Instance == m.cfg.Instance {
		m.metSelf(u, from)
		return
	}
	if from.Relayed() && from.Hop().Peer != id {
		m.counters.HandshakeIdentity.Add(1)
		return
	}
	if u.peer != nil && u.peer.id != id && !own {
		// Another node is at this candidate. The exchange goes on waiting for the right one.
		m.counters.HandshakeIdentity.Add(1)
		u.peer.exclude(from.Addr, m.now.Add(wrongPeerTime))
		return
	}
	payload3 := wire.Payload3{Instance: m.cfg.Instance, Observed: from.Addr}
	message3, keys, err := u.exchange.finish(hs, payload3.Append(nil))
	if err != nil {
		m.counters.HandshakeAuth.Add(1)
		return
	}
	m.conclude(u, agreement{
		peer: id, instance: p2.Instance, observed: p2.Observed, from: from, cipher: p2.Cipher, keys: keys,
		index: u.index, remote: p2.Sender, initiator: true, took: m.now.Sub(u.began), rtt: m.now.Sub(u.last),
		message3: append(wire.HandshakeHeader{Type: wire.TypeHandshake3, Receiver: p2.Sender}.Append(nil), message3...),
	})
}

// metSelf ends a try that has reached ourselves.
func (m *Machine) metSelf(u *pursuit, from wire.Endpoint) {
	if u.seed != nil {
		u.seed.notBefore = m.now.Add(selfTime)
		m.rest(u)
	} else {
		u.peer.exclude(from.Addr, m.now.Add(selfTime))
	}
	m.emit(SelfEndpoint{Endpoint: from})
}

// conclude makes the keypair of a handshake that we began, and sends message 3.
func (m *Machine) conclude(u *pursuit, a agreement) {
	m.end(u) // the index passes from the exchange to the keypair
	if a.peer == m.cfg.Identity.Public {
		// Someone has a copy of our key. Message 3 lets them know as well.
		m.transmit(a.from, a.message3)
		m.table.release(a.index)
		m.emit(DuplicateIdentity{ID: a.peer, Endpoint: a.from, Instance: a.instance})
		return
	}
	if p := m.peers[a.peer]; p != nil && p.pending != nil && p.session.instance == a.instance {
		// Another handshake with this peer is about to end, through another endpoint.
		m.table.release(a.index)
		m.satisfy(u, p)
		return
	}
	p, k, first := m.accept(a)
	if k == nil {
		return // the pursuit goes on: the peer that we look for is another
	}
	m.satisfy(u, p)
	m.rest(&p.pursuit)
	p.pending = &pending{
		keypair: k, message3: a.message3, endpoint: a.from, deadline: m.now.Add(HandshakeTimeout),
		interval: resendInterval, resend: m.now.Add(resendInterval), rekey: !first, observed: a.observed, took: a.took,
	}
	m.schedule(p.pending.resend)
	m.transmit(a.from, a.message3)
	if p.session.Keypair() == nil {
		p.session.current.Store(k)
	}
	if first {
		m.emit(Established{Session: p.session, Endpoint: a.from, Observed: a.observed, Took: a.took})
	}
}

// satisfy ends a pursuit that has found p.
func (m *Machine) satisfy(u *pursuit, p *peer) {
	m.rest(u)
	if u.seed != nil {
		u.seed.session = p.session
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
