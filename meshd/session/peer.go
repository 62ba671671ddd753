package session

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// peer is what the machine knows of another node: it exists while the node is wanted, or there is a session.
type peer struct {
	id         NodeID
	wanted     bool
	candidates []candidate
	pursuit    pursuit
	pending    *pending // our message 3 that is not confirmed; its keypair belongs to session
	session    *Session // nil if there is none
	upgrades   int      // tries to reach the peer directly since that was last possible, or new candidates came
	lifeProbes uint32   // Probes sent that ask for a sign of life
}

// candidate is an endpoint at which the peer may be.
type candidate struct {
	addr      netip.AddrPort
	notBefore time.Time // not tried until then: another node has answered there
}

// pending is a message 3 that is sent again until something is opened under its keypair.
type pending struct {
	keypair  *Keypair
	message3 []byte // the datagram
	endpoint wire.Endpoint
	deadline time.Time
	resend   time.Time
	interval time.Duration // to the next resend
	rekey    bool          // Established is due when it is confirmed
	observed netip.AddrPort
	took     time.Duration
}

// ensurePeer returns the peer with id, and makes it if there is none.
func (m *Machine) ensurePeer(id NodeID) *peer {
	p := m.peers[id]
	if p == nil {
		p = &peer{id: id}
		p.pursuit.peer = p
		m.peers[id] = p
		m.roster = append(m.roster, p)
	}
	return p
}

// removeIfIdle forgets p if there is no reason to know it.
func (m *Machine) removeIfIdle(p *peer) {
	if p.wanted || p.session != nil || p.pursuit.active {
		return
	}
	delete(m.peers, p.id)
	if i := slices.Index(m.roster, p); i >= 0 {
		m.roster = slices.Delete(m.roster, i, i+1)
	}
}

// peerOf returns the peer whose session k still belongs to, or nil.
func (m *Machine) peerOf(k *Keypair) *peer {
	p := m.peers[k.session.id]
	if p == nil || p.session != k.session || k.expired.Load() {
		return nil
	}
	return p
}

// setCandidates replaces the candidates and reports whether there is a new one.
func (p *peer) setCandidates(addrs []netip.AddrPort) (changed bool) {
	var candidates []candidate
	for _, addr := range addrs {
		addr = unmap(addr)
		if !addr.IsValid() || len(candidates) == MaxCandidates {
			continue
		}
		same := func(c candidate) bool { return c.addr == addr }
		if slices.ContainsFunc(candidates, same) {
			continue
		}
		c := candidate{addr: addr}
		if i := slices.IndexFunc(p.candidates, same); i >= 0 {
			c = p.candidates[i]
		} else {
			changed = true
		}
		candidates = append(candidates, c)
	}
	p.candidates = candidates
	return changed
}

// exclude leaves the candidate addr out until then.
func (p *peer) exclude(addr netip.AddrPort, until time.Time) {
	for i := range p.candidates {
		if p.candidates[i].addr == addr {
			p.candidates[i].notBefore = until
		}
	}
}

// accept makes a keypair of the session with an authenticated peer from the outcome of a handshake, and reports whether
// that is the session's first. It returns nil, and has released the index, if the peer is an instance that must not be:
// older than one already known.
func (m *Machine) accept(a agreement) (p *peer, k *Keypair, first bool) {
	k, err := m.newKeypair(a)
	if err != nil {
		m.log.Error("handshake abandoned", "peer", a.peer.Short(), "endpoint", a.from, "err", err)
		m.table.release(a.index)
		return nil, nil, false
	}
	if a.instance < m.instances[a.peer] {
		if a.message3 != nil {
			m.transmit(a.from, a.message3)
		}
		m.seal(k, a.from, wire.TypeClose, wire.CloseDuplicate.Append(nil))
		m.table.release(a.index)
		m.emit(DuplicateIdentity{ID: a.peer, Endpoint: a.from, Instance: a.instance})
		return nil, nil, false
	}
	m.rememberInstance(a.peer, a.instance)
	p = m.ensurePeer(a.peer)
	if p.session != nil && p.session.instance != a.instance {
		m.dropSession(p) // the peer has restarted
	}
	if p.session == nil {
		p.session = newSession(m.now, a.peer, a.instance, a.from)
		first = true
	}
	m.move(p, a.from)
	p.session.answered(m.now, a.from, a.rtt)
	k.session = p.session
	p.session.keypairs = append(p.session.keypairs, k)
	m.limitKeypairs(p)
	m.table.publish(k)
	m.schedule(m.now.Add(pollInterval))
	return p, k, first
}

// rememberInstance records the newest instance of id.
func (m *Machine) rememberInstance(id NodeID, instance uint64) {
	m.instances[id] = instance
	for other := range m.instances {
		if len(m.instances) <= maxInstances {
			return
		}
		if m.peers[other] == nil && other != id {
			delete(m.instances, other)
		}
	}
}

// limitKeypairs drops the oldest keypairs that are beyond maxKeypairs, but not those in use.
func (m *Machine) limitKeypairs(p *peer) {
	s := p.session
	for i := 0; len(s.keypairs) > maxKeypairs && i < len(s.keypairs)-1; {
		k := s.keypairs[i]
		if k == s.Keypair() || p.pending != nil && p.pending.keypair == k {
			i++
			continue
		}
		m.dropKeypair(k)
	}
}

// adopt makes k, which the peer holds too, the keypair to seal with, unless it loses against a rival: when both sides
// have begun a handshake at once, both end with the one begun by the node with the lower ID.
func (m *Machine) adopt(s *Session, k *Keypair) {
	if c := s.Keypair(); c != nil && c != k && c.confirmed.Load() && rivals(c, k) && m.prefers(s, c) {
		return
	}
	s.current.Store(k)
}

// rivals reports whether a and b come from handshakes that both sides began at about the same time.
func rivals(a, b *Keypair) bool {
	return a.initiator != b.initiator && a.created.Sub(b.created).Abs() < HandshakeTimeout
}

func (m *Machine) prefers(s *Session, k *Keypair) bool {
	return k.initiator == (bytes.Compare(m.cfg.Identity.Public[:], s.id[:]) < 0)
}

// dropSession ends the session with p and all its keypairs.
func (m *Machine) dropSession(p *peer) {
	s := p.session
	p.session, p.pending = nil, nil
	s.current.Store(nil)
	for len(s.keypairs) > 0 {
		m.dropKeypair(s.keypairs[0])
	}
}

// dropKeypair ends k: nothing is sealed or opened under it any more. If it was the current one, the youngest takes its
// place, a confirmed one before others.
func (m *Machine) dropKeypair(k *Keypair) {
	s := k.session
	k.expired.Store(true)
	m.table.release(k.index)
	m.answered.forget(k.index)
	s.keypairs = slices.DeleteFunc(s.keypairs, func(other *Keypair) bool { return other == k })
	if s.Keypair() != k {
		return
	}
	s.current.Store(nil)
	for _, other := range s.keypairs {
		if c := s.Keypair(); c == nil || other.confirmed.Load() || !c.confirmed.Load() {
			s.current.Store(other)
		}
	}
}
