package session

import (
	"io"
	"log/slog"
	"net/netip"
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
	table    *indexTable
	counters Counters
}

// New returns a machine without peers.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg, table: newIndexTable(cfg.Slot, cfg.Rand)}
}

// Connect asks for a session with id, and for it to be kept: it is made again whenever it is lost, until Forget. Message
// 1 goes to the first MaxCandidates candidates at once, and the first answer wins. Candidates replace those of an
// earlier call; calling again with the same changes nothing.
func (m *Machine) Connect(now time.Time, id NodeID, candidates []netip.AddrPort) {}

// ConnectTo asks for a session with whatever node is at endpoint: it is tried whenever no session has this endpoint or
// was made through it.
func (m *Machine) ConnectTo(now time.Time, endpoint netip.AddrPort) {}

// ForgetEndpoint undoes ConnectTo. A session made through it stays.
func (m *Machine) ForgetEndpoint(endpoint netip.AddrPort) {}

// Forget undoes Connect and drops the session with id at once. If reason is not 0 the peer is told, once.
func (m *Machine) Forget(now time.Time, id NodeID, reason wire.CloseReason) {}

// HandleHandshake takes a datagram of type Handshake1, 2 or 3. It does not keep datagram.
func (m *Machine) HandleHandshake(now time.Time, from wire.Endpoint, datagram []byte) {}

// HandleClose takes the payload of a Close message opened by a keypair of s.
func (m *Machine) HandleClose(now time.Time, s *Session, payload []byte) {}

// Confirmed takes the frame path's report that something was opened under k for the first time.
func (m *Machine) Confirmed(now time.Time, k *Keypair) {}

// Roamed takes the frame path's report that the newest message under k came from another endpoint.
func (m *Machine) Roamed(now time.Time, k *Keypair, from wire.Endpoint) {}

// Advance runs the timers that are due.
func (m *Machine) Advance(now time.Time) {}

// Next returns when Advance is to be called at the latest. It is never zero; to call earlier does no harm. Every other
// method may bring it forward.
func (m *Machine) Next() time.Time { return time.Time{} }

// Drain returns what to send, in this order, and what happened since the last call. Both slices are valid until the
// next call of any method of m; the datagrams' bytes are the caller's to keep.
func (m *Machine) Drain() (out []wire.Datagram, events []Event) { return nil, nil }

// Session returns the session with id, or nil.
func (m *Machine) Session(id NodeID) *Session { return nil }

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
