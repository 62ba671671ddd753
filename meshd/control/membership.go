package control

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/hashicorp/memberlist"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

const (
	// delegateVersion is the version of what travels inside memberlist's messages: member data and the neighbour
	// table.
	delegateVersion = 1
	// retransmitMult times log10 of the number of members, rounded up, is how often a node sends a message about the
	// neighbour table. With memberlist's 4, in a network of 8 that loses 5 %, one message in 30 would miss somebody,
	// who would wait for push/pull.
	retransmitMult = 8
	// probeInterval is memberlist's; see memberlistConfig. An overloaded node makes it up to maxAwareness times longer.
	probeInterval = 1500 * time.Millisecond
	maxAwareness  = 4
	// maxClockSkew is how far ahead of ours another node's clock may be: as far as sessions allow.
	maxClockSkew = 10 * time.Minute
	// crcLen is what memberlist adds to a packet after it has filled it: type (1) and checksum (4).
	crcLen = 5
)

// memberlistConfig returns memberlist's configuration. The timings stand 300 ms round trips and 5 % loss without a
// member being declared dead, and still notice one that vanished, mostly within 10 s.
func (c *Control) memberlistConfig() *memberlist.Config {
	mc := memberlist.DefaultLANConfig()
	mc.Name = c.cfg.Self.String()
	mc.Transport = c.gossip
	mc.RequireNodeNames = true
	mc.AdvertisePort, mc.BindPort = memberPort, memberPort
	mc.Delegate, mc.Events, mc.Alive = c.delegate(), c.delegate(), c.delegate()
	mc.DelegateProtocolMin, mc.DelegateProtocolMax, mc.DelegateProtocolVersion = delegateVersion, delegateVersion, delegateVersion
	mc.Logger = log.New(&logAdapter{log: c.cfg.Log, dropped: &c.counters.LogsDropped}, "", 0)

	// One probe: a ping and its answer take a round trip (300 ms, and as much again for jitter and a busy host), then
	// a ping through another member takes two, and so does a ping over a new stream: 1.5 s hold all of it. At 5 %
	// loss one probe in 2,000 fails altogether, so suspicion is rare; LAN's 1 s would suspect constantly at 300 ms.
	mc.ProbeInterval = probeInterval
	mc.ProbeTimeout = 600 * time.Millisecond
	mc.IndirectChecks = 3
	mc.DisableTcpPings = false // a stream repeats what is lost: the last word before suspicion
	// A suspect has 4.5 s in a small network, 6.6 s among 30, to hear of it and refute: several rounds of gossip. With
	// no second member that suspects it too, our own connection may be the cause, and it has three times that; LAN's
	// six would leave the dead among the living for a minute.
	mc.SuspicionMult = 3
	mc.SuspicionMaxTimeoutMult = 3
	mc.AwarenessMaxMultiplier = maxAwareness // an overloaded node probes every 6 s at least: it may be the only prober

	// Gossip: news reaches 30 members in about four rounds, 0.8 s.
	mc.GossipInterval = 200 * time.Millisecond
	mc.GossipNodes = 3
	mc.RetransmitMult = 4                     // for memberlist's own messages: what these miss, probes and push/pull bring
	mc.GossipToTheDeadTime = 30 * time.Second // as long as push/pull may take to come round
	// Push/pull repairs what gossip lost. It costs about 150 bytes for each member and table.
	mc.PushPullInterval = 30 * time.Second
	mc.TCPTimeout = 10 * time.Second // two whole handshakes of a stream on a bad path

	mc.UDPBufferSize = wire.MaxPayload - crcLen
	mc.EnableCompression = false                                    // small packets gain nothing; see plain
	mc.GossipVerifyIncoming, mc.GossipVerifyOutgoing = false, false // the session encrypts and authenticates
	return mc
}

// delegate is Control as memberlist sees it: the Delegate, EventDelegate and AliveDelegate. memberlist calls these
// methods with its own lock held, so they call none of its.
type delegate struct{ c *Control }

func (c *Control) delegate() delegate { return delegate{c} }

// NodeMeta implements memberlist.Delegate.
func (d delegate) NodeMeta(int) []byte {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return d.c.self.append(make([]byte, 0, maxMeta))
}

// NotifyMsg implements memberlist.Delegate: gossip of the neighbour table.
func (d delegate) NotifyMsg(b []byte) { d.c.handleMessage(b) }

// GetBroadcasts implements memberlist.Delegate.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.c.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate: what this node has of the neighbour table.
func (d delegate) LocalState(bool) []byte {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	now := time.Now()
	d.c.tables.Seen(now, d.c.roster.with(StateAlive))
	return neighbour.AppendDigests(nil, d.c.cfg.Self, d.c.tables.Digests(now))
}

// MergeRemoteState implements memberlist.Delegate.
func (d delegate) MergeRemoteState(b []byte, _ bool) { d.c.handleDigests(b) }

// NotifyJoin implements memberlist.EventDelegate.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.c.memberUp(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.c.memberUp(n) }

// NotifyLeave implements memberlist.EventDelegate. Whether the member died or left shows by its own message.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	id, err := memberName(n.Name)
	if err != nil {
		return
	}
	c := d.c
	c.mu.Lock()
	state := StateDead
	if m := c.roster.members[id]; c.tables.HasLeft(id, m.Instance) {
		state = StateLeft
	}
	c.memberDownLocked(id, state)
	c.mu.Unlock()
	c.signal()
}

var (
	errNotItsAddress = errors.New("the address is not that of the name")
	errIncompatible  = errors.New("it speaks an incompatible version")
	errHasLeft       = errors.New("this instance has left")
	errOldInstance   = errors.New("a newer instance is known")
	errFromTheFuture = errors.New("this instance has not started yet")
)

// NotifyAlive implements memberlist.AliveDelegate: it refuses what no honest member says, and news that are old.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	id, err := memberName(n.Name)
	if err != nil {
		return err
	}
	if addr := memberAddr(id).As16(); !bytes.Equal(n.Addr, addr[:]) || n.Port != memberPort {
		return errNotItsAddress
	}
	// One incompatible member would keep all others from push/pull (memberlist's verifyProtocol).
	const current = memberlist.ProtocolVersion2Compatible
	if n.PMin > current || n.PMax < current || n.PCur != current ||
		n.DMin > delegateVersion || n.DMax < delegateVersion || n.DCur != delegateVersion {
		return errIncompatible
	}
	m, err := parseMeta(n.Meta)
	if err != nil {
		return err
	}
	if id == d.c.cfg.Self {
		return nil // memberlist refutes what others remember of an earlier instance
	}
	if fromTheFuture(time.Now(), m.instance) {
		return errFromTheFuture
	}
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	switch old, ok := d.c.roster.members[id]; {
	case d.c.tables.HasLeft(id, m.instance):
		return errHasLeft
	case ok && old.Instance > m.instance:
		return errOldInstance
	}
	return nil
}

// fromTheFuture reports whether no node can have started as this instance yet. Believing it would keep out the real node's
// coming instances for ever.
func fromTheFuture(now time.Time, instance uint64) bool {
	return instance > uint64(now.Add(maxClockSkew).UnixNano())
}

// memberUp takes in that memberlist holds n alive, and what n says of itself.
func (c *Control) memberUp(n *memberlist.Node) {
	id, err := memberName(n.Name)
	if err != nil {
		return // NotifyAlive has checked
	}
	m, err := parseMeta(n.Meta)
	if err != nil {
		return
	}
	c.mu.Lock()
	before := c.roster.members[id]
	member, ok := c.roster.up(time.Now(), id, m)
	c.alive.Store(int64(c.roster.alive))
	if ok && id != c.cfg.Self {
		c.events = append(c.events, event{member: member, up: true})
	}
	c.mu.Unlock()
	c.signal()
	if ok && id != c.cfg.Self && (!before.Alive() || before.Instance != member.Instance) {
		c.cfg.Log.Info("member up", "peer", member.Name, "node", id.Short())
	}
}

// memberDownLocked notes that a member vanished or left; c.mu is held.
func (c *Control) memberDownLocked(id session.NodeID, s State) {
	now := time.Now()
	m, news := c.roster.down(now, id, s)
	if !news {
		return
	}
	c.alive.Store(int64(c.roster.alive))
	if id == c.cfg.Self {
		return
	}
	if s == StateDead {
		c.intros.lost(now, id)
	}
	c.events = append(c.events, event{member: m})
	c.cfg.Log.Info("member down", "peer", m.Name, "node", id.Short(), "left", s == StateLeft)
}

// join exchanges states with a peer.
func (c *Control) join(id session.NodeID) error {
	n, err := c.members.Join([]string{fmt.Sprintf("%s/[%s]:%d", id, memberAddr(id), memberPort)})
	if err == nil && n == 0 {
		err = errors.New("nobody answered")
	}
	return err
}
