package session

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/wire"
)

// Config says what a Machine is made of.
type Config struct {
	NetworkID [16]byte
	PSK       [32]byte
	Identity  Identity
	Instance  uint64       // this start of the node, ns since 1970; larger at every start of this identity
	AES       bool         // this CPU has AES instructions
	Rand      io.Reader    // crypto/rand's if nil
	Slot      uint8        // low 8 bits of every receiver index: the hub's name for this network
	Log       *slog.Logger // none if nil
}

// Machine is all sessions of one node in one network. Its methods, except Lookup and Counters, are called from one
// goroutine. It answers through Drain.
type Machine struct {
	cfg      Config
	log      *slog.Logger
	noise    noiseParams
	table    *indexTable
	counters Counters

	now  time.Time // of the latest call
	next time.Time // when Advance has something to do

	peers   map[NodeID]*peer
	roster  []*peer // the same in order of appearance, so that a simulation can be repeated
	seeds   []*seed
	started map[uint32]*pursuit // by our index: message 1 sent
	relays  []NodeID            // members that relay

	answered  responder
	replays   replayCache       // message 1s accepted
	ended     replayCache       // our own message 1s that wait for no answer any more: not answered if they come back
	instances map[NodeID]uint64 // newest known of each peer
	skewEvent time.Time         // of the last ClockSkew

	out, spareOut       []wire.Datagram
	events, spareEvents []Event
}

// New returns a machine without peers.
func New(cfg Config) *Machine {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Machine{
		cfg:       cfg,
		log:       cfg.Log,
		noise:     newNoiseParams(cfg),
		table:     newIndexTable(cfg.Slot, cfg.Rand),
		peers:     make(map[NodeID]*peer),
		started:   make(map[uint32]*pursuit),
		answered:  newResponder(),
		instances: make(map[NodeID]uint64),
	}
}

// Connect asks for a session with id, and for it to be kept: it is made again whenever it is lost, until Forget. Message
// 1 goes to the first MaxCandidates candidates at once, and the first answer wins. Candidates replace those of an
// earlier call; calling again with the same changes nothing.
func (m *Machine) Connect(now time.Time, id NodeID, candidates []netip.AddrPort) {
	m.observe(now)
	if id == m.cfg.Identity.Public {
		return
	}
	p := m.ensurePeer(id)
	p.wanted = true
	changed := p.setCandidates(candidates)
	switch {
	case changed && p.pursuit.upgrade:
		p.upgrades = 0
		p.pursuit.hasten(now)
		m.schedule(p.pursuit.next)
	case p.session != nil || p.pending != nil:
		m.upgrade(p) // if that was waiting for candidates
	case !p.pursuit.active:
		m.pursue(&p.pursuit, now)
	case changed:
		// Try the new ones soon, however long the old ones have been silent.
		p.pursuit.hasten(now)
		m.schedule(p.pursuit.next)
	}
}

// ConnectTo asks for a session with whatever node is at endpoint: it is tried whenever no session has this endpoint or
// was made through it.
func (m *Machine) ConnectTo(now time.Time, endpoint netip.AddrPort) {
	m.observe(now)
	endpoint = unmap(endpoint)
	if slices.ContainsFunc(m.seeds, func(s *seed) bool { return s.addr == endpoint }) {
		return
	}
	s := &seed{addr: endpoint}
	s.pursuit.seed = s
	m.seeds = append(m.seeds, s)
	m.advanceSeed(s)
}

// ForgetEndpoint undoes ConnectTo. A session made through it stays.
func (m *Machine) ForgetEndpoint(endpoint netip.AddrPort) {
	endpoint = unmap(endpoint)
	m.seeds = slices.DeleteFunc(m.seeds, func(s *seed) bool {
		if s.addr != endpoint {
			return false
		}
		m.rest(&s.pursuit)
		return true
	})
}

// Forget undoes Connect and drops the session with id at once. If reason is not 0 the peer is told, once.
func (m *Machine) Forget(now time.Time, id NodeID, reason wire.CloseReason) {
	m.observe(now)
	p := m.peers[id]
	if p == nil {
		return
	}
	p.wanted = false
	if p.session != nil {
		if k := p.session.Keypair(); k != nil && reason != 0 {
			m.seal(k, p.session.Endpoint(), wire.TypeClose, reason.Append(nil))
		}
		m.dropSession(p)
	}
	m.rest(&p.pursuit)
	m.removeIfIdle(p)
}

// HandleClose takes the payload of a Close message opened by a keypair of s. A payload without a reason changes nothing.
func (m *Machine) HandleClose(now time.Time, s *Session, payload []byte) {
	m.observe(now)
	p := m.peers[s.id]
	reason, err := wire.ParseClose(payload)
	if err != nil || p == nil || p.session != s {
		return
	}
	m.dropSession(p)
	m.emit(Closed{ID: s.id, Reason: reason})
	if p.wanted {
		m.postpone(&p.pursuit)
	} else {
		m.rest(&p.pursuit)
	}
	m.removeIfIdle(p)
}

// Confirmed takes the frame path's report that something was opened under k for the first time.
func (m *Machine) Confirmed(now time.Time, k *Keypair) {
	m.observe(now)
	p := m.peerOf(k)
	if p == nil || k.confirmed.Load() {
		return
	}
	k.confirmed.Store(true)
	m.counters.HandshakeDone.Add(1)
	m.adopt(p.session, k)
	if w := p.pending; w != nil && w.keypair == k {
		p.pending = nil
		if w.rekey {
			m.emit(Established{
				Session: p.session, Endpoint: p.session.Endpoint(), Observed: w.observed, Rekey: true, Took: w.took,
			})
		}
		m.upgrade(p)
	}
}

// Roamed takes the frame path's report that the newest message under k came from another endpoint.
func (m *Machine) Roamed(now time.Time, k *Keypair, from wire.Endpoint) {
	m.observe(now)
	if p := m.peerOf(k); p != nil && p.session.mayMove(k) && from.IsValid() && p.session.follows(now, from) {
		m.move(p, from)
		m.counters.Roamed.Add(1)
	}
}

// Next returns when Advance is to be called at the latest. It is never zero after the first call of another method; to
// call Advance earlier does no harm. Every other method may bring it forward.
func (m *Machine) Next() time.Time { return m.next }

// Drain returns what to send, in this order, and what happened since the last call. Both slices are valid until the
// next call of any method of m; the datagrams' bytes are the caller's to read for as long as it likes.
func (m *Machine) Drain() (out []wire.Datagram, events []Event) {
	out, events = m.out, m.events
	clear(m.spareOut[:cap(m.spareOut)])
	clear(m.spareEvents[:cap(m.spareEvents)])
	m.out, m.spareOut = m.spareOut[:0], out
	m.events, m.spareEvents = m.spareEvents[:0], events
	return out, events
}

// Session returns the session with id, or nil.
func (m *Machine) Session(id NodeID) *Session {
	if p := m.peers[id]; p != nil {
		return p.session
	}
	return nil
}

// Lookup returns the keypair that a sealed message's receiver index names, or nil, which is counted. It is lock-free and
// safe for concurrent use.
func (m *Machine) Lookup(index uint32) *Keypair {
	k := m.table.lookup(index)
	if k == nil {
		m.counters.UnknownIndex.Add(1)
	}
	return k
}

// Counters returns m's counters, which may be read at any time.
func (m *Machine) Counters() *Counters { return &m.counters }

// observe records the time of a call.
func (m *Machine) observe(now time.Time) {
	m.now = now
	if m.next.IsZero() {
		m.next = now.Add(idleInterval)
	}
}

// schedule makes Next at most at.
func (m *Machine) schedule(at time.Time) {
	if m.next.IsZero() || at.Before(m.next) {
		m.next = at
	}
}

func (m *Machine) emit(e Event) { m.events = append(m.events, e) }

func (m *Machine) transmit(to wire.Endpoint, datagram []byte) {
	m.out = append(m.out, wire.Datagram{Buf: datagram, Endpoint: to})
}

// seal sends one sealed message under k, if k still may.
func (m *Machine) seal(k *Keypair, to wire.Endpoint, t wire.Type, payload []byte) {
	counter, err := k.Reserve(1)
	if err != nil {
		return // the keypair is about to be replaced or dropped
	}
	datagram := k.Seal(make([]byte, 0, wire.Overhead+len(payload)), wire.Header{Type: t, Counter: counter}, payload)
	if k.session != nil {
		k.Sent(m.now, len(datagram))
	}
	m.transmit(to, datagram)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
