package control

import (
	"time"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// greetAfter says how long after a session came up, or got new keys, the peer is told how far this node's table is. Gossip
// of a node that knows few members reaches few, and hosts that start together all know few; the peer whom it has missed
// fetches the table. Twice, because datagrams are lost; and again with every rekey.
var greetAfter = [2]time.Duration{2 * time.Second, 5 * time.Second}

// greetings are the peers to be told of this node's table. It is pure state: not safe for concurrent use.
type greetings struct {
	pending map[session.NodeID]greeting
}

type greeting struct {
	met  time.Time
	sent int // how many of greetAfter
}

func (g greeting) due() time.Time { return g.met.Add(greetAfter[g.sent]) }

func newGreetings() *greetings { return &greetings{pending: make(map[session.NodeID]greeting)} }

// met plans to greet a peer.
func (g *greetings) met(now time.Time, id session.NodeID) { g.pending[id] = greeting{met: now} }

// take returns the peers to be greeted now.
func (g *greetings) take(now time.Time) []session.NodeID {
	var due []session.NodeID
	for id, p := range g.pending {
		if p.due().After(now) {
			continue
		}
		due = append(due, id)
		if p.sent++; p.sent < len(greetAfter) {
			g.pending[id] = p
		} else {
			delete(g.pending, id)
		}
	}
	return due
}

// next returns when take has something to return, or the zero time.
func (g *greetings) next() time.Time {
	var next time.Time
	for _, p := range g.pending {
		if t := p.due(); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next
}

// greet tells the peers whose time has come how far this node's table is.
func (c *Control) greet(now time.Time) {
	c.mu.Lock()
	due := c.greetings.take(now)
	own := c.tables.Held(c.cfg.Self)
	c.mu.Unlock()
	if len(due) == 0 {
		return
	}
	m := neighbour.Update{Owner: own.Owner, Epoch: own.Epoch, Head: own.Version}.Append([]byte{typeUser})
	for _, id := range due {
		_ = c.send(id, wire.TypeGossip, m) // without a session it will be met again
	}
}
