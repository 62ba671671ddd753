package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"meshnet/meshd/control/stream"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

const (
	// memberPort is the port in members' synthetic addresses. No socket has it; memberlist wants one.
	memberPort = 7946
	// gossipQueue is how many gossip packets wait for memberlist at most, 300 KB.
	gossipQueue = 256

	protoMembership = "membership"
	protoNeighbours = "neighbours"
)

// memberAddr returns the address that memberlist knows node id by: fd and the first 15 bytes of SHA-256 of the ID.
func memberAddr(id session.NodeID) netip.Addr {
	sum := sha256.Sum256(id[:])
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:], sum[:15])
	return netip.AddrFrom16(a)
}

// memberName undoes session.NodeID.String: exactly one name belongs to a node.
func memberName(name string) (session.NodeID, error) {
	id, err := session.ParseNodeID(name)
	if err == nil && id.String() != name {
		err = errors.New("a member's name is lower-case hex")
	}
	return id, err
}

// gossipTransport is memberlist's transport (memberlist.NodeAwareTransport). Members go by name: their addresses are
// never looked up.
type gossipTransport struct {
	c        *Control
	listener *stream.Listener
	packets  chan *memberlist.Packet
	streams  chan net.Conn
}

func newGossipTransport(c *Control) *gossipTransport {
	return &gossipTransport{
		c:        c,
		listener: c.streams.Listen(protoMembership),
		packets:  make(chan *memberlist.Packet, gossipQueue),
		streams:  make(chan net.Conn),
	}
}

// handle queues a copy of a peer's packet, or drops it.
func (t *gossipTransport) handle(from session.NodeID, payload []byte) {
	if !plain(payload) {
		t.c.counters.Malformed.Add(1)
		return
	}
	p := &memberlist.Packet{Buf: bytes.Clone(payload), From: stream.Addr{ID: from}, Timestamp: time.Now()}
	select {
	case t.packets <- p:
	default:
		t.c.counters.GossipQueueFull.Add(1)
	}
}

// memberlist's message types (memberlist v0.7.0, net.go) that plain looks at.
const (
	typePing     = 0
	typeDead     = 5
	typeCompound = 7
	typeUser     = 8
	typeNack     = 11
	typeCRC      = 12
)

// plain reports whether a packet is what a meshnet node sends: one simple message or a compound of simple messages,
// perhaps after a checksum. What memberlist would also unpack, compressed and nested messages, is not used here, and
// could be made to unpack to megabytes.
func plain(b []byte) bool {
	if len(b) > 5 && b[0] == typeCRC {
		b = b[5:]
	}
	if len(b) < 2 || b[0] != typeCompound {
		return len(b) > 0 && simple(b[0])
	}
	// Compound: type (1), count (1), lengths (2 each), messages.
	count := int(b[1])
	if len(b) < 2+2*count {
		return false
	}
	lengths, parts := b[2:2+2*count], b[2+2*count:]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		n := int(binary.BigEndian.Uint16(lengths))
		if n == 0 || n > len(parts) || !simple(parts[0]) {
			return false
		}
		parts = parts[n:]
	}
	return true
}

func simple(messageType byte) bool {
	return messageType <= typeDead || messageType == typeUser || messageType == typeNack
}

// accept hands streams of peers to memberlist until the listener is closed.
func (t *gossipTransport) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		select {
		case t.streams <- conn:
		case <-t.c.stop:
			_ = conn.Close() // the whole connection is ending
			return
		}
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *gossipTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return memberAddr(t.c.cfg.Self).AsSlice(), memberPort, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport. A packet for a peer without a session is lost silently:
// memberlist takes an error for a fault of this node's own, and would never suspect the peer.
func (t *gossipTransport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	now := time.Now()
	id, err := memberName(to.Name)
	if err != nil || len(b) > wire.MaxPayload {
		t.c.counters.Oversized.Add(1)
		return now, nil
	}
	_ = t.c.send(id, wire.TypeGossip, b) // counted
	return now, nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *gossipTransport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	id, err := memberName(to.Name)
	if err != nil {
		return nil, fmt.Errorf("dialing member %q: %w", to.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.c.Dial(ctx, id, protoMembership)
}

var errNameless = errors.New("control: members are reached by name")

// WriteTo implements memberlist.Transport, which never calls it.
func (t *gossipTransport) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNameless }

// DialTimeout implements memberlist.Transport, which never calls it.
func (t *gossipTransport) DialTimeout(string, time.Duration) (net.Conn, error) {
	return nil, errNameless
}

// PacketCh implements memberlist.Transport.
func (t *gossipTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *gossipTransport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport. Control closes the streams itself.
func (t *gossipTransport) Shutdown() error { return t.listener.Close() }
