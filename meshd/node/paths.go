package node

import (
	"errors"
	"time"

	"meshnet/meshd/path"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// probedPath is the path to the endpoint of a session on which long frames have been sent.
type probedPath struct {
	session  *session.Session
	endpoint wire.Endpoint
	machine  *path.Path
	lanes    *path.Lanes
	told     session.PathMTU // that was logged last
	toldAt   time.Time
}

// tellInterval bounds how often a path may fill the log: a peer that answers and is silent by turns changes it every few seconds.
const tellInterval = time.Minute

// advancePaths runs the timers of the paths that are due, and takes in those that have got long frames. The frame path does not wake
// the loop for them, so they are looked for every idleTick.
func (n *Node) advancePaths(now time.Time) {
	if now.Before(n.state.pathsAt) {
		return
	}
	n.state.pathsAt = now.Add(idleTick)
	for _, s := range *n.sessions.Load() {
		if s.Endpoint().Relayed() { // frames stay as short as passes everywhere
			delete(n.state.paths, s.ID())
			continue
		}
		p := n.state.paths[s.ID()]
		if p == nil || p.session != s {
			if !active(now, s) {
				continue
			}
			p = n.newProbedPath(s)
			n.state.paths[s.ID()] = p
		}
		n.advancePath(now, p)
	}
}

func (n *Node) newProbedPath(s *session.Session) *probedPath {
	e := s.Endpoint()
	return &probedPath{session: s, endpoint: e, machine: path.New(e.Addr.Addr().Is4()), lanes: path.NewLanes(n.cfg.Lanes)}
}

// active reports whether it matters now what the path of s carries.
func active(now time.Time, s *session.Session) bool { return now.Sub(s.LastLong()) < path.ActiveTime }

// advancePath sends the probes that are due on p, and publishes what is known of it.
func (n *Node) advancePath(now time.Time, p *probedPath) {
	if e := p.session.Endpoint(); e != p.endpoint {
		p.endpoint = e
		p.machine.Restart(e.Addr.Addr().Is4())
		p.lanes.Restart()
	}
	active := active(now, p.session)
	for {
		probe, send := p.machine.Advance(now, active, p.session.LastReceived())
		if !send {
			break
		}
		if err := n.sendProbe(p, 0, probe); errors.Is(err, wire.ErrTooLong) {
			p.machine.TooLong(now, probe.Number)
		}
	}
	n.advanceLanes(now, p, active)
	n.publishPath(now, p)
	for _, next := range []time.Time{p.machine.Next(), p.lanes.Next()} {
		if !next.IsZero() && next.Before(n.state.pathsAt) {
			n.state.pathsAt = next
		}
	}
}

// advanceLanes sends the probes that are due on the lanes of p. Before a larger size is used, those that are not known to pass it are
// closed.
func (n *Node) advanceLanes(now time.Time, p *probedPath, active bool) {
	size := p.machine.Size()
	for {
		lane, probe, send := p.lanes.Advance(now, active, size)
		if !send {
			break
		}
		_ = n.sendProbe(p, lane, probe) // as good as lost: it is tried again
	}
	p.session.SetLanes(p.lanes.Open(size))
}

// sendProbe seals and sends a probe. Any error but wire.ErrTooLong is as good as the loss of the probe.
func (n *Node) sendProbe(p *probedPath, lane uint8, probe wire.Probe) error {
	k := p.session.Keypair()
	if k == nil {
		return errNoSession
	}
	counter, err := k.Reserve(1)
	if err != nil {
		return err
	}
	sealed := k.Seal(nil, wire.Header{Type: wire.TypeProbe, Lane: lane, Counter: counter}, probe.Append(nil))
	if err := n.under.Probe(wire.Datagram{Buf: sealed, Endpoint: p.endpoint, Lane: lane}); err != nil {
		return err
	}
	k.Probed(len(sealed))
	return nil
}

// probe answers a peer's probe, or takes the answer to one of ours.
func (n *Node) probe(now time.Time, m probe) {
	id := m.session.ID()
	if !m.ack {
		_ = n.send(id, wire.TypeProbeAck, m.AppendAck(nil)) // the peer probes again
		return
	}
	p := n.state.paths[id]
	if session.IsLifeProbe(m.Number) {
		return // that it came is all it says
	}
	if p == nil || p.session != m.session || p.endpoint != p.session.Endpoint() || !p.acked(now, m.Probe) {
		n.counters.ProbeUnknown.Add(1)
		return
	}
	n.advancePath(now, p)
}

// acked takes the acknowledgement of a probe of the path or of one of its lanes.
func (p *probedPath) acked(now time.Time, ack wire.Probe) bool {
	return p.machine.Acked(now, ack) || p.lanes.Acked(now, ack)
}

// publishPath lets the frame path use the size that is known to pass, and tells the operator what has come of it.
func (n *Node) publishPath(now time.Time, p *probedPath) {
	m := session.PathMTU{
		Datagram: p.machine.Size(), Packet: p.machine.Packet(), Fragmented: p.machine.State() == path.Degraded,
	}
	old := p.session.PathMTU()
	if m != old {
		p.session.SetPathMTU(m)
	}
	narrowed := m.Datagram < old.Datagram
	if narrowed {
		n.counters.PathNarrowed.Add(1)
	}
	settled := p.machine.State() == path.Complete || p.machine.State() == path.Degraded
	if m != p.told && (settled || narrowed) && (p.toldAt.IsZero() || now.Sub(p.toldAt) >= tellInterval) {
		p.told, p.toldAt = m, now
		n.log.Info("path MTU changed", "peer", p.session.ID().Short(), "endpoint", p.endpoint.Addr, "mtu", m.Packet, "fragmented", m.Fragmented)
	}
}
