package node

import (
	"bytes"
	"time"

	"meshnet/meshd/hub"
	"meshnet/meshd/mesh"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// Handshake implements hub.Network: the loop handles handshakes.
func (n *Node) Handshake(from wire.Endpoint, datagram []byte) {
	if len(datagram) == 0 || len(datagram) > wire.MaxDatagram {
		n.counters.Oversized.Add(1)
		return
	}
	queue := n.inbox.handshakes
	if wire.Type(datagram[0]) == wire.TypeHandshake1 {
		queue = n.inbox.first
	}
	if !offer(queue, handshake{from: from, datagram: bytes.Clone(datagram)}) {
		n.counters.HandshakeQueue.Add(1)
	}
}

// NewReceiver implements hub.Network.
func (n *Node) NewReceiver() hub.Receiver {
	return &receiver{node: n, inbound: n.fabric.NewInbound(n.cfg.TAP), forward: make([]wire.Datagram, 0, forwardBatch)}
}

// receiver opens the sealed messages of one socket.
type receiver struct {
	node    *Node
	inbound *mesh.Inbound
	forward []wire.Datagram // what is relayed, sealed where it came
	hop     wire.Hop        // by which a datagram came last
	from    wire.Endpoint   // the endpoint of hop
}

// Sealed implements hub.Receiver.
func (r *receiver) Sealed(now time.Time, h wire.Header, d wire.Datagram) {
	n := r.node
	k := n.machine.Lookup(h.Receiver)
	if k == nil {
		n.counters.UnknownIndex.Add(1)
		return
	}
	payload, err := r.open(now, h, k, d.Buf)
	if err != nil {
		return // counted by the session
	}
	confirm, roam := k.Received(now, d.Endpoint, h, len(d.Buf))
	if confirm {
		offer(n.inbox.reports, report{keypair: k})
	}
	if roam {
		offer(n.inbox.reports, report{keypair: k, roamed: true, from: d.Endpoint})
	}
	switch h.Type {
	case wire.TypeGossip, wire.TypeStream:
		n.control.Handle(k.Session().ID(), h.Type, payload)
	case wire.TypeClose:
		offer(n.inbox.closes, closing{session: k.Session(), payload: bytes.Clone(payload)})
	case wire.TypeProbe:
		p, err := wire.ParseProbe(payload)
		n.probed(now, probe{session: k.Session(), Probe: p}, err)
	case wire.TypeProbeAck:
		p, err := wire.ParseProbeAck(payload)
		n.probed(now, probe{session: k.Session(), ack: true, Probe: p}, err)
	case wire.TypePunch:
		offer(n.inbox.reports, report{keypair: k, punched: true})
	case wire.TypeRelay:
		r.relay(now, k.Session(), d, payload)
	case wire.TypeRelayed:
		r.relayed(now, k.Session(), payload)
	}
}

// probed hands a probe or an acknowledgement to the loop, unless err says that it is none, or the peer sends too many: one that does
// must not push the others' out of the queue.
func (n *Node) probed(now time.Time, p probe, err error) {
	switch {
	case err != nil:
		n.counters.ProbeMalformed.Add(1)
	case !p.session.TakeProbe(now) || !offer(n.inbox.probes, p):
		n.counters.ProbeQueue.Add(1)
	}
}

// open opens a message. That of a frame goes to the switch; the payload of others is returned.
func (r *receiver) open(now time.Time, h wire.Header, k *session.Keypair, datagram []byte) ([]byte, error) {
	if h.Type == wire.TypeFrame {
		return nil, r.inbound.Datagram(now, h, k, datagram)
	}
	return k.Open(h, datagram)
}

// Flush implements hub.Receiver.
func (r *receiver) Flush(now time.Time) time.Duration {
	r.flushForward()
	again, err := r.inbound.Flush(now)
	if err != nil {
		r.node.counters.TAPWrite.Add(1)
	}
	return again
}
