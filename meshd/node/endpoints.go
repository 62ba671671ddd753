package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/session"
)

// gatherInterval is how often names are resolved again and this host's own addresses are looked at.
const gatherInterval = 30 * time.Second

// gather keeps seeds and own endpoints up to date until ctx ends. It does what may wait (DNS), so it is not the loop.
func (n *Node) gather(ctx context.Context) {
	ticker := time.NewTicker(gatherInterval)
	defer ticker.Stop()
	for {
		seeds := n.usable(n.resolve(ctx, n.cfg.Seeds))
		advertise := n.resolve(ctx, n.cfg.Advertise)
		local := n.cfg.LocalEndpoints()
		err := n.do(ctx, func(now time.Time) {
			n.state.advertise, n.state.local = advertise, local
			n.callSeeds(now, seeds)
			n.control.SetEndpoints(n.ownEndpoints())
		})
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// callSeeds asks the machine for sessions with seeds, whoever they are. Our own endpoints are no seeds.
func (n *Node) callSeeds(now time.Time, seeds []netip.AddrPort) {
	own := n.ownEndpoints()
	for _, e := range seeds {
		if !slices.Contains(own, e) {
			n.machine.ConnectTo(now, e)
		}
	}
}

// resolve turns "host:port" into endpoints; what cannot be resolved is logged and left out until the next time.
func (n *Node) resolve(ctx context.Context, hostports []string) []netip.AddrPort {
	var endpoints []netip.AddrPort
	for _, hp := range hostports {
		found, err := n.cfg.Resolve(ctx, hp)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("endpoint cannot be resolved", "endpoint", hp, "err", err)
		}
		endpoints = append(endpoints, found...)
	}
	return endpoints
}

// observation is how a peer sees this host.
type observation struct {
	endpoint netip.AddrPort
	by       session.NodeID
}

// observe remembers how a peer sees this host, for the others to try. Behind a NAT that shows each peer another port, the first one stays:
// the others are of no more use, and telling all members of each would never end. If the port has changed for everyone, whoever saw the
// old one will say so.
func (n *Node) observe(e netip.AddrPort, by session.NodeID) {
	if !e.IsValid() {
		return
	}
	seen := observation{endpoint: e, by: by}
	i := slices.IndexFunc(n.state.observed, func(o observation) bool { return o.endpoint.Addr() == e.Addr() })
	switch {
	case i < 0:
		n.state.observed = append(n.state.observed, seen)
		if len(n.state.observed) > maxObserved {
			n.state.observed = slices.Delete(n.state.observed, 0, 1)
		}
	case n.state.observed[i].endpoint == e:
		return
	case n.state.observed[i].by != by && (*n.sessions.Load())[n.state.observed[i].by] != nil:
		return
	default:
		n.state.observed[i] = seen
	}
	n.control.SetEndpoints(n.ownEndpoints())
}

// ownEndpoints returns where others may reach this host: what the operator said, its own addresses, and how peers see it.
func (n *Node) ownEndpoints() []netip.AddrPort {
	var own []netip.AddrPort
	var observed []netip.AddrPort
	for _, o := range n.state.observed {
		observed = append(observed, o.endpoint)
	}
	for _, list := range [][]netip.AddrPort{n.state.advertise, n.state.local, observed} {
		for _, e := range n.usable(list) {
			if len(own) < maxEndpoints && !slices.Contains(own, e) {
				own = append(own, e)
			}
		}
	}
	return own
}

// TokenEndpoints returns where a newcomer should ask: at this host, and at the first endpoint of other members.
func (n *Node) TokenEndpoints(ctx context.Context) ([]string, error) {
	var endpoints []string
	err := n.do(ctx, func(time.Time) {
		for _, e := range n.ownEndpoints() {
			endpoints = append(endpoints, e.String())
		}
	})
	for _, p := range n.Peers() {
		if p.State == PeerUp && p.Endpoint.IsValid() {
			endpoints = append(endpoints, p.Endpoint.String())
		}
	}
	return endpoints, err
}
