package session

import (
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// Advance runs the timers that are due.
func (m *Machine) Advance(now time.Time) {
	m.observe(now)
	if now.Before(m.next) {
		return
	}
	m.next = now.Add(idleInterval)
	if next, any := m.answered.expire(now, m.table.release); any {
		m.schedule(next)
	}
	for _, p := range slices.Clone(m.roster) {
		m.advancePending(p)
		m.advanceSession(p)
		m.advancePursuit(&p.pursuit)
	}
	for _, s := range m.seeds {
		m.advanceSeed(s)
		m.advancePursuit(&s.pursuit)
	}
}

// advancePursuit begins the next try of a pursuit if it is time.
func (m *Machine) advancePursuit(u *pursuit) {
	if !u.active {
		return
	}
	if m.now.Before(u.next) {
		m.tryRelays(u)
		m.schedule(u.next)
		return
	}
	m.try(u)
}

// advanceSeed begins or ends the pursuit of a seed as its sessions come and go.
func (m *Machine) advanceSeed(s *seed) {
	m.schedule(m.now.Add(pollInterval))
	switch found := m.satisfied(s); {
	case found:
		m.rest(&s.pursuit)
	case !m.now.Before(s.notBefore):
		m.pursue(&s.pursuit, m.now)
	}
}

// satisfied reports whether there is a session at the seed's endpoint, or one that was made through it.
func (m *Machine) satisfied(s *seed) bool {
	if s.session != nil && s.session.Keypair() != nil {
		return true
	}
	s.session = nil
	return slices.ContainsFunc(m.roster, func(p *peer) bool {
		return p.session != nil && p.session.Endpoint().Addr == s.addr
	})
}

// resendInterval is the time from message 3 to its first repetition; it doubles.
const resendInterval = 500 * time.Millisecond

// advancePending sends message 3 again, until it is confirmed or too old.
func (m *Machine) advancePending(p *peer) {
	w := p.pending
	if w == nil {
		return
	}
	if w.keypair.heard.Load() { // the frame path's report was lost
		m.Confirmed(m.now, w.keypair)
		return
	}
	if !m.now.Before(w.deadline) {
		p.pending = nil
		m.dropKeypair(w.keypair)
		if p.session.Keypair() == nil {
			m.lose(p, LostUnconfirmed)
		} else {
			m.pursue(&p.pursuit, m.now)
		}
		return
	}
	if !m.now.Before(w.resend) {
		m.transmit(w.endpoint, w.message3)
		w.interval *= 2
		w.resend = m.now.Add(w.interval)
	}
	m.schedule(w.resend)
	m.schedule(w.deadline)
}

// advanceSession drops what has expired, and keeps the session alive. The frame path moves the times that this looks at
// without waking the machine, so it is done every pollInterval.
func (m *Machine) advanceSession(p *peer) {
	s := p.session
	if s == nil {
		return
	}
	m.schedule(m.now.Add(pollInterval))
	for _, k := range slices.Clone(s.keypairs) {
		if m.now.Sub(k.created) >= RejectAfterTime {
			m.dropKeypair(k)
		}
	}
	k := s.Keypair()
	switch {
	case k == nil:
		m.lose(p, LostExpired)
		return
	case s.sinceReceived(m.now) >= LostTimeout:
		m.lose(p, LostSilent)
		return
	}
	m.keepReached(p, k)
	if s.keepaliveDue(m.now) {
		m.seal(k, s.Endpoint(), wire.TypeKeepalive, nil)
	}
}

// keepReached looks for p again, or for a better path to it, and asks for a sign of life before that.
func (m *Machine) keepReached(p *peer, k *Keypair) {
	s := p.session
	switch {
	case p.pending != nil:
	case k.needsRekey(m.now) || m.silent(p):
		m.pursue(&p.pursuit, m.now)
	case s.Endpoint().Relayed():
		m.upgrade(p)
	}
	if m.hasRelay(p) && s.doubted(m.now) >= DoubtTimeout {
		m.askForLife(p, k)
	}
}

// lose ends the session with p, and looks for p if it is wanted.
func (m *Machine) lose(p *peer, reason LostReason) {
	m.dropSession(p)
	m.emit(Lost{ID: p.id, Reason: reason})
	if p.wanted {
		m.pursue(&p.pursuit, m.now)
	} else {
		m.rest(&p.pursuit)
	}
	m.removeIfIdle(p)
}

// needsRekey reports whether this side is to begin a handshake because of the age or use of its current keypair k.
func (k *Keypair) needsRekey(now time.Time) bool {
	age := now.Sub(k.created)
	return age >= RekeyAfterTimeLate || k.initiator && age >= RekeyAfterTime || k.counter.Load() >= RekeyAfterMessages
}

// sinceReceived returns for how long nothing was received.
func (s *Session) sinceReceived(now time.Time) time.Duration {
	return now.Sub(s.began) - time.Duration(s.lastReceived.Load())
}

// silent reports whether p does not answer, so that it has to be looked for: that is known earlier where it is asked for signs of
// life, since there may be a relay to it.
func (m *Machine) silent(p *peer) bool {
	return p.session.silent(m.now) || m.hasRelay(p) && p.session.doubted(m.now) >= UnansweredTimeout
}

// silent reports whether data was not answered for long, or nothing was heard at all.
func (s *Session) silent(now time.Time) bool {
	awaiting := s.awaiting.Load()
	return awaiting != 0 && s.since(now)-awaiting >= int64(DeadPeerTimeout) || s.sinceReceived(now) >= QuietPeerTimeout
}

// keepaliveDue reports whether the peer has to hear from us.
func (s *Session) keepaliveDue(now time.Time) bool {
	at, unanswered := s.since(now), s.unanswered.Load()
	return unanswered != 0 && at-unanswered >= int64(KeepaliveTimeout) ||
		at-s.lastSent.Load() >= int64(PersistentKeepalive)
}
