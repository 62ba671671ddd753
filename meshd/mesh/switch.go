package mesh

import (
	"cmp"
	"log/slog"
	"sync/atomic"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// Config says what a switch is made of.
type Config struct {
	Self     session.NodeID // this node; must be set
	MTU      int            // bytes, of the overlay's interfaces; must be set
	Boundary Boundary
	Answerer Answerer // nil: nobody
	Report   Report
	Limits   Limits       // DefaultFDB and DefaultPerPeer where zero
	Log      *slog.Logger // none if nil
}

// Limits bound what is learned from others, who may send from any number of MACs.
type Limits struct {
	FDB     int // learned MACs in all
	PerPeer int // learned MACs behind one peer, or behind the TAP
}

// The limits by default: sixteen peers can go wild at once before the others' MACs are not learned any more. What the
// neighbour table says does not count.
const (
	DefaultFDB     = 16384
	DefaultPerPeer = 1024
)

// Report is how the frame path tells control what it noticed. It is called for frames and must not block: what does
// not fit into its queue is dropped, and it returns false.
type Report interface {
	// Learn reports that a frame from mac came through node, or, if node is this one, from the TAP. The switch's
	// owner hands it to Control.Learn.
	Learn(mac MAC, node session.NodeID) bool
}

// TAP is the switch's port to the bridge. A packet is an offload header (package offload) and the frame behind it.
type TAP interface {
	// ReadBatch waits for a packet and reads as many as there are, at most len(packets). They are valid until the next
	// ReadBatch, and the caller may change them and offload.TailLen bytes behind each. After Close it returns an error.
	ReadBatch(packets [][]byte) (int, error)
	// WriteBatch writes packets, which offload.Check has passed, keeps nothing of them, may change them, and returns how many
	// were written. Safe for concurrent use.
	WriteBatch(packets [][]byte) (int, error)
	// Close ends a ReadBatch that waits. It may be called more than once.
	Close() error
}

// Underlay sends datagrams to other hosts.
type Underlay interface {
	// WriteBatch sends ds, keeps nothing of it, and returns how many were sent. A datagram that cannot be sent must
	// not stop those behind it: they may be for other peers.
	WriteBatch(ds []wire.Datagram) (int, error)
}

// Switch is the learning switch between one TAP and many peers. Its Control belongs to one goroutine; the other
// methods are safe for concurrent use.
type Switch struct {
	*Control

	shared   *shared
	boundary boundary
	answerer Answerer
	report   Report
}

// shared is where the two speeds meet: control publishes, the frame path reads.
type shared struct {
	fdb   atomic.Pointer[table]
	full  atomic.Bool // Limits.FDB is reached
	peers atomic.Pointer[peerSet]

	// These do not change.
	local    *peer     // what is behind the TAP
	origin   time.Time // the ages of entries count from it; only differences matter
	maxFrame int       // bytes

	counters Counters // written by both
}

// New returns a switch without peers.
func New(cfg Config) *Switch {
	if cfg.Self == (session.NodeID{}) || cfg.MTU <= 0 || cfg.Report == nil {
		panic("mesh: New needs Self, MTU and Report")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits.FDB = cmp.Or(cfg.Limits.FDB, DefaultFDB)
	cfg.Limits.PerPeer = cmp.Or(cfg.Limits.PerPeer, DefaultPerPeer)
	sh := &shared{
		local:    &peer{id: cfg.Self, local: true},
		origin:   time.Now(),
		maxFrame: cfg.MTU + frameOverhead,
	}
	sh.fdb.Store(&table{})
	sh.peers.Store(&peerSet{})
	return &Switch{
		Control:  newControl(sh, cfg),
		shared:   sh,
		boundary: newBoundary(cfg.Boundary),
		answerer: cfg.Answerer,
		report:   cfg.Report,
	}
}

// Counters returns what the switch carried and dropped.
func (s *Switch) Counters() *Counters { return &s.shared.counters }

// drop counts one drop for reason why.
func (s *Switch) drop(why drop) { s.shared.counters.drop(why, 1) }

// check returns the frame of packet p, and passes if it may cross the mesh.
func (s *Switch) check(p []byte) (frame, drop) {
	if len(p) < offload.HeaderLen {
		return frame{}, dropShort
	}
	maxLen := s.shared.maxFrame
	if !offload.Plain(p) {
		if offload.Check(p, maxLen) != nil {
			return frame{}, dropOffload
		}
		if offload.Segmented(p) {
			maxLen = offload.MaxPacket - offload.HeaderLen // its segments fit
		}
	}
	f, why := parseFrame(p[offload.HeaderLen:], maxLen)
	if why == passes {
		why = s.boundary.judge(f)
	}
	return f, why
}

// age returns now as entries note it.
func (sh *shared) age(now time.Time) time.Duration { return now.Sub(sh.origin) }
