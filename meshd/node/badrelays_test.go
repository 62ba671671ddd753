package node_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// relayLab runs a test of a member that is asked to relay to another one, by a prober.
func relayLab(t *testing.T, noRelay bool, test func(t *testing.T, relay, other *member, p *prober)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		relay := c.add()
		relay.noRelay = noRelay
		other := c.add(relay)
		relay.start()
		other.start()
		c.eventually(10*time.Second, "both are members", c.complete)
		p := newProber(t, c, relay)
		defer p.host.Close()
		test(t, relay, other, p)
	})
}

// sealedLike returns a message that looks like a sealed one of the given type and length.
func sealedLike(t wire.Type, n int) []byte {
	b := make([]byte, n)
	wire.PutHeader(b, wire.Header{Type: t, Receiver: 1 << 20})
	return b
}

// "A relay drops …, and counts it": nothing is ever sent back.
func TestBadRelays(t *testing.T) {
	relayLab(t, false, func(t *testing.T, relay, other *member, p *prober) {
		to := func(id session.NodeID, datagram []byte) []byte { return wire.AppendRelay(nil, id, datagram) }
		frame := sealedLike(wire.TypeFrame, 100)
		for _, test := range []struct {
			name    string
			typ     wire.Type
			payload []byte
			at      *member
			counter string
		}{
			{"for a member", wire.TypeRelay, to(other.identity.Public, frame), relay, "node_relay_forwarded"},
			{"for a member, as that one sees it", wire.TypeRelay, to(other.identity.Public, frame), other, "node_relay_received"},
			{"for nobody", wire.TypeRelay, to(session.NodeID{1}, frame), relay, "node_relay_unknown"},
			{"for the relay", wire.TypeRelay, to(relay.identity.Public, frame), relay, "node_relay_unknown"},
			{"for the sender", wire.TypeRelay, to(mustIdentity(t, 99).Public, frame), relay, "node_relay_unknown"},
			{"empty", wire.TypeRelay, nil, relay, "node_relay_malformed"},
			{"no datagram", wire.TypeRelay, to(other.identity.Public, nil), relay, "node_relay_malformed"},
			{"one to be relayed again", wire.TypeRelay, to(other.identity.Public, sealedLike(wire.TypeRelay, 200)), relay, "node_relay_malformed"},
			{"of a type of later versions", wire.TypeRelay, to(other.identity.Public, sealedLike(99, 200)), other, "node_relay_malformed"},
			{"relayed, of no session", wire.TypeRelayed, to(other.identity.Public, frame), relay, "node_unknown_index"},
			{"relayed, to be relayed", wire.TypeRelayed, to(other.identity.Public, sealedLike(wire.TypeRelay, 200)), relay, "node_relay_malformed"},
			{"relayed, empty", wire.TypeRelayed, nil, relay, "node_relay_malformed"},
			{"relayed, of a type of later versions", wire.TypeRelayed, to(other.identity.Public, sealedLike(99, 200)), relay, "node_relay_malformed"},
		} {
			before := test.at.node.Counters()
			p.send(test.typ, test.payload)
			if n := test.at.node.Counters()[test.counter] - before[test.counter]; n != 1 {
				t.Errorf("%s: %s grew by %d, want 1", test.name, test.counter, n)
			}
		}
	})
}

// "relay = false": a member that does not want to relay counts what it is asked to.
func TestRelayRefused(t *testing.T) {
	relayLab(t, true, func(t *testing.T, relay, other *member, p *prober) {
		p.send(wire.TypeRelay, wire.AppendRelay(nil, other.identity.Public, sealedLike(wire.TypeFrame, 100)))
		counters := relay.node.Counters()
		if counters["node_relay_refused"] != 1 || counters["node_relay_forwarded"] != 0 || other.node.Counters()["node_relay_received"] != 0 {
			t.Errorf("counters %v, want one refused", counters)
		}
	})
}

// A member that names other origins than itself in what it says it relays, with first handshake messages: each costs one, and there is
// a bound.
func TestRelayedHandshakeFlood(t *testing.T) {
	relayLab(t, false, func(t *testing.T, relay, _ *member, p *prober) {
		for i := range 3000 {
			handshake := append([]byte{1, 0, 0, 0, byte(i), byte(i >> 8)}, make([]byte, 60)...)
			s := p.machine.Session(p.to)
			counter, err := s.Keypair().Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			payload := wire.AppendRelay(nil, session.NodeID{byte(i), byte(i >> 8)}, handshake)
			sealed := s.Keypair().Seal(nil, wire.Header{Type: wire.TypeRelayed, Counter: counter}, payload)
			p.host.WriteBatch([]wire.Datagram{{Buf: sealed, Endpoint: s.Endpoint()}})
		}
		time.Sleep(time.Second)
		counters := relay.node.Counters()
		if counters["session_handshake_psk"]+counters["node_handshake_queue"] == 0 {
			t.Errorf("counters %v, want the messages refused", counters)
		}
		if up := relay.up(); up != 1 {
			t.Errorf("%d sessions with members, want the other's to go on", up)
		}
	})
}

// "Who names a victim's address as its own makes the mesh no amplifier": to a host that never answers go some small datagrams at first,
// and two or three a minute and member in the long run.
func TestVictim(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c := newCluster(t, seed)
		defer c.close()
		hub := c.add()
		hub.start()
		liar := c.put(symmetric, hub)
		victims := make(map[netip.AddrPort]bool)
		for i := range 6 {
			liar.claims = append(liar.claims, fmt.Sprintf("203.0.113.%d:53", i+1))
			victims[netip.MustParseAddrPort(liar.claims[i])] = true
		}
		liar.start()
		const others = 4
		for range others {
			c.put(symmetric, hub).start()
		}
		var mu sync.Mutex
		datagrams, size := 0, 0
		c.net.Tap(func(e netsim.Event) {
			if victims[e.To] {
				mu.Lock()
				defer mu.Unlock()
				datagrams, size = datagrams+1, size+len(e.Datagram)
			}
		})
		c.eventually(10*time.Second, "every member has a session with every other", c.complete)
		count := func(d time.Duration) float64 {
			mu.Lock()
			datagrams, size = 0, 0
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			if datagrams > 0 && size != datagrams*66 {
				t.Errorf("%d datagrams have %d bytes, want first handshake messages only", datagrams, size)
			}
			return float64(datagrams) / float64(others*len(victims)) / d.Minutes()
		}
		if n := count(time.Minute); n > 15 {
			t.Errorf("%.1f datagrams a member and address in the first minute, want at most 15", n)
		}
		count(2 * time.Minute)
		if n := count(10 * time.Minute); n > 3 {
			t.Errorf("%.1f datagrams a minute, member and address in the long run, want at most 3", n)
		}
	})
}
