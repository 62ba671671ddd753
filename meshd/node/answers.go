package node

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
)

// answerer answers what containers ask (package answer). It implements mesh.Answerer; what is to be done beside answering it leaves to
// Node.attend.
type answerer struct {
	segment  atomic.Pointer[answer.Segment]
	dns      answer.Segment                // as segment is while containers are told of DNS servers
	tables   atomic.Pointer[answer.Tables] // published with the neighbour table
	limit    *answer.Limiter
	counters answer.Counters
	asked    chan asked                 // to attend
	told     chan struct{}              // to attend: the neighbour table has changed
	former   map[netip.Addr]formerOwner // of addresses that nobody has now; owned by the loop
}

// formerOwner is the MAC that an address had last, and until when.
type formerOwner struct {
	mac   answer.MAC
	until time.Time
}

const (
	// formerAge is how long it is remembered who had an address: a kernel believes longer only what is in use.
	formerAge = 10 * time.Minute
	maxFormer = 4096
)

// asked is an event, and the frame that made it, if it is to be offered again.
type asked struct {
	answer.Event
	frame   []byte
	partial bool
}

// askedQueue is how many events wait. What is dropped containers ask for again.
const askedQueue = 256

func newAnswerer(cfg *Config) *answerer {
	a := &answerer{
		dns: answer.Segment{
			MAC: ipam.GatewayMAC(cfg.NetworkID), MTU: cfg.MTU, Prefix: cfg.Prefix, Pools: cfg.Pools, DHCP: cfg.DHCP,
			Router: cfg.Router, DNS: cfg.DNS, Domain: cfg.Domain,
		},
		limit:  answer.NewLimiter(time.Now()),
		asked:  make(chan asked, askedQueue),
		told:   make(chan struct{}, 1),
		former: make(map[netip.Addr]formerOwner),
	}
	a.tables.Store(&answer.Tables{})
	a.segment.Store(&a.dns)
	return a
}

// OfferDNS says whether containers are told of the DNS servers of Config, as they are from the start.
func (n *Node) OfferDNS(on bool) {
	segment := n.answers.dns
	if !on {
		segment.DNS, segment.Domain = nil, ""
	}
	n.answers.segment.Store(&segment)
}

// gateways returns the gateway's addresses, about which nothing crosses the mesh.
func (a *answerer) gateways() []netip.Addr {
	gateways := []netip.Addr{a.dns.Gateway6(), a.dns.LinkLocal()}
	for _, p := range a.dns.Pools {
		gateways = append(gateways, answer.Gateway4(p))
	}
	return gateways
}

// Answer implements mesh.Answerer.
func (a *answerer) Answer(now time.Time, frame []byte, partial bool, dst []byte) (reply []byte, taken bool) {
	if !answer.Asks(frame) {
		return nil, false
	}
	t := a.tables.Load()
	if !a.limit.Allow(now, t, frame) {
		a.counters.Add(answer.Limited)
		return nil, true
	}
	r := a.segment.Load().Answer(t, frame, partial, dst)
	if r.Outcome == answer.Passed {
		return nil, false
	}
	a.counters.Add(r.Outcome)
	switch {
	case r.Event.Kind == answer.Needs:
		offer(a.asked, asked{r.Event, bytes.Clone(frame), partial})
	case r.Event.Kind == answer.Renewed, r.Event.Kind == answer.Released:
		if t.Leases[r.Event.MAC].Temporary {
			offer(a.asked, asked{Event: r.Event})
		}
	case r.Event.Kind != answer.None:
		offer(a.asked, asked{Event: r.Event})
	}
	return r.Reply, true
}

// TakeDHCP answers the frame of a DHCP client of this host that came to the gateway, where the kernel took it. partial: its UDP checksum is
// still to be computed.
func (n *Node) TakeDHCP(frame []byte, partial bool) {
	if reply, _ := n.answers.Answer(time.Now(), frame, partial, nil); len(reply) > 0 {
		n.fabric.Say(n.cfg.TAP, reply)
	}
}

// again answers a frame for which a lease was made.
func (a *answerer) again(q asked) []byte {
	r := a.segment.Load().Answer(a.tables.Load(), q.frame, q.partial, nil)
	if len(r.Reply) > 0 {
		a.counters.Add(r.Outcome)
	}
	return r.Reply
}

// publish makes the tables that frames are answered from, and returns the addresses that have another MAC than they had.
func (a *answerer) publish(now time.Time, n *Node, neighbours []control.Neighbour, leases []ipam.Lease) (moved []netip.Addr) {
	t := &answer.Tables{Holders: make(map[netip.Addr]answer.Holder, 2*len(neighbours)), Leases: make(map[answer.MAC]answer.Lease, len(leases))}
	owners, before := n.neighbours.Load().addrs, a.tables.Load()
	for _, nb := range neighbours {
		if !known(nb) {
			continue // it is asked, as on any switch
		}
		for _, addr := range nb.Addrs {
			if owners[addr] == nb.Node { // of two that claim it the one that is believed
				t.Holders[addr] = answer.Holder{MAC: nb.MAC, Local: nb.Node == n.ID()}
			}
		}
	}
	for _, l := range leases {
		if l.Holder.Source == SourceCNIIPAM {
			continue
		}
		held := answer.Lease{Name: hostName(l), IPv6: l.IPv6, Temporary: temporary(l), Rates: before.Leases[answer.MAC(l.MAC)].Rates}
		if held.Rates == nil {
			held.Rates = new(answer.Rates)
		}
		if !l.Lost {
			held.IPv4 = l.IPv4Prefix()
		}
		t.Leases[answer.MAC(l.MAC)] = held
		for _, addr := range []netip.Addr{held.IPv4.Addr(), held.IPv6} {
			if owner, told := owners[addr]; held.Temporary && told && owner == n.ID() {
				t.Holders[addr] = answer.Holder{MAC: answer.MAC(l.MAC), Local: true, Temporary: true}
			}
		}
	}
	a.tables.Store(t)
	return a.moves(now, before.Holders, t.Holders)
}

// moves returns the addresses that have another MAC than they had, directly before or some minutes ago.
func (a *answerer) moves(now time.Time, before, after map[netip.Addr]answer.Holder) (moved []netip.Addr) {
	for addr, h := range before {
		if _, held := after[addr]; !held && len(a.former) < maxFormer {
			a.former[addr] = formerOwner{h.MAC, now.Add(formerAge)}
		}
	}
	for addr, f := range a.former {
		if h, held := after[addr]; held && h.MAC != f.mac && now.Before(f.until) {
			moved = append(moved, addr)
		} else if !held && now.Before(f.until) {
			continue
		}
		delete(a.former, addr)
	}
	for addr, h := range after {
		if old, held := before[addr]; held && old.MAC != h.MAC {
			moved = append(moved, addr)
		}
	}
	return moved
}

// hostName returns what a container is told that it is called: its name, if that is one. What CNI runtimes call containers is for
// machines.
func hostName(l ipam.Lease) string {
	if len(l.Container) > 63 || l.Holder.Source == SourceCNI || temporary(l) {
		return ""
	}
	for i := range len(l.Container) {
		switch c := l.Container[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-' && i > 0 && i < len(l.Container)-1:
		default:
			return ""
		}
	}
	return l.Container
}

var _ mesh.Answerer = (*answerer)(nil)
