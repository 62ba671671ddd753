package control

import (
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// sweepInterval is how often what is over is forgotten.
const sweepInterval = time.Minute

// signal tells the loop that there is something to do.
func (c *Control) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// loop makes events, joins and fetches happen until Close.
func (c *Control) loop() {
	timer := time.NewTimer(sweepInterval)
	defer timer.Stop()
	sweep := time.Now().Add(sweepInterval)
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		case <-timer.C:
		}
		now := time.Now()
		if !now.Before(sweep) {
			c.sweep(now)
			sweep = now.Add(sweepInterval)
		}
		c.deliver()
		c.renewSelf()
		c.introduce(now)
		c.greet(now)
		c.fetchDue(now)
		timer.Reset(time.Until(c.next(sweep)))
	}
}

// next returns when the loop has to run again: at sweep, or earlier.
func (c *Control) next(sweep time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := sweep
	for _, t := range []time.Time{c.intros.next(), c.greetings.next(), c.fetches.next()} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// deliver calls Events.
func (c *Control) deliver() {
	c.mu.Lock()
	events, changed := c.events, c.changed
	c.events, c.changed = nil, false
	c.mu.Unlock()
	for _, e := range events {
		if e.up {
			c.cfg.Events.MemberUp(e.member)
		} else {
			c.cfg.Events.MemberDown(e.member, e.member.State == StateLeft)
		}
	}
	if changed {
		c.cfg.Events.NeighboursChanged()
	}
}

// renewSelf tells memberlist that this node's data has changed.
func (c *Control) renewSelf() {
	c.mu.Lock()
	renew := c.renew
	c.renew = false
	c.mu.Unlock()
	if renew {
		// The update is queued at once. UpdateNode would only wait until it has been sent often enough; the error
		// says that it did not wait.
		_ = c.members.UpdateNode(time.Nanosecond)
	}
}

// probe is a memberlist packet that says nothing: a compound of no messages. Whether it can be sent tells whether a
// session is up.
var probe = []byte{typeCompound, 0}

// introduce exchanges states with the peers whose time has come.
func (c *Control) introduce(now time.Time) {
	c.mu.Lock()
	due := c.intros.take(now)
	c.mu.Unlock()
	for _, id := range due {
		// Asks for a session if there is none. Not under the lock: Send is the caller's.
		up := c.send(id, wire.TypeGossip, probe) == nil
		c.mu.Lock()
		start := c.admit(now, id, up)
		c.mu.Unlock()
		if start {
			c.wg.Go(func() { c.exchange(id) })
		}
	}
}

// admit decides what becomes of an introduction that is due, and reports whether to start it; c.mu is held.
func (c *Control) admit(now time.Time, id session.NodeID, up bool) bool {
	m := c.roster.members[id]
	switch {
	case m.Alive() && m.Instance >= c.met[id], c.tables.HasLeft(id, c.met[id]):
		c.intros.drop(id)
	case !up && m.State == StateDead:
		c.intros.postpone(now, id)
	case !up:
		c.intros.drop(id) // Met comes again with the next session
	default:
		return c.intros.start(id)
	}
	return false
}

// exchange joins the memberships of this node and a peer.
func (c *Control) exchange(id session.NodeID) {
	err := c.join(id)
	c.counters.Joins.Add(1)
	if err != nil {
		c.counters.JoinFailures.Add(1)
		c.cfg.Log.Debug("exchanging member states failed", "node", id.Short(), "err", err)
	}
	c.mu.Lock()
	c.intros.finish(time.Now(), id, err == nil)
	c.mu.Unlock()
	c.signal()
}

// sweep forgets what is over.
func (c *Control) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables.Seen(now, c.roster.with(StateAlive))
	c.roster.sweep(now)
	if c.tables.Sweep(now) {
		c.changed = true
	}
	for id := range c.met {
		if _, ok := c.roster.members[id]; !ok && c.intros.pending[id] == nil {
			delete(c.met, id)
		}
	}
}
