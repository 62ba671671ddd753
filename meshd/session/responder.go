package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"time"

	"github.com/flynn/noise"

	"meshnet/meshd/wire"
)

// responder is the handshakes that peers have begun with us. An index is in it from message 2 until HandshakeTimeout
// later, so that a message 3 that comes again is answered again.
type responder struct {
	byIndex   map[uint32]*halfOpen
	queue     []*halfOpen // the same, oldest first
	open      int         // those without a keypair
	perSource map[netip.Addr]int
}

// halfOpen is one handshake that we have answered.
type halfOpen struct {
	index    uint32
	remote   uint32
	cipher   wire.Cipher
	exchange *exchange
	source   netip.Addr // as sourceOf
	began    time.Time

	keypair  *Keypair // nil until message 3
	message3 [sha256.Size]byte
	repeats  int // message 3s answered again
}

// maxRepeats is how often a message 3 is answered again: as often as an honest initiator sends it again.
const maxRepeats = 8

func newResponder() responder {
	return responder{byIndex: make(map[uint32]*halfOpen), perSource: make(map[netip.Addr]int)}
}

// room reports whether one more handshake from source may be answered.
func (r *responder) room(source netip.Addr) bool {
	return r.open < maxHalfOpen && len(r.queue) < maxAnswered && r.perSource[source] < maxHalfOpenPerSource
}

func (r *responder) add(h *halfOpen) {
	r.byIndex[h.index] = h
	r.queue = append(r.queue, h)
	r.open++
	r.perSource[h.source]++
}

// close ends the waiting for h's message 3.
func (r *responder) close(h *halfOpen) {
	if h.exchange == nil {
		return
	}
	h.exchange = nil
	r.open--
	if r.perSource[h.source]--; r.perSource[h.source] == 0 {
		delete(r.perSource, h.source)
	}
}

// forget removes index, which belongs to a keypair that has ended.
func (r *responder) forget(index uint32) {
	if h := r.byIndex[index]; h != nil {
		r.close(h)
		delete(r.byIndex, index)
	}
}

// expire forgets the handshakes that are older than HandshakeTimeout, and calls release for the indexes of those that
// made no keypair. It returns when the next one will be.
func (r *responder) expire(now time.Time, release func(uint32)) (next time.Time, any bool) {
	for len(r.queue) > 0 {
		h := r.queue[0]
		if end := h.began.Add(HandshakeTimeout); now.Before(end) {
			return end, true
		}
		r.queue[0] = nil
		r.queue = r.queue[1:]
		if r.byIndex[h.index] != h {
			continue // forgotten before
		}
		r.close(h)
		delete(r.byIndex, h.index)
		if h.keypair == nil {
			release(h.index)
		}
	}
	r.queue = nil
	return time.Time{}, false
}

// sourceOf is what the half-open handshakes of one source are counted by: the IPv4 address, or the /64 of IPv6 that
// one host may well own; or who it is, if a relay says so.
func sourceOf(e wire.Endpoint) netip.Addr {
	if e.Relayed() {
		peer := e.Hop().Peer
		return netip.AddrFrom16([16]byte(peer[:16]))
	}
	addr := e.Addr.Addr().Unmap()
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

// HandleHandshake takes a datagram of type Handshake1, 2 or 3. It does not keep datagram.
func (m *Machine) HandleHandshake(now time.Time, from wire.Endpoint, datagram []byte) {
	m.observe(now)
	if !from.Relayed() {
		from.Addr = unmap(from.Addr)
	}
	h, message, err := wire.ParseHandshake(datagram)
	if err != nil || len(datagram) > wire.MaxDatagram || !from.IsValid() {
		m.counters.HandshakeMalformed.Add(1)
		return
	}
	switch h.Type {
	case wire.TypeHandshake1:
		m.handleMessage1(from, message)
	case wire.TypeHandshake2:
		m.handleMessage2(from, h, message)
	case wire.TypeHandshake3:
		m.handleMessage3(from, h, message)
	}
}

// handleMessage1 answers a handshake that a member begins. The steps are in the order of their cost, and only the
// answer itself needs Diffie-Hellman.
func (m *Machine) handleMessage1(from wire.Endpoint, message []byte) {
	ephemeral := [32]byte(message[:32])
	if m.replays.seen(ephemeral) || m.ended.seen(ephemeral) {
		m.counters.HandshakeReplay.Add(1)
		return
	}
	x, hs, plain, err := m.noise.read1(append([]byte(nil), message...))
	if err != nil {
		m.counters.HandshakePSK.Add(1)
		return
	}
	// From here on the sender knows the PSK, but the message may be a recording.
	p1, err := wire.ParsePayload1(plain)
	if err != nil {
		m.counters.HandshakeVersion.Add(1)
		return
	}
	if !m.checkClock(from, p1.Timestamp) {
		return
	}
	if !m.answered.room(sourceOf(from)) || m.table.count <= reservedEntries {
		m.counters.HandshakeFull.Add(1)
		return
	}
	m.replays.add(m.now, ephemeral)
	m.answer(from, p1, x, hs)
}

// answer sends message 2, and waits for message 3.
func (m *Machine) answer(from wire.Endpoint, p1 wire.Payload1, x *exchange, hs *noise.HandshakeState) {
	index, err := m.table.allocate()
	if err != nil {
		m.counters.IndexFull.Add(1)
		return
	}
	cipher := wire.ChaCha20Poly1305
	if m.cfg.AES && p1.Capabilities&wire.CapAES != 0 {
		cipher = wire.AES256GCM
	}
	p2 := wire.Payload2{Cipher: cipher, Sender: index, Instance: m.cfg.Instance, Observed: from.Addr}
	message, err := x.answer(hs, p2.Append(nil))
	if err != nil { // a low-order ephemeral key: RFC 7748, section 6.1
		m.table.release(index)
		m.counters.HandshakeAuth.Add(1)
		return
	}
	m.answered.add(&halfOpen{
		index: index, remote: p1.Sender, cipher: cipher, exchange: x, source: sourceOf(from), began: m.now,
	})
	m.schedule(m.now.Add(HandshakeTimeout))
	m.transmit(from, append(wire.HandshakeHeader{Type: wire.TypeHandshake2, Receiver: p1.Sender}.Append(nil), message...))
}

// checkClock reports whether a message 1's timestamp, in ns since 1970, is near enough to our clock.
func (m *Machine) checkClock(from wire.Endpoint, timestamp int64) bool {
	skew := time.Unix(0, timestamp).Sub(m.now.Round(0))
	if skew.Abs() <= maxClockSkew {
		return true
	}
	m.counters.HandshakeClock.Add(1)
	if m.skewEvent.IsZero() || m.now.Sub(m.skewEvent) >= skewEventInterval {
		m.skewEvent = m.now
		m.emit(ClockSkew{Endpoint: from, Skew: skew})
	}
	return false
}

// handleMessage3 completes a handshake that we have answered.
func (m *Machine) handleMessage3(from wire.Endpoint, h wire.HandshakeHeader, message []byte) {
	ho := m.answered.byIndex[h.Receiver]
	switch {
	case ho == nil:
		m.counters.HandshakeIndex.Add(1)
		return
	case ho.keypair != nil:
		m.repeatAnswer(ho, message)
		return
	case m.now.Sub(ho.began) >= HandshakeTimeout:
		m.counters.HandshakeReplay.Add(1)
		return
	}
	plain, id, keys, err := ho.exchange.read3(message)
	if err != nil {
		m.counters.HandshakeAuth.Add(1)
		return
	}
	// From here on the message is authentic and fresh.
	p3, err := wire.ParsePayload3(plain)
	if err != nil {
		m.counters.HandshakeMalformed.Add(1)
		return
	}
	m.answered.close(ho)
	if id == m.cfg.Identity.Public {
		if p3.Instance != m.cfg.Instance {
			m.emit(DuplicateIdentity{ID: id, Endpoint: from, Instance: p3.Instance})
		}
		m.refuse(ho)
		return
	}
	if from.Relayed() && from.Hop().Peer != id {
		m.counters.HandshakeIdentity.Add(1)
		m.refuse(ho)
		return
	}
	if m.peers[id] == nil && len(m.peers) >= maxPeers {
		m.counters.HandshakeFull.Add(1)
		m.refuse(ho)
		return
	}
	m.complete(ho, message, agreement{
		peer: id, instance: p3.Instance, observed: p3.Observed, from: from, cipher: ho.cipher, keys: keys,
		index: ho.index, remote: ho.remote, took: m.now.Sub(ho.began), rtt: m.now.Sub(ho.began),
	})
}

// refuse ends a handshake that makes no keypair.
func (m *Machine) refuse(ho *halfOpen) {
	m.answered.forget(ho.index)
	m.table.release(ho.index)
}

// complete makes the keypair of a handshake that the peer began, and confirms it to the peer.
func (m *Machine) complete(ho *halfOpen, message []byte, a agreement) {
	p, k, first := m.accept(a)
	if k == nil {
		m.answered.forget(ho.index)
		return
	}
	ho.keypair, ho.message3 = k, sha256.Sum256(message)
	m.rest(&p.pursuit) // a message 1 of ours that is not answered yet has become useless
	m.adopt(p.session, k)
	m.counters.HandshakeDone.Add(1)
	m.seal(k, a.from, wire.TypeKeepalive, nil)
	m.emit(Established{Session: p.session, Endpoint: a.from, Observed: a.observed, Rekey: !first, Took: a.took})
	m.upgrade(p)
}

// repeatAnswer answers a message 3 that has come again, because its confirmation was lost.
func (m *Machine) repeatAnswer(ho *halfOpen, message []byte) {
	sum := sha256.Sum256(message)
	if subtle.ConstantTimeCompare(sum[:], ho.message3[:]) == 0 || ho.repeats >= maxRepeats ||
		m.now.Sub(ho.began) >= HandshakeTimeout {
		m.counters.HandshakeReplay.Add(1)
		return
	}
	ho.repeats++
	m.seal(ho.keypair, ho.keypair.session.Endpoint(), wire.TypeKeepalive, nil)
}
