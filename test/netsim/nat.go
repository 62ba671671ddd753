package netsim

import (
	"fmt"
	"net/netip"
	"time"
)

// DefaultNATTimeout is how long a NAT remembers a mapping that is not used from inside: the least that RFC 4787, REQ-5, allows.
const DefaultNATTimeout = 2 * time.Minute

// A NAT is a router between the hosts behind it, which have addresses of their own, and the network. All methods may be called at any
// time from any goroutine.
type NAT struct {
	net    *Network
	t      *translator // guarded by Network.mu
	behind *NAT        // nil: this one is on the network
}

// NAT adds a NAT with the given external address ("198.51.100.1"). It panics if that is malformed or another NAT's.
func (n *Network) NAT(kind NATKind, external string) *NAT { return n.addNAT(kind, external, nil) }

// NAT adds a NAT behind this one: its external address is one of the inside.
func (b *NAT) NAT(kind NATKind, external string) *NAT { return b.net.addNAT(kind, external, b) }

func (n *Network) addNAT(kind NATKind, external string, behind *NAT) *NAT {
	addr := netip.MustParseAddr(external)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nats[addr] != nil {
		panic(fmt.Sprintf("netsim: there is a NAT %v", addr))
	}
	b := &NAT{net: n, t: newTranslator(kind, addr, DefaultNATTimeout), behind: behind}
	n.nats[addr] = b
	return b
}

// Host adds a host behind the NAT. No two hosts of a network have one address, although those behind different NATs could.
func (b *NAT) Host(addrs ...string) *Host {
	h := b.net.Host(addrs...)
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	h.nat = b
	return h
}

// SetTimeout sets how long a mapping is remembered that is not used from inside.
func (b *NAT) SetTimeout(d time.Duration) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.t.timeout = d
}

// Rebind makes the NAT forget all its mappings, as a restart does: who sends from inside gets other ports.
func (b *NAT) Rebind() {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.t.forget()
}

// leave returns the route that a datagram of a host behind a NAT takes on the network.
func (n *Network) leave(now time.Time, r route) route {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[r.from]
	if h == nil {
		return r
	}
	to := n.hosts[r.to]
	for nat := h.nat; nat != nil && (to == nil || to.nat != nat); nat = nat.behind {
		r.from = nat.t.outward(now, r.from, r.to)
	}
	return r
}

// enter returns the host that a route leads to and its address there, through the NATs that let it pass. Called with n.mu held.
func (n *Network) enter(now time.Time, r route) (*Host, netip.AddrPort) {
	for hops := 0; hops <= len(n.nats); hops++ {
		if h := n.hosts[r.to]; h != nil {
			from := n.hosts[r.from]
			if hops == 0 && h.nat != nil && (from == nil || from.nat != h.nat) {
				return nil, r.to // an address of the inside means nothing outside
			}
			return h, r.to
		}
		nat := n.nats[r.to.Addr()]
		if nat == nil || hops == 0 && nat.behind != nil {
			return nil, r.to
		}
		inside, ok := nat.t.inward(now, r.from, r.to.Port())
		if !ok {
			n.stats.Filtered++
			return nil, r.to
		}
		r.to = inside
	}
	return nil, r.to
}
