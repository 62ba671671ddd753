package node_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/raftstore"
	"meshnet/ipam/registry"
	"meshnet/meshd/answer"
	"meshnet/meshd/hub"
	"meshnet/meshd/node"
	"meshnet/meshd/session"
	"meshnet/test/netsim"
)

var (
	seedFlag    = flag.Int64("seed", -1, "run the simulations with this seed only")
	seedsFlag   = flag.Int("seeds", 3, "how many seeds the simulations run with")
	verboseFlag = flag.Bool("simlog", false, "print what the simulated nodes log")
)

// dnsServer is what containers of the simulated hosts are told to ask.
var dnsServer = netip.MustParseAddr("10.77.0.1")

// cluster is a network of simulated hosts.
type cluster struct {
	t       *testing.T
	net     *netsim.Network
	psk     [32]byte
	pools   []registry.Pool // of IPv4; none: IPv6 only
	dhcp    answer.Mode     // whom DHCP is answered
	router  bool            // the hosts are the gateway
	members []*member
}

// member is one host of a cluster: a hub, a node and what outlives a restart.
type member struct {
	log      io.Writer // takes what the node logs; nil: nobody does
	c        *cluster
	name     string
	addr     string
	dir      string
	identity session.Identity
	seeds    []string
	known    []node.KnownPeer
	instance uint64
	lanes    int         // to send by; 0: one
	nat      *netsim.NAT // that the host is behind; nil: none
	noRelay  bool        // it does not relay
	claims   []string    // endpoints that it says it has, beside its own

	host   *netsim.Host
	tap    *netsim.TAP
	queues []*netsim.TAP // what comes by queue i goes by lane i; tap is the first
	node   *node.Node
	cancel context.CancelFunc
	done   chan struct{}
}

func newCluster(t *testing.T, seed int64) *cluster {
	c := &cluster{t: t, net: netsim.New(seed)}
	c.net.SetLatency(5*time.Millisecond, 60*time.Millisecond)
	c.psk[0] = byte(seed)
	return c
}

// add makes a host that knows the endpoints of seeds, without starting it.
func (c *cluster) add(seeds ...*member) *member {
	i := len(c.members)
	m := &member{
		c:    c,
		name: fmt.Sprintf("host%d", i),
		addr: fmt.Sprintf("192.0.2.%d:7000", i+1),
		dir:  c.t.TempDir(),
	}
	m.identity = mustIdentity(c.t, i)
	for _, s := range seeds {
		m.seeds = append(m.seeds, s.addr)
	}
	c.members = append(c.members, m)
	return m
}

// mustIdentity returns the i-th of a row of identities.
func mustIdentity(t *testing.T, i int) session.Identity {
	identity, err := session.NewIdentity(rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 1}))
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// simBridgeMAC is the MAC of a member's bridge.
func simBridgeMAC(id session.NodeID) [6]byte { return [6]byte{0x02, 0xb0, id[0], id[1], id[2], id[3]} }

// start starts the member's daemon, after the last one ended if there was one.
func (m *member) start() {
	m.c.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if m.log != nil {
		log = slog.New(slog.NewTextHandler(m.log, nil))
	}
	if *verboseFlag {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("host", m.name)
	}
	m.host, m.tap = m.newHost(m.addr), netsim.NewTAP()
	sockets := []hub.Socket{m.host}
	m.queues = []*netsim.TAP{m.tap}
	for lane := 1; lane < m.lanes; lane++ {
		sockets = append(sockets, m.newHost(m.port(lane).String()))
		m.queues = append(m.queues, netsim.NewTAP())
	}
	h := hub.New([][]hub.Socket{sockets}, log)
	slot, err := h.Add()
	if err != nil {
		m.c.t.Fatal(err)
	}
	id := session.NetworkID("sim", m.c.psk)
	leases, err := ipam.Open(m.dir, ipam.Config{
		NetworkID: id, Node: m.identity.Public, Key: ipam.AddressKey(m.c.psk), Log: log,
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
	m.instance = max(m.instance+1, uint64(time.Now().UnixNano()))
	m.node, err = node.New(node.Config{
		Name: "sim", NodeName: m.name, NetworkID: id, PSK: m.c.psk, Identity: m.identity, Instance: m.instance, AES: true,
		Relay: !m.noRelay, Advertise: m.claims, MTU: 1500, Prefix: ipam.Subnet(ipam.ULA(id)), Pools: m.c.prefixes(), DHCP: m.c.dhcp,
		DNS: []netip.Addr{dnsServer}, Domain: "sim.mesh",
		Seeds: m.seeds, Known: m.known,
		SaveKnown:      func(k []node.KnownPeer) { m.known = k },
		Slot:           slot,
		Underlay:       h,
		TAP:            m.tap,
		Queues:         taps(m.queues),
		Lanes:          m.lanes,
		Leases:         leases,
		Blocks:         m.blocks(),
		BridgeMAC:      simBridgeMAC,
		Router:         m.c.router,
		LocalEndpoints: func() []netip.AddrPort { return []netip.AddrPort{m.host.LocalAddr()} },
		Resolve: func(_ context.Context, hp string) ([]netip.AddrPort, error) {
			e, err := netip.ParseAddrPort(hp)
			return []netip.AddrPort{e}, err
		},
		Log: log,
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
	h.Attach(slot, m.node)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	hubDone := make(chan struct{})
	go func() { defer close(hubDone); h.Run(ctx) }()
	go func() {
		defer close(m.done)
		if err := m.node.Run(ctx); err != nil {
			m.c.t.Errorf("%s: Run() = %v", m.name, err)
		}
		<-hubDone
	}()
}

// logged is what a member's node has said: it may go on while the test reads.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newHost returns sockets of the member's host.
func (m *member) newHost(addr string) *netsim.Host {
	if m.nat != nil {
		return m.nat.Host(addr)
	}
	return m.c.net.Host(addr)
}

// port returns where the member sends from by a lane.
func (m *member) port(lane int) netip.AddrPort {
	first := netip.MustParseAddrPort(m.addr)
	return netip.AddrPortFrom(first.Addr(), first.Port()+uint16(lane))
}

func taps(queues []*netsim.TAP) (all []node.TAP) {
	for _, q := range queues {
		all = append(all, q)
	}
	return all
}

// blocks returns what opens the member's part of the registry of IPv4 blocks; the first member makes it.
func (m *member) blocks() func(*node.Streams) (ipam.BlockStore, error) {
	if m.c.pools == nil {
		return nil
	}
	self := registry.NodeID(m.identity.Public)
	return func(s *node.Streams) (ipam.BlockStore, error) {
		return raftstore.Open(raftstore.Config{
			Dir: filepath.Join(m.dir, "raft"), Self: self, Streams: s, Bootstrap: len(m.seeds) == 0,
			Init: registry.Command{Op: registry.OpInit, Node: self, Pools: m.c.pools},
			Members: func() (all []raftstore.Member) {
				for _, o := range s.Members() {
					all = append(all, raftstore.Member{ID: o.ID, Name: o.Name, Instance: o.Instance, Alive: o.Alive, Left: o.Left, Since: o.Since})
				}
				return all
			},
			Log: slog.New(slog.DiscardHandler),
		})
	}
}

// prefixes returns those of the pools.
func (c *cluster) prefixes() (all []netip.Prefix) {
	for _, p := range c.pools {
		all = append(all, p.Prefix)
	}
	return all
}

// kill ends the member's daemon without a goodbye.
func (m *member) kill() {
	m.cancel()
	<-m.done
}

// close ends all daemons.
func (c *cluster) close() {
	for _, m := range c.members {
		m.cancel()
	}
	for _, m := range c.members {
		<-m.done
	}
	time.Sleep(time.Minute) // memberlist does not wait for its goroutines; they end within some probe intervals
}

// up returns how many sessions the member has.
func (m *member) up() (n int) {
	for _, p := range m.node.Peers() {
		if p.State == node.PeerUp {
			n++
		}
	}
	return n
}

// eventually waits on the fake clock until ok, and fails after limit.
func (c *cluster) eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			c.report()
			c.t.Fatalf("not after %v: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// report prints what each member sees.
func (c *cluster) report() {
	for _, m := range c.members {
		c.t.Logf("%s: %d up, %d neighbours", m.name, m.up(), len(m.node.Neighbours()))
		for _, p := range m.node.Peers() {
			if p.State != node.PeerUp {
				c.t.Logf("  %s is %v since %v, endpoints %v", p.Name, p.State, p.Since, p.Endpoints)
			}
		}
	}
}

// complete reports whether every member has a session with every other.
func (c *cluster) complete() bool {
	for _, m := range c.members {
		if m.up() != len(c.members)-1 {
			return false
		}
	}
	return true
}

// request asks for a container's eth0.
func request(container string) ipam.Request {
	return ipam.Request{Attachment: ipam.Attachment{Container: container, IfName: "eth0"}}
}

// seeds runs f once for each seed, or for the one that -seed names.
func seeds(t *testing.T, f func(t *testing.T, seed int64)) {
	first, n := int64(1), int64(*seedsFlag)
	if *seedFlag >= 0 {
		first, n = *seedFlag, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, seed) })
		})
	}
}

// "30 nodes on netsim converge in simulated seconds under 5 % loss."
func TestThirtyNodesConverge(t *testing.T) {
	seeds(t, func(t *testing.T, seed int64) {
		c := newCluster(t, seed)
		defer c.close()
		c.net.SetLoss(0.05)
		first := c.add()
		first.start()
		for range 29 {
			c.add(first).start()
		}
		for _, m := range c.members {
			if _, err := m.node.Attach(t.Context(), request("web")); err != nil {
				t.Fatal(err)
			}
		}
		took := c.eventually(30*time.Second, "every member has a session with every other", c.complete)
		tables := c.eventually(30*time.Second, "every member lists every container", func() bool {
			for _, m := range c.members {
				if len(m.node.Neighbours()) != len(c.members) {
					return false
				}
			}
			return true
		})
		t.Logf("sessions after %v, neighbour tables after %v", took, took+tables)
		seen := make(map[netip.Addr]bool)
		for _, nb := range first.node.Neighbours() {
			if seen[nb.Addrs[0]] {
				t.Errorf("two containers have %v", nb.Addrs[0])
			}
			seen[nb.Addrs[0]] = true
		}
	})
}
