package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// idleTick bounds how long the loop sleeps, so that a wrong deadline cannot stop a node for good.
const idleTick = time.Second

// loopState is what only the loop touches.
type loopState struct {
	wanted    map[session.NodeID]want        // members we mean to have a session with
	advertise []netip.AddrPort               // what Config.Advertise resolved to
	observed  []observation                  // how peers see us, the newest last
	local     []netip.AddrPort               // the endpoints of this host's own interfaces
	paths     map[session.NodeID]*probedPath // those that long frames have been sent on
	pathsAt   time.Time                      // when the paths are looked at next
	routes    map[session.NodeID]route       // what was said of the changes between direct paths and relays
	warnings  map[string]warning             // what an operator should know, by subject
	metAt     time.Time                      // when the first other member was alive; zero before
	nextSave  time.Time                      // when known members are written next
	dirty     bool                           // known members changed since they were written
}

// want is a session to be made: not before at, with one of endpoints.
type want struct {
	at        time.Time
	endpoints []netip.AddrPort
	asked     bool // the machine knows
}

// warning is a sentence for the operator, and when it was last true.
type warning struct {
	text string
	at   time.Time
}

const (
	// warningAge is how long a warning is shown that is not repeated; its causes are tried again more often.
	warningAge = 10 * time.Minute
	// maxWarnings bounds what members can make us say.
	maxWarnings = 64
)

func newLoopState() loopState {
	return loopState{
		wanted:   make(map[session.NodeID]want),
		paths:    make(map[session.NodeID]*probedPath),
		routes:   make(map[session.NodeID]route),
		warnings: make(map[string]warning),
	}
}

// loop owns the control state until ctx ends.
func (n *Node) loop(ctx context.Context) {
	defer close(n.ended)
	now := time.Now()
	n.start(now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		n.advance(now)
		timer.Reset(n.next(now).Sub(now))
		select {
		case <-ctx.Done():
		case h := <-n.inbox.first:
			now = time.Now()
			n.machine.HandleHandshake(now, h.from, h.datagram)
		case h := <-n.inbox.handshakes:
			now = time.Now()
			n.machine.HandleHandshake(now, h.from, h.datagram)
		case c := <-n.inbox.closes:
			now = time.Now()
			n.machine.HandleClose(now, c.session, c.payload)
		case p := <-n.inbox.probes:
			now = time.Now()
			n.probe(now, p)
		case r := <-n.inbox.reports:
			now = time.Now()
			n.report(now, r)
		case st := <-n.inbox.stations:
			now = time.Now()
			n.fabric.Learn(now, st.mac, st.node)
		case id := <-n.inbox.wants:
			now = time.Now()
			n.want(now, id)
		case <-n.inbox.members:
			now = time.Now()
			n.reconcile(now)
		case <-n.inbox.neighbours:
			now = time.Now()
			n.readNeighbours(now)
		case call := <-n.inbox.calls:
			now = time.Now()
			call(now)
		case now = <-timer.C:
		}
	}
	n.save(now)
}

// start asks the machine for sessions with everyone we know of.
func (n *Node) start(now time.Time) {
	for _, p := range n.cfg.Known {
		n.state.wanted[p.ID] = want{at: now, endpoints: n.usable(p.Endpoints)}
	}
	n.readNeighbours(now)
}

// advance runs the timers that are due and carries out what the state machines ask for.
func (n *Node) advance(now time.Time) {
	for id, w := range n.state.wanted {
		if !w.asked && !now.Before(w.at) {
			w.asked = true
			n.state.wanted[id] = w
			n.machine.Connect(now, id, w.endpoints)
		}
	}
	n.machine.Advance(now)
	n.fabric.Advance(now)
	datagrams, events := n.machine.Drain()
	for _, e := range events {
		n.event(now, e)
	}
	if len(datagrams) > 0 {
		if _, err := n.under.WriteBatch(datagrams); err != nil {
			n.log.Warn("sending handshakes failed", "err", err)
		}
	}
	n.advancePaths(now)
	if n.state.dirty && !now.Before(n.state.nextSave) {
		n.save(now)
	}
}

// next returns when advance is due at the latest.
func (n *Node) next(now time.Time) time.Time {
	next := now.Add(idleTick)
	for _, t := range []time.Time{n.machine.Next(), n.fabric.Next(), n.state.pathsAt} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, w := range n.state.wanted {
		if !w.asked && w.at.Before(next) {
			next = w.at
		}
	}
	return next
}

// report handles what the frame path noticed about a keypair.
func (n *Node) report(now time.Time, r report) {
	switch {
	case r.roamed:
		n.machine.Roamed(now, r.keypair, r.from)
	case r.punched:
		n.machine.Punched(now, r.keypair.Session())
	default:
		n.machine.Confirmed(now, r.keypair)
	}
}

// event handles one thing that happened to a session.
func (n *Node) event(now time.Time, e session.Event) {
	switch e := e.(type) {
	case session.Established:
		n.established(now, e)
	case session.Moved:
		n.moved(now, e)
	case session.Lost:
		n.lost(e.ID, e.Reason)
	case session.Closed:
		n.lost(e.ID, e.Reason)
		if e.Reason == wire.CloseDuplicate {
			n.superseded(now)
		}
	case session.DuplicateIdentity:
		n.duplicate(now, e)
	case session.ClockSkew:
		n.warn(now, "clock "+e.Endpoint.String(), fmt.Sprintf("the clocks of %v and this host differ by %v, which is too much for a "+
			"session: set them (NTP)", e.Endpoint, e.Skew.Round(time.Second).Abs()))
	}
}

// established publishes a new session and tells membership.
func (n *Node) established(now time.Time, e session.Established) {
	s := e.Session
	if !e.Rekey {
		n.log.Info("session established", "peer", s.ID().Short(), "endpoint", e.Endpoint.String(), "took", e.Took)
	}
	n.publishSessions(func(t sessionTable) { t[s.ID()] = s })
	n.observe(e.Observed, s.ID())
	n.control.Met(s.ID(), s.Instance())
	if w, ok := n.state.wanted[s.ID()]; ok && !w.asked {
		w.at = now // nobody has to wait for the other any more
		n.state.wanted[s.ID()] = w
	}
}

// lost takes a session back. The machine goes on trying if the peer is still wanted. What was learned about the peer stays:
// frames for its containers are dropped until it returns, rather than sent to everyone.
func (n *Node) lost(id session.NodeID, reason fmt.Stringer) {
	n.log.Info("session ended", "peer", id.Short(), "reason", reason.String())
	n.publishSessions(func(t sessionTable) { delete(t, id) })
	delete(n.state.paths, id)
	delete(n.state.routes, id)
}

// duplicate handles a second host with one identity.
func (n *Node) duplicate(now time.Time, e session.DuplicateIdentity) {
	where := e.Endpoint.String()
	switch {
	case e.ID != n.ID():
		n.warn(now, "identity "+e.ID.Short(), "two hosts use the identity "+e.ID.Short()+", one of them at "+where+
			": a state directory was copied; on one of them, leave the network and join again")
	case e.Instance > n.cfg.Instance:
		n.superseded(now)
	default:
		n.warn(now, "identity", "a host at "+where+" uses this host's identity: its state directory is a copy of this one's; "+
			"there, leave the network and join again")
	}
}

// superseded says that another host that started later has our identity: the members keep to that one and close our
// sessions. They are asked again and again, since that host may be the one to go.
func (n *Node) superseded(now time.Time) {
	if n.manager != nil {
		n.manager.Bar(errSuperseded)
	}
	n.warn(now, "identity", "another host has this host's identity and started later, so the members refuse this one; if its state "+
		"directory was copied, leave the network here and join again with the token")
}

var errSuperseded = errors.New("another host with this host's identity started later")

// warn keeps what an operator should know, and logs it if it is news.
func (n *Node) warn(now time.Time, subject, text string) {
	old, ok := n.state.warnings[subject]
	if !ok && len(n.state.warnings) >= maxWarnings {
		return
	}
	n.state.warnings[subject] = warning{text: text, at: now}
	if old.text != text {
		n.log.Warn(text)
	}
}

// Warn shows the operator a sentence on subject for some minutes.
func (n *Node) Warn(subject, text string) {
	_ = n.do(context.Background(), func(now time.Time) { n.warn(now, subject, text) }) // a node that has ended says nothing
}

// ErrEnded says that a node does not run any more.
var ErrEnded = errors.New("the network is stopping")

// publishSessions lets the frame path and senders see a changed set of sessions.
func (n *Node) publishSessions(change func(sessionTable)) {
	old := *n.sessions.Load()
	table := make(sessionTable, len(old)+1)
	peers := make([]*session.Session, 0, len(old)+1)
	for id, s := range old {
		table[id] = s
	}
	change(table)
	for _, s := range table {
		peers = append(peers, s)
	}
	n.sessions.Store(&table)
	n.fabric.SetPeers(peers)
}

// do runs call in the loop and waits for it. The error is ErrEnded or ctx's.
func (n *Node) do(ctx context.Context, call func(now time.Time)) error {
	done := make(chan struct{})
	select {
	case n.inbox.calls <- func(now time.Time) { call(now); close(done) }:
		<-done
		return nil
	case <-n.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}
