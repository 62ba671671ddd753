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
		p := n.state.paths[s.ID()]
		if p == nil || p.session != s {
			if !active(now, s) {
				continue
			}
			p = &probedPath{session: s, endpoint: s.Endpoint(), machine: path.New(s.Endpoint().Addr.Addr().Is4())}
			n.state.paths[s.ID()] = p
		}
		n.advancePath(now, p)
	}
}

// active reports whether it matters now what the path of s carries.
func active(now time.Time, s *session.Session) bool { return now.Sub(s.LastLong()) < path.ActiveTime }

// advancePath sends the probes that are due on p, and publishes what is known of it.
func (n *Node) advancePath(now time.Time, p *probedPath) {
	if e := p.session.Endpoint(); e != p.endpoint {
		p.endpoint = e
		p.machine.Restart(e.Addr.Addr().Is4())
	}
	active := active(now, p.session)
	for {
		probe, send := p.machine.Advance(now, active, p.session.LastReceived())
		if !send {
			break
		}
		if err := n.sendProbe(p, probe); errors.Is(err, wire.ErrTooLong) {
			p.machine.TooLong(now, probe.Number)
		}
	}
	n.publishPath(now, p)
	if next := p.machine.Next(); !next.IsZero() && next.Before(n.state.pathsAt) {
		n.state.pathsAt = next
	}
}

// sendProbe seals and sends a probe. Any error but wire.ErrTooLong is as good as the loss of the probe.
func (n *Node) sendProbe(p *probedPath, probe wire.Probe) error {
	k := p.session.Keypair()
	if k == nil {
		return errNoSession
	}
	counter, err := k.Reserve(1)
	if err != nil {
		return err
	}
	sealed := k.Seal(nil, wire.Header{Type: wire.TypeProbe, Counter: counter}, probe.Append(nil))
	if err := n.cfg.Underlay.Probe(wire.Datagram{Buf: sealed, Endpoint: p.endpoint}); err != nil {
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
	if p == nil || p.session != m.session || p.endpoint != p.session.Endpoint() || !p.machine.Acked(now, m.Probe) {
		n.counters.ProbeUnknown.Add(1)
		return
	}
	n.advancePath(now, p)
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
