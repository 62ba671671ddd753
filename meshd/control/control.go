package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/control/stream"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// Neighbour is one attachment of some node.
type Neighbour = neighbour.Neighbour

// Errors of streams.
var (
	ErrProtocol = stream.ErrProtocol // the peer does not speak the protocol that was dialed
	ErrBusy     = stream.ErrBusy     // the peer takes no more streams
)

// Config is what a Control needs. All fields are required, but Endpoints may be empty.
type Config struct {
	Self      session.NodeID
	Name      string // 1 to MaxName printable ASCII characters without space
	Instance  uint64 // when this meshd started; grows with each start
	Created   bool   // this node created the network
	Relays    bool   // this node relays
	Endpoints []netip.AddrPort

	// Send seals and sends one datagram. It must not block and must not keep payload, which has at most
	// wire.MaxPayload bytes. An error says that there is no session with to.
	Send func(to session.NodeID, t wire.Type, payload []byte) error
	// Want asks for a session with id; Met reports it. It must not block.
	Want func(id session.NodeID)
	// Events is told what changes.
	Events Events
	Log    *slog.Logger
}

// Events is told what changes, from one goroutine. Its methods must not block, nor call Close or Leave.
type Events interface {
	MemberUp(m Member)              // another node joined, returned, restarted or changed its data
	MemberDown(m Member, left bool) // another node vanished, or left
	NeighboursChanged()             // Neighbours returns something else than before
}

// Control is one node's part in the control of its network. All methods are safe for concurrent use.
type Control struct {
	cfg      Config
	counters Counters
	streams  *stream.Transport
	gossip   *gossipTransport
	members  *memberlist.Memberlist
	queue    *memberlist.TransmitLimitedQueue // gossip of the neighbour table
	alive    atomic.Int64                     // alive members, this node included

	wake chan struct{} // the loop has something to do
	stop chan struct{} // closed by Close
	wg   sync.WaitGroup

	ending sync.Mutex // held by Leave and Close
	ended  bool

	gate   sync.RWMutex // read-held while sending
	closed bool         // nothing is sent any more

	mu        sync.Mutex
	self      meta
	renew     bool // self has changed and memberlist does not know
	roster    *roster
	tables    *neighbour.Tables
	intros    *introductions
	fetches   *fetches
	greetings *greetings
	met       map[session.NodeID]uint64 // instance of the last session with each
	events    []event
	changed   bool // the neighbour table
}

// event is a call of Events.MemberUp or MemberDown that has to be made.
type event struct {
	member Member
	up     bool
}

// New starts a Control. Announce should follow before the first session is met.
func New(cfg Config) (*Control, error) {
	if err := checkName(cfg.Name); err != nil {
		return nil, err
	}
	now := time.Now()
	c := &Control{
		cfg:       cfg,
		wake:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		self:      meta{instance: cfg.Instance, created: cfg.Created, relays: cfg.Relays, name: cfg.Name, endpoints: clean(cfg.Endpoints)},
		roster:    newRoster(),
		tables:    neighbour.NewTables(now, cfg.Self, cfg.Instance),
		intros:    newIntroductions(),
		fetches:   newFetches(),
		greetings: newGreetings(),
		met:       make(map[session.NodeID]uint64),
	}
	c.queue = &memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return int(c.alive.Load()) },
		RetransmitMult: retransmitMult,
	}
	var err error
	c.streams, err = stream.New(stream.Config{
		Self: cfg.Self,
		Send: func(to session.NodeID, packet []byte) { _ = c.send(to, wire.TypeStream, packet) }, // lost, counted
		Log:  cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	c.gossip = newGossipTransport(c)
	if c.members, err = memberlist.Create(c.memberlistConfig()); err != nil {
		return nil, errors.Join(fmt.Errorf("starting memberlist: %w", err), c.streams.Close())
	}
	c.wg.Go(c.gossip.accept)
	listener := c.streams.Listen(protoNeighbours)
	c.wg.Go(func() { c.serveTables(listener) })
	c.wg.Go(c.loop)
	return c, nil
}

// send sends one datagram unless Close has been called. When there is no session, it asks for one.
func (c *Control) send(to session.NodeID, t wire.Type, payload []byte) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.closed {
		return net.ErrClosed
	}
	err := c.cfg.Send(to, t, payload)
	if err != nil {
		c.counters.NoSession.Add(1)
		c.cfg.Want(to)
	}
	return err
}

// Handle takes in the payload of a Gossip or Stream datagram that a session with from has opened, and copies it. It
// never blocks: what does not fit into the queues is dropped and counted.
func (c *Control) Handle(from session.NodeID, t wire.Type, payload []byte) {
	switch {
	case len(payload) > wire.MaxPayload:
		c.counters.Oversized.Add(1)
	case t == wire.TypeGossip:
		c.gossip.handle(from, payload)
	case t == wire.TypeStream:
		c.streams.Handle(from, payload)
	default:
		c.counters.Malformed.Add(1)
	}
}

// Met says that a session with the given instance of id is up, a new one or one with new keys. If id is not an alive
// member of that instance, states are exchanged until it is. Connections with an earlier instance are closed.
func (c *Control) Met(id session.NodeID, instance uint64) {
	if id == c.cfg.Self {
		return
	}
	c.mu.Lock()
	last, known := c.met[id]
	c.met[id] = instance
	c.greetings.met(time.Now(), id)
	if m := c.roster.members[id]; !m.Alive() || m.Instance < instance {
		c.intros.met(time.Now(), id, c.cfg.Instance > instance)
	}
	c.mu.Unlock()
	if known && last < instance {
		c.streams.Disconnect(id)
	}
	c.signal()
}

// Members returns all members in no order: this node, alive ones, dead ones for 72 hours, and for some minutes those
// who left.
func (c *Control) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster.list()
}

// NameConflicts returns the names that more than one member has.
func (c *Control) NameConflicts() []Conflict { return conflicts(c.Members()) }

// SetEndpoints changes where this node can be reached and tells the members. The first 8 are told.
func (c *Control) SetEndpoints(endpoints []netip.AddrPort) {
	c.mu.Lock()
	c.self.endpoints = clean(endpoints)
	c.renew = true
	c.mu.Unlock()
	c.signal()
}

// clean returns what can be told of endpoints.
func clean(endpoints []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range endpoints {
		if e.IsValid() && len(out) < maxEndpoints {
			out = append(out, netip.AddrPortFrom(e.Addr().Unmap().WithZone(""), e.Port()))
		}
	}
	return out
}

// Dial opens a stream to protocol proto at node id and returns when the request is on its way; whether id speaks the
// protocol shows at the first Read. Without a session it asks for one and tries until ctx ends, or for some seconds.
func (c *Control) Dial(ctx context.Context, id session.NodeID, proto string) (net.Conn, error) {
	conn, err := c.streams.Dial(ctx, id, proto)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Listen accepts the streams that other nodes open to proto; their RemoteAddr is a stream.Addr. A name that is
// malformed (1 to 32 bytes) or taken panics.
func (c *Control) Listen(proto string) net.Listener { return c.streams.Listen(proto) }

// Counters returns what was done and dropped, by name.
func (c *Control) Counters() map[string]uint64 {
	all := c.streams.Counters()
	c.counters.addTo(all)
	return all
}

// leaveTimeout is how long Leave waits at most for the news to spread.
const leaveTimeout = 5 * time.Second

// Leave tells the members that this node leaves for good, and then closes. It returns ctx's error if ctx ended before
// the news was out; it is closed even so.
func (c *Control) Leave(ctx context.Context) error {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.ended {
		return net.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	lonely := c.alive.Load() <= 1
	told := make(chan struct{})
	left := neighbour.Left{Owner: c.cfg.Self, Epoch: c.cfg.Instance}
	c.enqueue(&broadcast{message: left.Append(nil), sent: told})
	// memberlist queues its message at once and would only wait for it, deaf to ctx. Both travel together.
	_ = c.members.Leave(time.Nanosecond)
	var err error
	if !lonely {
		select {
		case <-told:
		case <-ctx.Done():
			err = fmt.Errorf("telling the members: %w", context.Cause(ctx))
		}
	}
	return errors.Join(err, c.shutdown())
}

// Linger is how long after Close or Leave memberlist's goroutines may still wait for answers, with nothing to send and
// nobody to tell: memberlist has no way to wait for them. It is the longest that one probe takes. A test in a synctest
// bubble sleeps for so long before it ends.
const Linger = probeInterval * maxAwareness

// Close ends everything without telling the members, who will find that this node has vanished. All goroutines but
// memberlist's have ended when it returns (see Linger).
func (c *Control) Close() error {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.ended {
		return nil
	}
	return c.shutdown()
}

// shutdown ends everything; c.ending is held.
func (c *Control) shutdown() error {
	c.ended = true
	close(c.stop)
	err := errors.Join(c.streams.Close(), c.members.Shutdown())
	c.gate.Lock()
	c.closed = true
	c.gate.Unlock()
	c.wg.Wait()
	return err
}
