package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/control/stream"
	"meshnet/meshd/session"
)

const (
	// maxGossipOps is how many changes made at once are gossiped one by one; of more, the others are only told that
	// there are, and fetch the table.
	maxGossipOps = 64
	// maxQueued bounds the messages waiting to be gossiped; the oldest go first, and push/pull makes up for them.
	maxQueued = 1024
	// fetchTimeout bounds one fetch of tables, and the serving of one.
	fetchTimeout = 20 * time.Second
	// maxServing bounds the fetches served at once.
	maxServing = 16
)

// broadcast is one message to be gossiped (memberlist.UniqueBroadcast).
type broadcast struct {
	message []byte
	sent    chan struct{} // closed when it has been sent often enough; may be nil
}

// Invalidates implements memberlist.Broadcast: every message matters.
func (b *broadcast) Invalidates(memberlist.Broadcast) bool { return false }

// Message implements memberlist.Broadcast.
func (b *broadcast) Message() []byte { return b.message }

// Finished implements memberlist.Broadcast.
func (b *broadcast) Finished() {
	if b.sent != nil {
		close(b.sent)
	}
}

// UniqueBroadcast implements memberlist.UniqueBroadcast.
func (b *broadcast) UniqueBroadcast() {}

func (c *Control) enqueue(b *broadcast) {
	c.queue.QueueBroadcast(b)
	if c.queue.NumQueued() > maxQueued {
		c.queue.Prune(maxQueued)
	}
}

// Announce makes list this node's attachments. The error is that of the first attachment that cannot be told, wraps
// neighbour.ErrInvalid or says that there are too many; all others are announced.
func (c *Control) Announce(list []Neighbour) error {
	c.mu.Lock()
	u, err := c.tables.Announce(list)
	c.changed = true
	c.mu.Unlock()
	if len(u.Ops) > maxGossipOps {
		u.Ops = nil
	}
	c.publish(u)
	return err
}

// Upsert adds an attachment of this node or changes it. Node is filled in. The error is as that of Announce.
func (c *Control) Upsert(n Neighbour) error {
	c.mu.Lock()
	u, err := c.tables.Upsert(n)
	c.changed = c.changed || len(u.Ops) > 0
	c.mu.Unlock()
	if len(u.Ops) > 0 {
		c.publish(u)
	}
	return err
}

// Withdraw removes an attachment of this node; it does nothing if there is none of that name.
func (c *Control) Withdraw(container, ifName string) {
	c.mu.Lock()
	u := c.tables.Withdraw(neighbour.Key{Container: container, IfName: ifName})
	c.changed = c.changed || len(u.Ops) > 0
	c.mu.Unlock()
	if len(u.Ops) > 0 {
		c.publish(u)
	}
}

// Neighbours returns the attachments of all nodes, this one's included, in no order. Those of dead members stay for 72
// hours; their Node is that of a dead member, or of one that this node never met. The caller owns the slice, and must
// not modify the addresses in it.
func (c *Control) Neighbours() []Neighbour {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables.All()
}

// publish gossips changes of this node's table.
func (c *Control) publish(u neighbour.Update) {
	for _, part := range u.Split() {
		c.enqueue(&broadcast{message: part.Append(nil)})
	}
	c.signal()
}

// handleMessage takes in a gossiped message and relays it if it is news.
func (c *Control) handleMessage(b []byte) {
	m, err := neighbour.ParseMessage(b)
	if err != nil {
		c.counters.Malformed.Add(1)
		return
	}
	var fresh bool
	c.mu.Lock()
	switch m := m.(type) {
	case neighbour.Update:
		fresh = c.updateLocked(m)
	case neighbour.Left:
		fresh = c.leftLocked(m, time.Now())
	}
	c.mu.Unlock()
	if fresh {
		c.enqueue(&broadcast{message: bytes.Clone(b)})
		c.signal()
	}
}

func (c *Control) updateLocked(u neighbour.Update) bool {
	now := time.Now()
	if fromTheFuture(now, u.Epoch) {
		return false
	}
	o := c.tables.Apply(now, u)
	c.changed = c.changed || o.Changed
	if o.Fresh && o.Behind {
		c.fetches.gap(now, neighbour.Mark{Owner: u.Owner, Epoch: u.Epoch, Version: u.Head}, c.roster.alive)
	}
	return o.Fresh
}

// leftLocked takes in that an instance left, and reports whether that was news.
func (c *Control) leftLocked(l neighbour.Left, at time.Time) bool {
	if l.Owner == c.cfg.Self || fromTheFuture(at, l.Epoch) || !c.tables.Leave(at, l.Owner, l.Epoch) {
		return false
	}
	c.changed = true
	if m, ok := c.roster.members[l.Owner]; ok && m.Instance <= l.Epoch {
		c.memberDownLocked(l.Owner, StateLeft)
	}
	return true
}

// handleDigests takes in what the other side of a push/pull has.
func (c *Control) handleDigests(b []byte) {
	sender, digests, err := neighbour.ParseDigests(b)
	if err != nil {
		c.counters.Malformed.Add(1)
		return
	}
	now := time.Now()
	digests = slices.DeleteFunc(digests, func(d neighbour.Digest) bool { return fromTheFuture(now, d.Epoch) })
	c.mu.Lock()
	cmp := c.tables.Compare(now, digests)
	c.changed = c.changed || cmp.Changed
	for _, l := range cmp.Left {
		if m, ok := c.roster.members[l.Owner]; ok && m.Instance <= l.Epoch {
			c.memberDownLocked(l.Owner, StateLeft)
		}
	}
	for _, goal := range cmp.Goals {
		c.fetches.held(now, goal, sender)
	}
	c.mu.Unlock()
	c.signal()
}

// fetchDue starts the fetches whose time has come, one stream for each node to fetch from.
func (c *Control) fetchDue(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := make(map[session.NodeID][]neighbour.Mark)
	for _, f := range c.fetches.take(now) {
		from, ok := c.holder(f)
		if !c.tables.Behind(f.goal) {
			c.fetches.finish(now, f.goal.Owner, true)
		} else if !ok || len(requests[from]) >= neighbour.MaxRequest {
			c.fetches.finish(now, f.goal.Owner, false)
		} else {
			requests[from] = append(requests[from], c.tables.Held(f.goal.Owner))
		}
	}
	for from, held := range requests {
		c.wg.Go(func() { c.fetch(from, held) })
	}
}

// holder returns whom to ask for a table: who is known to hold it, else its owner, else and after failures anyone.
func (c *Control) holder(f *fetch) (session.NodeID, bool) {
	if f.holder != (session.NodeID{}) && f.holder != c.cfg.Self {
		return f.holder, true
	}
	if f.attempts == 0 && c.roster.members[f.goal.Owner].Alive() {
		return f.goal.Owner, true
	}
	alive := slices.DeleteFunc(c.roster.with(StateAlive), func(id session.NodeID) bool { return id == c.cfg.Self })
	if len(alive) == 0 {
		return session.NodeID{}, false
	}
	return alive[rand.N(len(alive))], true
}

// fetch asks a node for what is newer than held.
func (c *Control) fetch(from session.NodeID, held []neighbour.Mark) {
	c.counters.Fetches.Add(1)
	if err := c.fetchTables(from, held); err != nil {
		c.counters.FetchFailures.Add(1)
		c.cfg.Log.Debug("fetching neighbour tables failed", "node", from.Short(), "err", err)
	}
	c.mu.Lock()
	now := time.Now()
	for _, m := range held {
		f := c.fetches.pending[m.Owner]
		c.fetches.finish(now, m.Owner, !c.tables.Behind(f.goal))
	}
	c.mu.Unlock()
	c.signal()
}

func (c *Control) fetchTables(from session.NodeID, held []neighbour.Mark) error {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	conn, err := c.streams.Dial(ctx, from, protoNeighbours)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(fetchTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(neighbour.AppendRequest(nil, held)); err != nil {
		return fmt.Errorf("asking for tables: %w", err)
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	asked := func(t neighbour.Table) bool {
		return slices.ContainsFunc(held, func(m neighbour.Mark) bool { return m.Owner == t.Owner })
	}
	for range held {
		t, err := neighbour.ReadTable(conn)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a table: %w", err)
		}
		if !asked(t) {
			return errors.New("got a table that nobody asked for")
		}
		c.mu.Lock()
		c.changed = c.tables.Replace(time.Now(), t) || c.changed
		c.mu.Unlock()
	}
	return nil
}

// serveTables answers the requests of others until the listener is closed.
func (c *Control) serveTables(l *stream.Listener) {
	slots := make(chan struct{}, maxServing)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-c.stop:
			_ = conn.Close() // the whole connection is ending
			return
		}
		c.wg.Go(func() {
			defer func() { <-slots }()
			if err := c.serve(conn); err != nil {
				c.cfg.Log.Debug("serving neighbour tables failed", "endpoint", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// serve answers one request.
func (c *Control) serve(conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(fetchTimeout)); err != nil {
		return err
	}
	held, err := neighbour.ReadRequest(conn)
	if err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	for _, m := range held {
		c.mu.Lock()
		t, ok := c.tables.Answer(time.Now(), m)
		c.mu.Unlock()
		if !ok {
			continue
		}
		if _, err := conn.Write(t.Append(nil)); err != nil {
			return fmt.Errorf("sending a table: %w", err)
		}
	}
	return nil
}
