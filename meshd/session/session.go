package session

import (
	"sync/atomic"
	"time"

	"meshnet/meshd/wire"
)

// Session is the keyed conversation with one instance of a peer. It survives rekeys; when the peer restarts, its
// successor takes its place. Its exported methods are safe for concurrent use and do not allocate.
type Session struct {
	id       NodeID
	instance uint64
	began    time.Time // times are kept as durations since then, so that no step of the wall clock fires a timer

	current  atomic.Pointer[Keypair]
	endpoint atomic.Pointer[wire.Endpoint]
	pathMTU  atomic.Pointer[PathMTU]
	lanes    atomic.Uint32 // those beside the first that pass: bit l stands for lane l
	uses     [wire.MaxLanes]laneUse

	lastReceived atomic.Int64 // time.Duration since began
	lastDirect   atomic.Int64 // the same, but not through a relay
	lastSent     atomic.Int64
	unanswered   atomic.Int64 // when data came that nothing was sent after; 0 = none
	awaiting     atomic.Int64 // when data was sent that nothing came after; 0 = none
	asked        atomic.Int64 // when AwaitAnswer was called that nothing came after; 0 = never
	lastLong     atomic.Int64 // when a frame was sent that a datagram of wire.MaxDatagram does not hold; 0 = none
	probesUntil  atomic.Int64 // the time for which TakeProbe has given leave
	relayUntil   atomic.Int64 // the time for which TakeRelay has given leave
	rtt          atomic.Int64 // time.Duration that the last handshake's answer took; 0 = unknown

	rxBytes, rxDatagrams, txBytes, txDatagrams atomic.Uint64

	// The rest is owned by the machine.
	keypairs []*Keypair // all that are accepted, oldest first, with the current one; at most maxKeypairs
}

// Traffic is what a session has carried: sealed messages, with their headers and tags, without those of UDP and IP.
type Traffic struct {
	RxBytes, RxDatagrams uint64
	TxBytes, TxDatagrams uint64
}

func newSession(now time.Time, id NodeID, instance uint64, endpoint wire.Endpoint) *Session {
	s := &Session{id: id, instance: instance, began: now}
	s.probesUntil.Store(-int64(probeBurst * probeInterval))
	s.relayUntil.Store(-int64(relayTime(relayBurst)))
	s.move(endpoint)
	return s
}

// ID returns the peer's identity.
func (s *Session) ID() NodeID { return s.id }

// Instance returns when the peer's meshd started, ns since 1970 by its own clock.
func (s *Session) Instance() uint64 { return s.instance }

// Keypair returns the keypair to seal with, or nil if the session has ended.
func (s *Session) Keypair() *Keypair { return s.current.Load() }

// Endpoint returns where to send sealed messages to.
func (s *Session) Endpoint() wire.Endpoint { return *s.endpoint.Load() }

// Established returns when the first keypair was agreed.
func (s *Session) Established() time.Time { return s.began }

// LastReceived returns when something authentic was last received; at first, when the session was established.
func (s *Session) LastReceived() time.Time { return s.began.Add(time.Duration(s.lastReceived.Load())) }

// LastSent returns when something was last sent; at first, when the session was established.
func (s *Session) LastSent() time.Time { return s.began.Add(time.Duration(s.lastSent.Load())) }

// Traffic returns what the session has carried.
func (s *Session) Traffic() Traffic {
	return Traffic{
		RxBytes: s.rxBytes.Load(), RxDatagrams: s.rxDatagrams.Load(),
		TxBytes: s.txBytes.Load(), TxDatagrams: s.txDatagrams.Load(),
	}
}

// RTT returns how long the peer's answer took in the last handshake, over whatever path; 0 if that is not known.
func (s *Session) RTT() time.Duration { return time.Duration(s.rtt.Load()) }

// received records an authentic datagram of n bytes.
func (s *Session) received(now time.Time, from wire.Endpoint, n int) {
	at := s.since(now)
	s.lastReceived.Store(at)
	if !from.Relayed() {
		s.lastDirect.Store(at)
	}
	s.awaiting.Store(0)
	if s.asked.Load() != 0 {
		s.asked.Store(0)
	}
	if n > wire.Overhead {
		s.unanswered.CompareAndSwap(0, at)
	}
	s.rxBytes.Add(uint64(n))
	s.rxDatagrams.Add(1)
}

// AwaitAnswer records that a frame was sent to one container of the peer, which will hardly be silent: if nothing comes, the path is
// doubted soon. Safe for concurrent use.
func (s *Session) AwaitAnswer(now time.Time) {
	if s.asked.Load() == 0 {
		s.asked.CompareAndSwap(0, s.since(now))
	}
}

// answered records a handshake message that is authentic and fresh, and how long it took to come; 0 if that is not known.
func (s *Session) answered(now time.Time, from wire.Endpoint, rtt time.Duration) {
	at := s.since(now)
	s.lastReceived.Store(at)
	if !from.Relayed() {
		s.lastDirect.Store(at)
	}
	s.awaiting.Store(0)
	s.asked.Store(0)
	s.rtt.Store(int64(rtt))
}

// sent records a sealed datagram of n bytes.
func (s *Session) sent(now time.Time, n int) {
	at := s.since(now)
	s.lastSent.Store(at)
	s.unanswered.Store(0)
	if n > wire.Overhead {
		s.awaiting.CompareAndSwap(0, at)
	}
	s.txBytes.Add(uint64(n))
	s.txDatagrams.Add(1)
}

// move makes e the endpoint. What was known of the path to another one is of no use.
func (s *Session) move(e wire.Endpoint) {
	if old := s.endpoint.Load(); old != nil && *old == e {
		return
	}
	s.endpoint.Store(&e)
	s.SetLanes(0)
	s.SetPathMTU(PathMTU{Datagram: e.MaxDatagram()})
}

// since returns how long after the beginning now is, at least 1 ns, since 0 means never.
func (s *Session) since(now time.Time) int64 { return max(1, int64(now.Sub(s.began))) }

// mayMove reports whether messages under k may move the endpoint: those under a keypair older than the current one may
// have been on their way since before the peer moved.
func (s *Session) mayMove(k *Keypair) bool {
	current := s.current.Load()
	return current == k || current != nil && k.created.After(current.created)
}
