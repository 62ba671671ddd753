package node

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// pair makes a session of two machines, whose addresses are those of their instances.
func pair(t *testing.T, now time.Time, a, b *session.Machine, ids map[*session.Machine]session.NodeID, at map[*session.Machine]wire.Endpoint) {
	t.Helper()
	a.Connect(now, ids[b], []netip.AddrPort{at[b].Addr})
	for from, to := a, b; ; from, to = to, from {
		out, _ := from.Drain()
		if len(out) == 0 {
			break
		}
		for _, d := range out {
			h, err := wire.ParseHeader(d.Buf)
			if err != nil {
				to.HandleHandshake(now, at[from], d.Buf)
				continue
			}
			k := to.Lookup(h.Receiver)
			if _, err := k.Open(h, d.Buf); err != nil {
				t.Fatal(err)
			}
			if confirm, _ := k.Received(now, at[from], h, len(d.Buf)); confirm {
				to.Confirmed(now, k)
			}
		}
	}
	if a.Session(ids[b]) == nil || b.Session(ids[a]) == nil {
		t.Fatal("there is no session")
	}
}

// sink is an underlay that keeps what it was given last.
type sink struct{ last []wire.Datagram }

func (s *sink) WriteBatch(ds []wire.Datagram) (int, error) {
	s.last = append(s.last[:0], ds...)
	return len(ds), nil
}
func (s *sink) Probe(wire.Datagram) error { return nil }

// "Nothing is allocated for a datagram" on its way through a relay, at either end: it is sealed by the origin, opened and sealed in place
// by the relay, and is at the other end what it was.
func TestRelayDoesNotAllocate(t *testing.T) {
	now := time.Now()
	machines, ids, at := make([]*session.Machine, 3), map[*session.Machine]session.NodeID{}, map[*session.Machine]wire.Endpoint{}
	for i := range machines {
		identity, err := session.NewIdentity(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		m := session.New(session.Config{Identity: identity, Instance: uint64(i + 1), AES: true})
		machines[i], ids[m] = m, identity.Public
		at[m] = wire.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 7000), Socket: 1}
	}
	origin, relay, destination := machines[0], machines[1], machines[2]
	pair(t, now, origin, relay, ids, at)
	pair(t, now, relay, destination, ids, at)

	newNode := func(m *session.Machine, peers ...*session.Machine) (*Node, *sink) {
		under := new(sink)
		n := &Node{cfg: Config{Relay: true, Underlay: under}, machine: m, inbox: newInbox()}
		table := sessionTable{}
		for _, p := range peers {
			table[ids[p]] = m.Session(ids[p])
		}
		n.sessions.Store(&table)
		n.under = newUnderlay(n)
		return n, under
	}
	from, sent := newNode(origin, relay)
	via, passed := newNode(relay, origin, destination)
	to, _ := newNode(destination, relay)
	newReceiver := func(n *Node) *receiver { return &receiver{node: n, forward: make([]wire.Datagram, 0, forwardBatch)} }
	middle, end := newReceiver(via), newReceiver(to)

	inner := make([]byte, 1168)
	wire.PutHeader(inner, wire.Header{Type: wire.TypeFrame, Receiver: 1 << 30})
	batch := make([]wire.Datagram, 100)
	for i := range batch {
		batch[i] = wire.Datagram{Buf: inner, Endpoint: wire.Through(wire.Hop{Via: ids[relay], Peer: ids[destination]})}
	}
	deliver := func(r *receiver, from *session.Machine, ds []wire.Datagram) {
		for _, d := range ds {
			h, err := wire.ParseHeader(d.Buf)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Millisecond)
			r.Sealed(now, h, wire.Datagram{Buf: d.Buf, Endpoint: at[from]})
		}
		r.flushForward()
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"origin", func() { from.under.WriteBatch(batch[:64]) }},
		{"relay", func() { from.under.WriteBatch(batch[:64]); deliver(middle, origin, sent.last) }},
		{"destination", func() {
			from.under.WriteBatch(batch[:64])
			deliver(middle, origin, sent.last)
			deliver(end, relay, passed.last)
		}},
	} {
		if n := testing.AllocsPerRun(20, step.do); n > 0.5 {
			t.Errorf("%s: %v allocations for 64 datagrams, want 0", step.name, n)
		}
	}
	if n := to.counters.RelayReceived.Load(); n != 21*64 {
		t.Errorf("%d datagrams arrived, want %d; forwarded %d", n, 21*64, via.counters.RelayForwarded.Load())
	}
	if n, err := from.under.WriteBatch(batch); n != 100 || err != nil {
		t.Errorf("a batch of 100: WriteBatch = %d, %v", n, err)
	}
	if len(passed.last[0].Buf) != 1232 || passed.last[0].Endpoint != at[destination] {
		t.Errorf("the relay sends %d bytes to %v, want 1232 to %v", len(passed.last[0].Buf), passed.last[0].Endpoint, at[destination])
	}
}
