package netsim

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// defaultLatency is the one-way delay of a new Network. It is not zero, because two hosts that answer each other at
// once would then keep a bubble's clock from ever moving.
const defaultLatency = time.Millisecond

// A Network carries datagrams between its hosts. All methods may be called at any time from any goroutine; settings
// hold for datagrams sent after the call, what is under way already still arrives.
type Network struct {
	mu       sync.Mutex // held briefly, never while a caller's function runs
	seed     uint64
	settings settings
	observer func(Event)
	filter   func(from, to netip.AddrPort, datagram []byte) bool
	dropNext map[netip.AddrPort]int
	group    map[netip.AddrPort]int // nil: no partition. Absent addresses are in group 0
	cuts     map[route]bool
	mtu      int           // bytes of IP packet, of every link that mtus does not name; 0: no limit
	mtus     map[route]int //
	hosts    map[netip.AddrPort]*Host
	nats     map[netip.Addr]*NAT // by external address
	links    map[route]*link
	stats    Stats
	schedule schedule
}

// settings are the chances and delays that every link has.
type settings struct {
	latencyMin, latencyMax   time.Duration
	loss, reorder, duplicate float64 // probability per datagram, 0 to 1
}

// A route is a direction between two addresses.
type route struct{ from, to netip.AddrPort }

// Stats counts datagrams by what became of them. A datagram that was duplicated is delivered, or lost at its
// destination, once for each copy.
type Stats struct {
	Sent        uint64 // handed to WriteBatch or Send
	Delivered   uint64 // put into a host's receive queue
	Duplicated  uint64 // sent on twice
	Lost        uint64 // lost by chance (SetLoss)
	Dropped     uint64 // lost by DropNext or by the filter
	Partitioned uint64 // lost to Partition or Cut
	Oversized   uint64 // lost because a link's MTU did not let them pass
	Filtered    uint64 // not let in by a NAT
	Unreachable uint64 // nobody had the destination when it arrived, or the sender had no address of its family
	Overflow    uint64 // lost because the receiver's queue was full
}

// New returns a network without hosts, with a latency of 1 ms and no loss, whose chances follow from seed.
func New(seed int64) *Network {
	n := &Network{
		seed:     uint64(seed),
		settings: settings{latencyMin: defaultLatency, latencyMax: defaultLatency},
		dropNext: make(map[netip.AddrPort]int),
		cuts:     make(map[route]bool),
		mtus:     make(map[route]int),
		hosts:    make(map[netip.AddrPort]*Host),
		nats:     make(map[netip.Addr]*NAT),
		links:    make(map[route]*link),
	}
	n.schedule.timer = time.AfterFunc(time.Hour, n.deliver)
	n.schedule.timer.Stop()
	return n
}

// SetLatency makes every datagram take between minimum and maximum, evenly drawn in steps of 100 µs. The datagrams of a
// link stay in order all the same, so those sent soon after a slow one are slow too; SetReorder is what lets one
// overtake another.
func (n *Network) SetLatency(minimum, maximum time.Duration) {
	if minimum < 0 || maximum < minimum {
		panic(fmt.Sprintf("netsim: latency from %v to %v", minimum, maximum))
	}
	n.set(func(s *settings) { s.latencyMin, s.latencyMax = minimum, maximum })
}

// SetLoss loses each datagram with probability p.
func (n *Network) SetLoss(p float64) { n.set(func(s *settings) { s.loss = probability(p) }) }

// SetReorder holds back each datagram with probability p, by once to three times the maximum latency (of at least
// 1 ms), while those sent after it pass.
func (n *Network) SetReorder(p float64) { n.set(func(s *settings) { s.reorder = probability(p) }) }

// SetDuplicate delivers each datagram a second time with probability p; the copy is late as a reordered one is.
func (n *Network) SetDuplicate(p float64) { n.set(func(s *settings) { s.duplicate = probability(p) }) }

func (n *Network) set(change func(*settings)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.settings)
}

func probability(p float64) float64 {
	if !(p >= 0 && p <= 1) {
		panic(fmt.Sprintf("netsim: probability %v", p))
	}
	return p
}

// DropNext loses the next count datagrams that are sent from the address, to wherever. A second call replaces what is
// left of the first.
func (n *Network) DropNext(from netip.AddrPort, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropNext[from] = count
}

// Filter has keep decide on every datagram, before chance does: false loses it. It sees the sender's bytes and must
// neither change nor keep them; it is called from the sender's goroutine, so possibly from several at once. Nil removes
// the filter.
func (n *Network) Filter(keep func(from, to netip.AddrPort, datagram []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = keep
}

// Tap has observe see every datagram as it is sent, with its fate, as a capture on the sender's link would. It is
// called from the sender's goroutine, so possibly from several at once, and may call the Network. Nil removes it.
func (n *Network) Tap(observe func(Event)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observer = observe
}

// Partition splits the network: addresses in different groups do not hear each other. All addresses that no group names
// are one more group. It replaces an earlier Partition.
func (n *Network) Partition(groups ...[]netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.group = make(map[netip.AddrPort]int)
	for i, group := range groups {
		for _, addr := range group {
			n.group[addr] = i + 1
		}
	}
}

// Cut loses everything from one address to the other, in this direction only, until Heal.
func (n *Network) Cut(from, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[route{from, to}] = true
}

// Heal ends Partition and every Cut.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.group = nil
	clear(n.cuts)
}

// Stats returns what has become of all datagrams so far.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}
