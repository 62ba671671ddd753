package node

import (
	"time"

	"meshnet/meshd/control"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// forwardBatch is how many datagrams are relayed at once: a burst. They are sealed where they came.
const forwardBatch = 64

// relay passes a datagram on to another peer: origin has sent it in d, of which payload is the opened part. It is opened and sealed in
// place, and nothing is remembered of it.
func (r *receiver) relay(now time.Time, origin *session.Session, d wire.Datagram, payload []byte) {
	n := r.node
	if !n.cfg.Relay || d.Endpoint.Relayed() {
		n.counters.RelayRefused.Add(1)
		return
	}
	destination, _, err := wire.ParseRelay(payload)
	if err != nil {
		n.counters.RelayMalformed.Add(1)
		return
	}
	s := (*n.sessions.Load())[destination]
	if s == nil || s == origin || s.Endpoint().Relayed() {
		n.counters.RelayUnknown.Add(1)
		return
	}
	k := s.Keypair()
	if k == nil {
		n.counters.RelayUnknown.Add(1)
		return
	}
	if !origin.TakeRelay(now, len(d.Buf)) {
		n.counters.RelayRate.Add(1)
		return
	}
	counter, err := k.Reserve(1)
	if err != nil {
		n.counters.RelayUnknown.Add(1)
		return
	}
	id := origin.ID()
	copy(payload, id[:])
	sealed := k.Seal(d.Buf[:0], wire.Header{Type: wire.TypeRelayed, Counter: counter}, payload)
	k.Sent(now, len(sealed))
	r.forward = append(r.forward, wire.Datagram{Buf: sealed, Endpoint: s.Endpoint()})
	if len(r.forward) == cap(r.forward) {
		r.flushForward()
	}
}

// flushForward sends what is to be relayed.
func (r *receiver) flushForward() {
	if len(r.forward) == 0 {
		return
	}
	n, _ := r.node.cfg.Underlay.WriteBatch(r.forward) // what it does not take is lost, as on any network
	r.node.counters.RelayForwarded.Add(uint64(n))
	clear(r.forward)
	r.forward = r.forward[:0]
}

// relayed takes a datagram of another peer that a relay has passed on.
func (r *receiver) relayed(now time.Time, via *session.Session, payload []byte) {
	n := r.node
	origin, datagram, err := wire.ParseRelay(payload)
	if err != nil {
		n.counters.RelayMalformed.Add(1)
		return
	}
	from := r.through(wire.Hop{Via: via.ID(), Peer: origin})
	if wire.Type(datagram[0]) <= wire.TypeHandshake3 {
		n.counters.RelayReceived.Add(1)
		n.Handshake(from, datagram)
		return
	}
	h, err := wire.ParseHeader(datagram)
	if err != nil {
		n.counters.RelayMalformed.Add(1)
		return
	}
	n.counters.RelayReceived.Add(1)
	r.Sealed(now, h, wire.Datagram{Buf: datagram, Endpoint: from})
}

// through is wire.Through, which it calls only when the hop is another one than before.
func (r *receiver) through(h wire.Hop) wire.Endpoint {
	if h != r.hop || !r.from.Relayed() {
		r.hop, r.from = h, wire.Through(h)
	}
	return r.from
}

// relaysOf returns the members but self that relay.
func relaysOf(self session.NodeID, members []control.Member) []session.NodeID {
	var relays []session.NodeID
	for _, m := range members {
		if m.Relays && m.Alive() && m.ID != self {
			relays = append(relays, m.ID)
		}
	}
	return relays
}

// route is what was logged of a session's path, and when.
type route struct {
	told   wire.Hop
	toldAt time.Time
}

// moved tells the operator that a session goes by a relay now, or does not any more. A path that changes all the time must not fill the
// log.
func (n *Node) moved(now time.Time, e session.Moved) {
	id := e.Session.ID()
	if r, told := n.state.routes[id]; told && (e.To.Hop() == r.told || now.Sub(r.toldAt) < tellInterval) {
		return
	}
	n.state.routes[id] = route{told: e.To.Hop(), toldAt: now}
	n.log.Info("path changed", "peer", id.Short(), "path", n.pathName(e.To), "was", n.pathName(e.From))
}

// pathName returns what people call a path.
func (n *Node) pathName(e wire.Endpoint) string {
	if !e.Relayed() {
		return e.String()
	}
	return "via " + nameOf(e.Hop().Via, n.control.Members())
}
