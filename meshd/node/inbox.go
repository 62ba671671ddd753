package node

import (
	"time"

	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

const (
	// Queues towards the loop. They hold a burst; what the network will repeat by itself is dropped when they are
	// full, and counted.
	handshakeQueue = 256
	reportQueue    = 1024
	// A long broadcast has the paths to all peers probed at once, and all acknowledgements come at once.
	probeQueue = 4096
)

// inbox is everything that reaches the loop. Its senders never block, but for calls.
type inbox struct {
	first      chan handshake           // first handshake messages, copied: anybody can send them
	handshakes chan handshake           // the others, which name an index of ours
	closes     chan closing             // peers' goodbyes
	probes     chan probe               // peers' path MTU probes, and acknowledgements of ours
	stations   chan station             // MACs that the frame path saw
	reports    chan report              // what the frame path noticed about keypairs
	wants      chan session.NodeID      // peers that control wants to talk to
	members    chan struct{}            // the members changed: read them again
	neighbours chan struct{}            // the neighbour table changed: read it again
	calls      chan func(now time.Time) // functions to run in the loop
}

type handshake struct {
	from     wire.Endpoint
	datagram []byte
}

type closing struct {
	session *session.Session
	payload []byte
}

// probe is a peer's path MTU probe, or what it says to one of ours.
type probe struct {
	session *session.Session
	ack     bool
	wire.Probe
}

// station is a MAC seen behind a node. Stations have a queue of their own: any container can make up MACs, and must not
// push out what sessions depend on.
type station struct {
	mac  mesh.MAC
	node session.NodeID
}

// report is one observation of the frame path about a keypair: its session roamed to from, it was used for a Punch, or it is confirmed.
type report struct {
	keypair *session.Keypair
	roamed  bool
	from    wire.Endpoint
	punched bool
}

func newInbox() inbox {
	return inbox{
		first:      make(chan handshake, handshakeQueue),
		handshakes: make(chan handshake, handshakeQueue),
		closes:     make(chan closing, handshakeQueue),
		probes:     make(chan probe, probeQueue),
		stations:   make(chan station, reportQueue),
		reports:    make(chan report, reportQueue),
		wants:      make(chan session.NodeID, reportQueue),
		members:    make(chan struct{}, 1),
		neighbours: make(chan struct{}, 1),
		calls:      make(chan func(time.Time)),
	}
}

// offer sends v if there is room and says whether there was.
func offer[T any](c chan T, v T) bool {
	select {
	case c <- v:
		return true
	default:
		return false
	}
}

// Learn implements mesh.Report.
func (b *inbox) Learn(mac mesh.MAC, node session.NodeID) bool {
	return offer(b.stations, station{mac: mac, node: node})
}

// want implements control.Config.Want.
func (b *inbox) want(id session.NodeID) { offer(b.wants, id) }

// MemberUp implements control.Events.
func (b *inbox) MemberUp(control.Member) { offer(b.members, struct{}{}) }

// MemberDown implements control.Events.
func (b *inbox) MemberDown(control.Member, bool) { offer(b.members, struct{}{}) }

// NeighboursChanged implements control.Events.
func (b *inbox) NeighboursChanged() { offer(b.neighbours, struct{}{}) }
