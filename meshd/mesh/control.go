package mesh

import (
	"log/slog"
	"time"

	"meshnet/meshd/session"
)

const (
	// publishInterval bounds how often the fdb is published. Publishing copies it, a millisecond's work when it is
	// full, so a storm of new MACs costs no more than a few percent of a core.
	publishInterval = 20 * time.Millisecond
	// sweepInterval is how often old entries are looked for; so they go this much late at most.
	sweepInterval = 10 * time.Second
)

// Control is the slow half of a switch: it owns the peers and the fdb. All its methods are called by one goroutine.
//
// Changes of the fdb reach the frame path by Advance, at once if the last such publication is some time ago, else a
// little later: Next says when. Changes of peers reach it at once.
type Control struct {
	shared *shared
	limits Limits
	log    *slog.Logger

	peers   map[session.NodeID]*peer // with a session, or an entry
	learned map[MAC]*entry
	static  map[MAC]*entry

	changed   bool      // learned or static differ from what is published
	published time.Time // when the fdb was published last
	sweepAt   time.Time // when old entries are looked for; meaningless while nothing is learned
	saidFull  bool      // that Limits.FDB was reached has been logged
}

func newControl(sh *shared, cfg Config) *Control {
	return &Control{
		shared:  sh,
		limits:  cfg.Limits,
		log:     cfg.Log,
		peers:   map[session.NodeID]*peer{cfg.Self: sh.local},
		learned: make(map[MAC]*entry),
		static:  make(map[MAC]*entry),
	}
}

// SetPeers says who the peers are that have a session: frames for everyone go to them, and pieces are taken from them.
// What was learned about the others stays, for a session may come back.
func (c *Control) SetPeers(sessions []*session.Session) {
	set := &peerSet{
		all:       make([]*peer, 0, len(sessions)),
		bySession: make(map[*session.Session]*peer, len(sessions)),
	}
	for _, s := range sessions {
		p := c.peer(s.ID())
		p.session.Store(s)
		set.all = append(set.all, p)
		set.bySession[s] = p
	}
	c.shared.peers.Store(set)
	for id, p := range c.peers {
		if s := p.session.Load(); s != nil && set.bySession[s] != p {
			p.session.Store(nil)
		}
		c.prune(id, p)
	}
}

// RemovePeer forgets what was learned about a peer. What the neighbour table says about it stays.
func (c *Control) RemovePeer(id session.NodeID) {
	p := c.peers[id]
	if p == nil || p.local {
		return
	}
	for mac, e := range c.learned {
		if e.peer == p {
			c.unlearn(mac, e)
		}
	}
	c.prune(id, p)
}

// Learn handles a report of the frame path: mac is behind node. Nodes that are not known any more teach nothing.
func (c *Control) Learn(now time.Time, mac MAC, node session.NodeID) {
	p := c.peers[node]
	if p == nil || c.static[mac] != nil || !mac.station() {
		return
	}
	old := c.learned[mac]
	if old != nil && old.peer == p {
		old.refresh(c.shared.age(now)) // reported more than once before it was published
		return
	}
	if p.learned >= c.limits.PerPeer || old == nil && len(c.learned) >= c.limits.FDB {
		c.shared.counters.drop(dropLearnLimit, 1)
		return
	}
	if old != nil {
		c.unlearn(mac, old)
	}
	if len(c.learned) == 0 {
		c.sweepAt = now.Add(sweepInterval)
	}
	c.learned[mac] = newEntry(p, false, c.shared.age(now))
	p.learned++
	c.changed = true
	c.setFull(p)
}

// Neighbours says which MACs the neighbour table knows, and behind which nodes they are: it is believed more than what
// was learned. It replaces what an earlier call said; macs stays the caller's.
func (c *Control) Neighbours(macs map[MAC]session.NodeID) {
	static := make(map[MAC]*entry, len(macs))
	for mac, node := range macs {
		p := c.peer(node)
		e := c.static[mac]
		if e == nil || e.peer != p {
			e = newEntry(p, true, never)
		}
		static[mac] = e
		p.static++
		if old := c.learned[mac]; old != nil {
			c.unlearn(mac, old)
		}
	}
	for _, e := range c.static {
		e.peer.static--
	}
	c.static = static
	c.changed = true
	for id, p := range c.peers {
		c.prune(id, p)
	}
}

// Advance forgets what is too old, and publishes what changed.
func (c *Control) Advance(now time.Time) {
	if len(c.learned) > 0 && !now.Before(c.sweepAt) {
		c.sweep(now)
	}
	if c.changed && now.Sub(c.published) >= publishInterval {
		c.publish(now)
	}
}

// Next returns when Advance has to be called at the latest, or zero if there is nothing to wait for.
func (c *Control) Next() time.Time {
	var next time.Time
	if len(c.learned) > 0 {
		next = c.sweepAt
	}
	if c.changed {
		if at := c.published.Add(publishInterval); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// sweep forgets the learned MACs that have been silent for ageingTime.
func (c *Control) sweep(now time.Time) {
	age := c.shared.age(now)
	for mac, e := range c.learned {
		if age-time.Duration(e.seen.Load()) >= ageingTime {
			c.unlearn(mac, e)
		}
	}
	for id, p := range c.peers {
		c.prune(id, p)
	}
	c.sweepAt = now.Add(sweepInterval)
}

// publish lets the frame path see the fdb.
func (c *Control) publish(now time.Time) {
	fdb := make(table, len(c.learned)+len(c.static))
	for mac, e := range c.learned {
		fdb[mac] = e
	}
	for mac, e := range c.static {
		fdb[mac] = e
	}
	c.shared.fdb.Store(&fdb)
	c.changed, c.published = false, now
}

// peer returns the peer of this identity.
func (c *Control) peer(id session.NodeID) *peer {
	p := c.peers[id]
	if p == nil {
		p = &peer{id: id}
		c.peers[id] = p
	}
	return p
}

// prune forgets a peer that has neither a session nor an entry.
func (c *Control) prune(id session.NodeID, p *peer) {
	if !p.local && p.session.Load() == nil && p.learned == 0 && p.static == 0 {
		delete(c.peers, id)
	}
}

// unlearn removes a learned entry.
func (c *Control) unlearn(mac MAC, e *entry) {
	delete(c.learned, mac)
	e.peer.learned--
	c.changed = true
	c.setFull(e.peer)
}

// setFull tells the frame path whether reports of new MACs are welcome, from p and from anyone.
func (c *Control) setFull(p *peer) {
	p.full.Store(p.learned >= c.limits.PerPeer)
	full := len(c.learned) >= c.limits.FDB
	c.shared.full.Store(full)
	if full && !c.saidFull {
		c.saidFull = true
		c.log.Warn("fdb full: frames for further MACs go to every peer", "entries", len(c.learned))
	}
}
