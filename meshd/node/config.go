package node

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// Config says what a node is made of.
type Config struct {
	Name      string           // the network's
	NodeName  string           // this member's, shown to people
	NetworkID [16]byte         //
	PSK       [32]byte         //
	Identity  session.Identity // this member's long-lived key
	Instance  uint64           // this start of the member, ns since 1970; larger at every start
	AES       bool             // this CPU is fast at AES-GCM
	Created   bool             // this member created the network
	Relay     bool             // this member relays datagrams between members that cannot reach each other
	MTU       int              // bytes; of the overlay's interfaces
	Prefix    netip.Prefix     // the overlay's /64
	Pools     []netip.Prefix   // of IPv4 addresses
	DHCP      answer.Mode      // whom DHCP is answered
	Router    bool             // this host's kernel is the gateway
	DNS       []netip.Addr     // servers that containers are told of, of both families
	Domain    string           // which they search

	// Seeds are endpoints ("host:port", the host a name or an address) of members to ask for the others.
	Seeds []string
	// Advertise are endpoints at which others reach this host, beside those of its interfaces.
	Advertise []string
	// Known are members met before this start.
	Known []KnownPeer
	// SaveKnown remembers members for the next start; losing them is harmless. Called from one goroutine.
	SaveKnown func([]KnownPeer)

	// Slot is the network's slot in the hub.
	Slot uint8
	// Underlay sends datagrams. The node does not close it.
	Underlay Underlay
	// TAP is the network's end of the bridge, which frames are written to. Run closes it.
	TAP TAP
	// Queues are the ways in which frames come from the TAP, at least one: the TAP itself, or its queues. Each has a goroutine of its
	// own, and a flow comes by one of them.
	Queues []TAP
	// Lanes is in how many lanes the underlay sends, at most wire.MaxLanes; 0 = 1. What comes by queue i goes by lane i, counted round.
	Lanes int
	// Leases are this member's leases. Run closes the store.
	Leases *ipam.Store

	// Blocks opens the block store of the network's IPv4 addresses; nil: the network has none. Run closes it.
	Blocks func(*Streams) (ipam.BlockStore, error)

	// BridgeMAC returns the MAC of a member's own bridge, which nobody else gets addresses for; nil: it is not known.
	BridgeMAC func(session.NodeID) [6]byte

	// LocalEndpoints returns the endpoints of this host's own interfaces. Called now and then.
	LocalEndpoints func() []netip.AddrPort
	// Resolve turns "host:port" into endpoints.
	Resolve func(ctx context.Context, hostport string) ([]netip.AddrPort, error)

	Log *slog.Logger
}

// TAP is what frames are read from and written to.
type TAP = mesh.TAP

// KnownPeer is a member met before.
type KnownPeer struct {
	ID        session.NodeID
	Name      string
	Endpoints []netip.AddrPort
	Seen      time.Time
}

// Underlay sends datagrams to other hosts.
type Underlay interface {
	// WriteBatch sends ds, keeps nothing of it, and is safe for concurrent use.
	WriteBatch(ds []wire.Datagram) (int, error)
	// Probe sends d, which must not be fragmented on its way. The error wraps wire.ErrTooLong if d cannot even leave this host.
	Probe(d wire.Datagram) error
}
