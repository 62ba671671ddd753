package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// sessionLost is how long sessions outlast a partition: the session layer's timer.
const sessionLost = time.Minute

// testNetwork connects Controls: it plays the session layer and the underlay. Loss has a seed.
type testNetwork struct {
	t   *testing.T
	log *slog.Logger

	mu      sync.Mutex
	rng     *rand.Rand
	loss    float64
	latency time.Duration // one way; up to a quarter more at random
	nodes   map[session.NodeID]*testNode
	up      map[[2]session.NodeID]bool // sessions
	making  map[[2]session.NodeID]bool // sessions being made
	parted  map[session.NodeID]int     // side of a partition
	drop    func(from, to *testNode, t wire.Type) bool
}

// testNode is one instance of a node.
type testNode struct {
	*Control
	net      *testNetwork
	id       session.NodeID
	name     string
	instance uint64

	mu     sync.Mutex
	events []string // "up b 1", "down b", "left b"
	tables int      // NeighboursChanged
}

func newTestNetwork(t *testing.T, seed uint64) *testNetwork {
	net := &testNetwork{
		t:       t,
		log:     slog.New(slog.DiscardHandler),
		rng:     rand.New(rand.NewPCG(seed, 0)),
		latency: 10 * time.Millisecond,
		nodes:   make(map[session.NodeID]*testNode),
		up:      make(map[[2]session.NodeID]bool),
		making:  make(map[[2]session.NodeID]bool),
		parted:  make(map[session.NodeID]int),
	}
	t.Cleanup(net.stopAll) // inside the bubble
	return net
}

// testID returns the ID of the node with this name: hashes would do, but a readable one helps.
func testID(name string) (id session.NodeID) {
	copy(id[:], name)
	binary.BigEndian.PutUint64(id[24:], uint64(len(name))*0x9e3779b97f4a7c15)
	return id
}

// start starts an instance of a node; the one before, if any, has lost its sessions.
func (net *testNetwork) start(name string, instance uint64, attachments ...Neighbour) *testNode {
	net.t.Helper()
	n := &testNode{net: net, id: testID(name), name: name, instance: instance}
	var err error
	n.Control, err = New(Config{
		Self:      n.id,
		Name:      name,
		Instance:  instance,
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000")},
		Send:      n.send,
		Want:      func(id session.NodeID) { net.connect(n, id) },
		Events:    n,
		Log:       net.log.With("at", name),
	})
	if err != nil {
		net.t.Fatalf("New(%s) error = %v", name, err)
	}
	if err := n.Announce(attachments); err != nil {
		net.t.Fatalf("Announce on %s error = %v", name, err)
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	net.loseSessions(n.id)
	net.nodes[n.id] = n
	return n
}

// startMany starts n nodes, called n00, n01 …
func (net *testNetwork) startMany(n int) []*testNode {
	nodes := make([]*testNode, n)
	for i := range nodes {
		nodes[i] = net.start(fmt.Sprintf("n%02d", i), 1)
	}
	return nodes
}

// stop ends a node as a crash would: nobody is told, as far as the network is concerned.
func (net *testNetwork) stop(n *testNode) {
	net.mu.Lock()
	if net.nodes[n.id] == n {
		delete(net.nodes, n.id)
		net.loseSessions(n.id)
	}
	net.mu.Unlock()
	if err := n.Close(); err != nil {
		net.t.Errorf("Close of %s error = %v", n.name, err)
	}
}

// stopAll ends all nodes at once.
func (net *testNetwork) stopAll() {
	net.mu.Lock()
	nodes := make([]*testNode, 0, len(net.nodes))
	for _, n := range net.nodes {
		nodes = append(nodes, n)
	}
	clear(net.nodes)
	clear(net.up)
	net.mu.Unlock()
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() { net.stop(n) })
	}
	wg.Wait()
	time.Sleep(Linger) // a goroutine that is left after that fails the bubble
}

func (net *testNetwork) loseSessions(id session.NodeID) {
	for pair := range net.up {
		if pair[0] == id || pair[1] == id {
			delete(net.up, pair)
		}
	}
}

func pairOf(a, b session.NodeID) [2]session.NodeID {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return [2]session.NodeID{a, b}
}

// connect makes a session between n and a peer, if it can be reached, in a round trip and a half.
func (net *testNetwork) connect(n *testNode, peer session.NodeID) {
	net.mu.Lock()
	defer net.mu.Unlock()
	pair := pairOf(n.id, peer)
	if net.up[pair] || net.making[pair] || n.id == peer || net.nodes[n.id] != n {
		return
	}
	net.making[pair] = true
	time.AfterFunc(3*net.latency, func() {
		net.mu.Lock()
		delete(net.making, pair)
		other := net.nodes[peer]
		ok := other != nil && net.nodes[n.id] == n && net.parted[n.id] == net.parted[peer]
		if ok {
			net.up[pair] = true
		}
		net.mu.Unlock()
		if ok {
			n.Met(peer, other.instance)
			other.Met(n.id, n.instance)
		}
	})
}

var errNoSession = errors.New("no session")

// send implements Config.Send.
func (n *testNode) send(to session.NodeID, typ wire.Type, payload []byte) error {
	net := n.net
	net.mu.Lock()
	defer net.mu.Unlock()
	dst := net.nodes[to]
	if !net.up[pairOf(n.id, to)] {
		return errNoSession
	}
	if len(payload) > wire.MaxPayload {
		net.t.Errorf("%s sent %d bytes, at most %d fit", n.name, len(payload), wire.MaxPayload)
	}
	if dst == nil || net.parted[n.id] != net.parted[to] || net.rng.Float64() < net.loss ||
		net.drop != nil && net.drop(n, dst, typ) {
		return nil
	}
	datagram := bytes.Clone(payload)
	delay := net.latency + time.Duration(net.rng.Int64N(int64(net.latency/4)+1))
	time.AfterFunc(delay, func() { dst.Handle(n.id, typ, datagram) })
	return nil
}

// part cuts the network: the named nodes can only reach each other. Sessions across are lost after a minute.
func (net *testNetwork) part(names ...string) {
	net.mu.Lock()
	for _, name := range names {
		net.parted[testID(name)] = 1
	}
	net.mu.Unlock()
	time.AfterFunc(sessionLost, func() {
		net.mu.Lock()
		defer net.mu.Unlock()
		for pair := range net.up {
			if net.parted[pair[0]] != net.parted[pair[1]] {
				delete(net.up, pair)
			}
		}
	})
}

// heal undoes part.
func (net *testNetwork) heal() {
	net.mu.Lock()
	defer net.mu.Unlock()
	clear(net.parted)
}

// setDrop sets a function that says which datagrams are lost.
func (net *testNetwork) setDrop(drop func(from, to *testNode, t wire.Type) bool) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.drop = drop
}

// MemberUp implements Events; like a node, it makes sessions with members.
func (n *testNode) MemberUp(m Member) {
	n.note(fmt.Sprintf("up %s %d", m.Name, m.Instance))
	n.net.connect(n, m.ID)
}

// MemberDown implements Events.
func (n *testNode) MemberDown(m Member, left bool) {
	if left {
		n.note("left " + m.Name)
	} else {
		n.note("down " + m.Name)
	}
}

// NeighboursChanged implements Events.
func (n *testNode) NeighboursChanged() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tables++
}

func (n *testNode) note(event string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, event)
}

// saw returns how often an event happened.
func (n *testNode) saw(event string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, e := range n.events {
		if e == event {
			count++
		}
	}
	return count
}

// member returns what n knows of the node called name.
func (n *testNode) member(name string) Member {
	for _, m := range n.Members() {
		if m.ID == testID(name) {
			return m
		}
	}
	return Member{}
}

// aliveMembers counts them.
func (n *testNode) aliveMembers() int {
	count := 0
	for _, m := range n.Members() {
		if m.Alive() {
			count++
		}
	}
	return count
}

// containers returns "node/container" of all that n knows, sorted.
func (n *testNode) containers() []string {
	var all []string
	for _, nb := range n.Neighbours() {
		name, _, _ := bytes.Cut(nb.Node[:24], []byte{0})
		all = append(all, fmt.Sprintf("%s/%s", name, nb.Container))
	}
	slices.Sort(all)
	return all
}

// within waits, in the bubble's time, until cond holds, and returns how long it took; it fails the test after limit.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			t.Fatalf("after %v: not %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(began)
}

// allAlive says whether each of the nodes holds all of them alive, and nobody else.
func allAlive(nodes []*testNode) func() bool {
	return func() bool {
		for _, n := range nodes {
			if n.aliveMembers() != len(nodes) {
				return false
			}
		}
		return true
	}
}

func attachment(container string, last byte) Neighbour {
	addr := netip.MustParseAddr("fd00::").As16()
	addr[15] = last
	return Neighbour{Container: container, IfName: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, last},
		Addrs: []netip.Addr{netip.AddrFrom16(addr)}}
}

func testContext(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
