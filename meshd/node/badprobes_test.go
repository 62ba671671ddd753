package node_test

import (
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// prober is a member that is nothing but a session with one other, and sends what it likes.
type prober struct {
	t       *testing.T
	host    *netsim.Host
	machine *session.Machine
	to      session.NodeID
}

func newProber(t *testing.T, c *cluster, m *member) *prober {
	p := &prober{t: t, host: c.net.Host("192.0.2.200:7000"), to: m.identity.Public}
	p.machine = session.New(session.Config{
		NetworkID: session.NetworkID("sim", c.psk), PSK: c.psk, Identity: mustIdentity(t, 99), Instance: 1, AES: true,
	})
	p.machine.ConnectTo(time.Now(), m.host.LocalAddr())
	for range 20 {
		p.exchange()
	}
	if p.machine.Session(p.to) == nil {
		t.Fatal("there is no session")
	}
	return p
}

// withProber runs a test of a member and a prober, on fake time.
func withProber(t *testing.T, test func(t *testing.T, m *member, p *prober)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		m := c.add()
		m.start()
		p := newProber(t, c, m)
		defer p.host.Close()
		test(t, m, p)
	})
}

// exchange sends what the machine wants, and returns the sealed messages that came, by type, with their lengths.
func (p *prober) exchange() (lengths map[wire.Type][]int) {
	lengths = make(map[wire.Type][]int)
	p.machine.Advance(time.Now())
	out, _ := p.machine.Drain()
	p.host.WriteBatch(out)
	ds := make([]wire.Datagram, 64)
	n, err := p.host.ReadBatch(ds, 200*time.Millisecond)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, d := range ds[:n] {
		if h, err := wire.ParseHeader(d.Buf); err == nil {
			if k := p.machine.Lookup(h.Receiver); k != nil {
				if _, err := k.Open(h, d.Buf); err == nil {
					lengths[h.Type] = append(lengths[h.Type], len(d.Buf))
					if confirm, _ := k.Received(time.Now(), d.Endpoint, h, len(d.Buf)); confirm {
						p.machine.Confirmed(time.Now(), k)
					}
				}
			}
			continue
		}
		p.machine.HandleHandshake(time.Now(), d.Endpoint, d.Buf)
	}
	return lengths
}

// send sends one sealed message and returns the acknowledgements that come.
func (p *prober) send(t wire.Type, payload []byte) (acks []int) {
	s := p.machine.Session(p.to)
	counter, err := s.Keypair().Reserve(1)
	if err != nil {
		p.t.Fatal(err)
	}
	sealed := s.Keypair().Seal(nil, wire.Header{Type: t, Counter: counter}, payload)
	p.host.WriteBatch([]wire.Datagram{{Buf: sealed, Endpoint: s.Endpoint()}})
	for range 10 {
		acks = append(acks, p.exchange()[wire.TypeProbeAck]...)
	}
	return acks
}

// "A receiver drops a probe that …": it is counted, and nothing is sent back. What is acknowledged is far longer than the
// acknowledgement. Acknowledgements of no probe are counted and change nothing.
func TestBadProbes(t *testing.T) {
	withProber(t, func(t *testing.T, m *member, p *prober) {
		good := wire.Probe{Number: 7, Size: wire.MaxDatagram}.Append(nil)
		for _, test := range []struct {
			name    string
			typ     wire.Type
			payload []byte
			acks    int
			counter string
		}{
			{"a probe", wire.TypeProbe, good, 1, ""},
			{"the same probe, another message", wire.TypeProbe, good, 1, ""},
			{"a long probe", wire.TypeProbe, wire.Probe{Number: 8, Size: 8972}.Append(nil), 1, ""},
			{"an empty one", wire.TypeProbe, nil, 0, "node_probe_malformed"},
			{"one without padding", wire.TypeProbe, good[:wire.ProbeLen], 0, "node_probe_malformed"},
			{"one that is shorter than it says", wire.TypeProbe, good[:len(good)-1], 0, "node_probe_malformed"},
			{"one that is longer than it says", wire.TypeProbe, append(good[:len(good):len(good)], 0), 0, "node_probe_malformed"},
			{"one that is too short", wire.TypeProbe, wire.Probe{Number: 9, Size: 100}.Append(nil), 0, "node_probe_malformed"},
			{"an empty acknowledgement", wire.TypeProbeAck, nil, 0, "node_probe_malformed"},
			{"an acknowledgement of no probe", wire.TypeProbeAck, wire.Probe{Number: 1, Size: 8972}.AppendAck(nil), 0, "node_probe_unknown"},
		} {
			before := m.node.Counters()
			acks := p.send(test.typ, test.payload)
			if len(acks) != test.acks {
				t.Errorf("%s: %d acknowledgements, want %d", test.name, len(acks), test.acks)
			}
			for _, n := range acks {
				if n != wire.ProbeLen+wire.Overhead {
					t.Errorf("%s: acknowledgement of %d bytes", test.name, n)
				}
			}
			for _, name := range []string{"node_probe_malformed", "node_probe_unknown", "node_probe_queue"} {
				want := uint64(0)
				if name == test.counter {
					want = 1
				}
				if got := m.node.Counters()[name] - before[name]; got != want {
					t.Errorf("%s: counter %s grew by %d, want %d", test.name, name, got, want)
				}
			}
		}
	})
}

// "It MAY leave some unanswered when too many come": a member that sends thousands takes neither the loop's time nor the others' room in
// its queue.
func TestProbeFlood(t *testing.T) {
	withProber(t, func(t *testing.T, m *member, p *prober) {
		s := p.machine.Session(p.to)
		const flood = 2000
		for i := range flood {
			counter, err := s.Keypair().Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			payload := wire.Probe{Number: uint32(i), Size: wire.MaxDatagram}.AppendAck(nil)
			sealed := s.Keypair().Seal(nil, wire.Header{Type: wire.TypeProbeAck, Counter: counter}, payload)
			p.host.WriteBatch([]wire.Datagram{{Buf: sealed, Endpoint: s.Endpoint()}})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		counters := m.node.Counters()
		handled, refused := counters["node_probe_unknown"], counters["node_probe_queue"]
		if handled == 0 || handled > 100 || handled+refused < flood/2 { // the network loses some
			t.Errorf("%d of %d acknowledgements were handled and %d refused, want 100 handled at most", handled, flood, refused)
		}
		if acks := p.send(wire.TypeProbe, wire.Probe{Number: 1, Size: wire.MaxDatagram}.Append(nil)); len(acks) != 1 {
			t.Errorf("%d acknowledgements of a probe after the flood, want 1", len(acks))
		}
	})
}
