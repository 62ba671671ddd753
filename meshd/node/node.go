package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// Node is this host's membership of one network. Make it with New, attach it to the hub, then Run it.
type Node struct {
	cfg   Config
	log   *slog.Logger
	under *underlay

	machine   *session.Machine // owned by the loop, except Lookup and Counters
	fabric    *mesh.Switch     // control side owned by the loop
	answers   *answerer
	control   *control.Control
	blocks    ipam.BlockStore // nil without IPv4
	manager   *ipam.Manager   // nil without IPv4
	lostAddrs chan struct{}   // some IPv4 addresses are not this node's any more
	state     loopState       // owned by the loop

	sessions   atomic.Pointer[sessionTable]   // published by the loop for Send and Status
	neighbours atomic.Pointer[neighbourTable] // published by the loop for Attach and Leases
	ended      chan struct{}                  // closed when the loop has returned
	joined     chan struct{}                  // closed by the loop when another member was first alive

	attaching keyed
	inbox     inbox
	buffers   sync.Pool // of *sendBuffer
	counters  Counters
}

// sessionTable holds the sessions that are up, by peer.
type sessionTable map[session.NodeID]*session.Session

// New returns a node that does nothing before Run. The hub may already deliver to it.
func New(cfg Config) (*Node, error) {
	cfg.Lanes = max(cfg.Lanes, 1)
	n := &Node{
		cfg:       cfg,
		log:       cfg.Log.With("network", cfg.Name),
		lostAddrs: make(chan struct{}, 1),
		ended:     make(chan struct{}),
		joined:    make(chan struct{}),
		answers:   newAnswerer(&cfg),
		inbox:     newInbox(),
		buffers:   sync.Pool{New: func() any { return new(sendBuffer) }},
	}
	n.under = newUnderlay(n)
	n.state = newLoopState()
	n.state.local = cfg.LocalEndpoints()
	n.sessions.Store(&sessionTable{})
	n.neighbours.Store(&neighbourTable{})
	n.machine = session.New(session.Config{
		NetworkID: cfg.NetworkID,
		PSK:       cfg.PSK,
		Identity:  cfg.Identity,
		Instance:  cfg.Instance,
		AES:       cfg.AES,
		Slot:      cfg.Slot,
		Log:       n.log,
	})
	n.fabric = mesh.New(mesh.Config{
		Self: cfg.Identity.Public,
		MTU:  cfg.MTU,
		Boundary: mesh.Boundary{
			GatewayMAC: mesh.MAC(ipam.GatewayMAC(cfg.NetworkID)),
			Gateways:   n.answers.gateways(),
		},
		Answerer: n.answers,
		Report:   &n.inbox,
		Log:      n.log,
	})
	var err error
	n.control, err = control.New(control.Config{
		Self:      n.ID(),
		Name:      cfg.NodeName,
		Instance:  cfg.Instance,
		Created:   cfg.Created,
		Relays:    cfg.Relay,
		Endpoints: n.ownEndpoints(),
		Send:      n.send,
		Want:      n.inbox.want,
		Events:    &n.inbox,
		Log:       n.log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting membership: %w", err)
	}
	if err := n.openIPv4(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the registry of IPv4 blocks: %w", err), n.control.Close())
	}
	if err := n.control.Announce(n.ownNeighbours()); err != nil {
		n.log.Error("some containers are not told to the members", "err", err)
	}
	return n, nil
}

// ID returns this member's identity.
func (n *Node) ID() session.NodeID { return n.cfg.Identity.Public }

// Name returns this member's name.
func (n *Node) Name() string { return n.cfg.NodeName }

// Run works until ctx ends, then says goodbye to nobody: the others keep us as a member that may come back. It closes
// the TAP and the lease store, and waits for its goroutines.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outbound := make([]error, len(n.cfg.Queues))
	var wg sync.WaitGroup
	for i, queue := range n.cfg.Queues {
		wg.Go(func() {
			defer cancel()
			outbound[i] = n.fabric.RunOutbound(ctx, uint8(i%n.cfg.Lanes), queue, n.under)
		})
	}
	wg.Go(func() { n.gather(ctx) })
	wg.Go(func() { n.attend(ctx) })
	if n.manager != nil {
		l := n.control.Listen(protoCarve)
		wg.Go(func() { n.serveCarve(ctx, l) })
		wg.Go(func() { n.manager.Run(ctx) })
		wg.Go(func() { n.expire(ctx) })
		wg.Go(func() { n.withdrawLost(ctx) })
	}
	n.loop(ctx)
	var blocks error
	if n.blocks != nil {
		blocks = n.blocks.Close()
	}
	n.control.Close()
	n.cfg.TAP.Close() // again, what RunOutbound has closed
	wg.Wait()
	return errors.Join(errors.Join(outbound...), blocks, n.cfg.Leases.Close())
}

// Leave tells the others that this member will not come back, as far as they can be reached before ctx ends. The
// caller ends Run afterwards.
func (n *Node) Leave(ctx context.Context) error {
	if n.blocks != nil {
		// What this node owned is free again after a grace. If nobody can be asked now, the others find out in time.
		give := registry.Command{Op: registry.OpRemoveNode, To: registry.NodeID(n.ID()), Comment: "it left the network"}
		giving, cancel := context.WithTimeout(ctx, giveBackTimeout) // the members must still hear the goodbye
		err := n.manager.Retire(giving)
		if err == nil {
			_, err = n.blocks.Do(giving, give)
		}
		cancel()
		if err != nil {
			n.log.Warn("the blocks of addresses could not be given back", "err", err)
		}
	}
	if err := n.control.Leave(ctx); err != nil {
		return fmt.Errorf("leaving network %s: %w", n.cfg.Name, err)
	}
	return n.do(ctx, func(now time.Time) {
		for id := range *n.sessions.Load() {
			n.machine.Forget(now, id, wire.CloseLeaving)
		}
	})
}

// giveBackTimeout is how long the registry may take to hear that this node goes.
const giveBackTimeout = 2 * time.Second

// WaitJoined waits until another member is alive and returns an error if this one may not stay: its name is taken.
func (n *Node) WaitJoined(ctx context.Context) error {
	select {
	case <-n.joined:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, m := range n.control.Members() {
		if m.ID != n.ID() && m.Name == n.cfg.NodeName && m.Alive() && m.Instance < n.cfg.Instance {
			return &NameTakenError{Name: m.Name, Owner: m.ID}
		}
	}
	return nil
}

// NameTakenError says that another member has the name that this one wants.
type NameTakenError struct {
	Name  string
	Owner session.NodeID
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("another host of the network is called %q (node %s): give this one a name of its own "+
		"(meshd --name NAME, or the host's name)", e.Name, e.Owner.Short())
}

// send seals payload for a peer and sends it. It is control's way out: safe for concurrent use, and it never blocks.
func (n *Node) send(to session.NodeID, t wire.Type, payload []byte) error {
	s := (*n.sessions.Load())[to]
	if s == nil {
		return errNoSession
	}
	k := s.Keypair()
	if k == nil {
		return errNoSession
	}
	counter, err := k.Reserve(1)
	if err != nil {
		return err
	}
	buf := n.buffers.Get().(*sendBuffer)
	defer n.buffers.Put(buf)
	buf.datagram[0] = wire.Datagram{
		Buf:      k.Seal(buf.bytes[:0], wire.Header{Type: t, Counter: counter}, payload),
		Endpoint: s.Endpoint(),
	}
	k.Sent(time.Now(), len(buf.datagram[0].Buf))
	_, err = n.under.WriteBatch(buf.datagram[:])
	return err
}

// ErrNoIPv4 says that the network has no IPv4 addresses.
var ErrNoIPv4 = errors.New("the network has no IPv4")

var errNoSession = errors.New("no session with this peer")

// sendBuffer is room for one control datagram.
type sendBuffer struct {
	bytes    [wire.MaxDatagram]byte
	datagram [1]wire.Datagram
}

// inOverlay reports whether addr belongs to the overlay: such an address must never be used as an endpoint, or the
// mesh would be carried by itself.
func (n *Node) inOverlay(addr netip.Addr) bool {
	return n.cfg.Prefix.Contains(addr)
}
