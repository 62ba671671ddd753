package node_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/node"
	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// site is where a simulated host may be: on the network itself, or behind a NAT.
type site struct {
	name string
	nat  bool
	kind netsim.NATKind
}

var (
	public     = site{name: "public"}
	cone       = site{"full cone", true, netsim.FullCone}
	addrCone   = site{"address-restricted", true, netsim.AddressRestricted}
	portCone   = site{"port-restricted", true, netsim.PortRestricted}
	symmetric  = site{"symmetric", true, netsim.Symmetric}
	everywhere = []site{public, cone, addrCone, portCone, symmetric}
)

// direct reports whether two hosts at these sites can reach each other without a relay: not if one's port is another for each
// destination and the other one's NAT wants to know it beforehand.
func (s site) direct(other site) bool {
	strict := func(s site) bool { return s == portCone || s == symmetric }
	return !(s == symmetric && strict(other) || other == symmetric && strict(s))
}

// put adds a host at a site that knows the endpoints of seeds, without starting it.
func (c *cluster) put(s site, seeds ...*member) *member {
	m := c.add(seeds...)
	if s.nat {
		i := len(c.members)
		m.addr = fmt.Sprintf("10.0.%d.2:7000", i)
		m.nat = c.net.NAT(s.kind, fmt.Sprintf("198.51.100.%d", i))
	}
	return m
}

// peer returns what m knows of the other.
func (m *member) peer(other *member) node.Peer {
	for _, p := range m.node.Peers() {
		if p.ID == other.identity.Public {
			return p
		}
	}
	return node.Peer{}
}

// station returns the MAC of a container of the member.
func (m *member) station() [6]byte {
	id := m.identity.Public
	return [6]byte{2, id[0], id[1], id[2], id[3], id[4]}
}

// crosses reports whether a frame of a container of a reaches one of b within a second.
func crosses(a, b *member) bool {
	b.tap.Frames()
	f := frame(b.station(), a.station(), 700)
	a.tap.Inject(f)
	for range 100 {
		time.Sleep(10 * time.Millisecond)
		for _, got := range b.tap.Frames() {
			if bytes.Equal(got, f) {
				return true
			}
		}
	}
	return false
}

// talk checks that frames go both ways.
func (c *cluster) talk(when string, a, b *member) {
	c.t.Helper()
	if !crosses(a, b) || !crosses(b, a) {
		c.report()
		for _, m := range c.members {
			for _, p := range m.node.Peers() {
				c.t.Logf("%s reaches %s via %q; %d bytes in, %d out", m.name, p.Name, p.Relay, p.RXBytes, p.TXBytes)
			}
			for name, n := range m.node.Counters() {
				if n > 0 {
					c.t.Logf("%s: %s = %d", m.name, name, n)
				}
			}
		}
		c.t.Errorf("%s: %s and %s do not talk", when, a.name, b.name)
	}
}

// directly and relayed are conditions for both ends of a path.
func directly(a, b *member) func() bool {
	return func() bool {
		p, q := a.peer(b), b.peer(a)
		return p.State == node.PeerUp && q.State == node.PeerUp && p.Relay == "" && q.Relay == ""
	}
}

func relayed(a, b *member, via string) func() bool {
	return func() bool { return a.peer(b).Relay == via && b.peer(a).Relay == via }
}

// "Any host reaches any host", directly where their NATs allow it, within two seconds of the join; the first frame crosses within one.
func TestNATs(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		for i, x := range everywhere {
			for _, y := range everywhere[i:] {
				natPair(t, seed, x, y)
			}
		}
	})
}

func natPair(t *testing.T, seed int64, x, y site) {
	pair := x.name + " and " + y.name
	c := newCluster(t, seed)
	defer c.close()
	hub := c.add()
	hub.start()
	a, b := c.put(x, hub), c.put(y, hub)
	a.start()
	c.eventually(5*time.Second, pair+": the first is a member", func() bool { return a.up() == 1 && hub.up() == 1 })
	time.Sleep(5 * time.Second)

	b.start()
	began := time.Now()
	first := c.eventually(time.Second, pair+": there is a session", func() bool {
		return a.peer(b).State == node.PeerUp && b.peer(a).State == node.PeerUp
	})
	for len(b.tap.Frames()) == 0 { // one that overtakes the last handshake message is lost
		a.tap.Inject(frame(broadcast, a.station(), 700))
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%s: the first frame takes %v, want at most 1s", pair, took)
	}
	if x.direct(y) {
		c.eventually(2*time.Second, pair+": they reach each other directly", directly(a, b))
		took := time.Since(began)
		t.Logf("%s: session after %v, direct after %v", pair, first, took)
		if took > 2*time.Second {
			t.Errorf("%s: direct after %v, want at most 2s", pair, took)
		}
	} else {
		time.Sleep(time.Minute)
		if !relayed(a, b, hub.name)() {
			t.Errorf("%s: relays %q and %q, want %s", pair, a.peer(b).Relay, b.peer(a).Relay, hub.name)
		}
	}
	c.talk(pair, a, b)
	// It lasts, through changes of keys and without traffic of containers.
	time.Sleep(5 * time.Minute)
	c.talk(pair+", later", a, b)
	if got := directly(a, b)(); got != x.direct(y) {
		t.Errorf("%s: direct after five minutes: %v", pair, got)
	}
}

// stranded returns two hosts behind symmetric NATs and n public ones.
func stranded(t *testing.T, seed int64, n int) (c *cluster, a, b *member, hubs []*member) {
	c = newCluster(t, seed)
	for i := range n {
		hub := c.add(c.members[:min(i, 1)]...)
		hub.start()
		hubs = append(hubs, hub)
	}
	a, b = c.put(symmetric, hubs...), c.put(symmetric, hubs...)
	a.start()
	b.start()
	c.eventually(10*time.Second, "every member has a session with every other", c.complete)
	time.Sleep(time.Second) // both sides have the keys: a frame that overtakes the last handshake message is lost
	return c, a, b, hubs
}

// "When a relay dies, another one is taken", under traffic within seconds.
func TestRelayDies(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c, a, b, hubs := stranded(t, seed, 3)
		defer c.close()
		for i := range 2 {
			c.talk("before", a, b)
			dead := c.named(a.peer(b).Relay)
			if dead == nil {
				t.Fatalf("no relay: %+v", a.peer(b))
			}
			dead.kill()
			began := time.Now()
			c.eventually(10*time.Second, "frames go by another relay", func() bool { return crosses(a, b) && crosses(b, a) })
			t.Logf("relay %d died, frames again after %v", i, time.Since(began))
		}
		if up := hubs[0].up() + hubs[1].up() + hubs[2].up(); up == 0 {
			t.Error("no relay is left")
		}
	})
}

// named returns the member of a name.
func (c *cluster) named(name string) *member {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// "A relay that drops what it should pass on is left."
func TestRelayDrops(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c, a, b, _ := stranded(t, seed, 2)
		defer c.close()
		c.talk("before", a, b)
		bad := netip.MustParseAddrPort(c.named(a.peer(b).Relay).addr)
		c.net.Filter(func(from, _ netip.AddrPort, datagram []byte) bool {
			return from != bad || wire.Type(datagram[0]) != wire.TypeRelayed
		})
		began := time.Now()
		c.eventually(10*time.Second, "frames go by another relay", func() bool { return crosses(a, b) && crosses(b, a) })
		t.Logf("frames again after %v", time.Since(began))
	})
}

// "After a partition everybody is reached again", the relays and who is behind NATs.
func TestPartitionOfRelays(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c, a, b, hubs := stranded(t, seed, 2)
		defer c.close()
		one := netip.MustParseAddr("198.51.100.3") // a's NAT
		for _, d := range []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute} {
			c.net.Filter(func(from, to netip.AddrPort, _ []byte) bool { return from.Addr() != one && to.Addr() != one })
			time.Sleep(d)
			c.net.Filter(nil)
			began := time.Now()
			c.eventually(45*time.Second, "frames flow again", func() bool { return crosses(a, b) && crosses(b, a) && crosses(a, hubs[0]) })
			t.Logf("after %v without network: frames again after %v", d, time.Since(began))
		}
	})
}

// "A member that does not want to relay does not": those who need one do not talk, and nothing else changes.
func TestNoRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		hub := c.add()
		hub.noRelay = true
		hub.start()
		a, b := c.put(symmetric, hub), c.put(symmetric, hub)
		a.start()
		b.start()
		c.eventually(10*time.Second, "both are members", func() bool { return hub.up() == 2 })
		time.Sleep(time.Minute)
		if crosses(a, b) || a.peer(b).State == node.PeerUp {
			t.Errorf("%+v: reached although nobody relays", a.peer(b))
		}
		if n := hub.node.Counters()["node_relay_forwarded"]; n != 0 {
			t.Errorf("%d datagrams relayed", n)
		}
	})
}

// "The path moves to a relay when the direct one dies, and back": frames are lost for seconds at most when it dies, and none when it
// comes back.
func TestPathMoves(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c := newCluster(t, seed)
		defer c.close()
		hub := c.add()
		a, b := c.add(hub), c.add(hub)
		var log logged
		a.log = &log
		for _, m := range c.members {
			m.start()
		}
		c.eventually(10*time.Second, "every member has a session with every other", c.complete)
		time.Sleep(time.Second) // both sides have the keys
		addrA, addrB := netip.MustParseAddrPort(a.addr), netip.MustParseAddrPort(b.addr)
		for _, one := range []bool{false, true} { // direction only
			c.eventually(90*time.Second, "the path is direct", directly(a, b))
			c.talk("before", a, b)
			c.net.Cut(addrA, addrB)
			if !one {
				c.net.Cut(addrB, addrA)
			}
			began := time.Now()
			c.eventually(12*time.Second, "frames go by the relay", func() bool { return crosses(a, b) && crosses(b, a) })
			t.Logf("one direction: %v, frames again after %v", one, time.Since(began))
			c.eventually(10*time.Second, "both use the relay", relayed(a, b, hub.name))
			c.net.Heal()
			lost := 0
			for range 700 { // a frame every 100 ms
				if c.missing(a, b) {
					lost++
				}
			}
			if lost > 0 || !directly(a, b)() {
				t.Errorf("%d frames lost on the way back, direct: %v", lost, directly(a, b)())
			}
		}
		if n := strings.Count(log.String(), "path changed"); n < 2 || n > 6 {
			t.Errorf("%d lines about changes of the path:\n%s", n, log.String())
		}
	})
}

// missing reports whether a frame of a does not reach b within 150 ms.
func (c *cluster) missing(a, b *member) bool {
	b.tap.Frames()
	a.tap.Inject(frame(b.station(), a.station(), 700))
	time.Sleep(350 * time.Millisecond)
	return len(b.tap.Frames()) == 0
}

// "Behind a NAT that shows each peer another port, a host tells one of them": the members are not told of a new one with every handshake.
func TestSymmetricEndpointsStay(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c, a, _, hubs := stranded(t, seed, 4)
		defer c.close()
		time.Sleep(10 * time.Second)
		changes, last := 0, hubs[0].peer(a).Endpoints
		for range 10 * 60 {
			time.Sleep(time.Second)
			if now := hubs[0].peer(a).Endpoints; !slices.Equal(now, last) {
				changes, last = changes+1, now
			}
		}
		if changes > 0 || len(last) != 2 {
			t.Errorf("endpoints changed %d times in ten minutes, now %v, want the host's own and one of the NAT", changes, last)
		}
	})
}

// "A NAT that changes its ports under traffic": the peers see it and follow at once, when the host behind it sends.
func TestRebinding(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		for _, other := range []site{public, portCone, symmetric} {
			c := newCluster(t, seed)
			hub := c.add()
			a, b := c.put(portCone, hub), c.put(other, hub)
			for _, m := range c.members {
				m.start()
			}
			c.eventually(10*time.Second, "every member has a session with every other", c.complete)
			time.Sleep(5 * time.Second)
			c.talk("before", a, b)
			a.nat.Rebind()
			began := time.Now()
			c.eventually(8*time.Second, "frames flow again", func() bool { return crosses(a, b) && crosses(b, a) })
			t.Logf("to a host %s: frames again after %v", other.name, time.Since(began))
			if took := time.Since(began); other != portCone && took > time.Second {
				t.Errorf("to a host %s: %v without frames, want at most 1s", other.name, took)
			}
			c.close()
		}
	})
}
