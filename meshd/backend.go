package main

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"meshnet/meshd/api"
	"meshnet/meshd/node"
	"meshnet/meshd/tap"
	"meshnet/meshd/token"
)

// Status implements api.Backend.
func (d *daemon) Status(ctx context.Context) (api.Status, error) {
	networks, err := d.Networks(ctx)
	if err != nil {
		return api.Status{}, err
	}
	var warnings []string
	if d.unreadable != nil {
		warnings = strings.Split(d.unreadable.Error(), "\n") // errors.Join's
	}
	return api.Status{
		Warnings: warnings,
		Version:  d.version,
		Instance: uint64(d.started.UnixNano()),
		Started:  d.started,
		NodeName: d.nodeName,
		Listen:   d.hub.Addrs(),
		Offloads: d.offloads(),
		Networks: networks,
		Counters: d.counters(),
	}, nil
}

// counters are those of the hub, and of all its sockets together.
func (d *daemon) counters() map[string]uint64 {
	all := d.hub.Counters()
	for _, conn := range d.conns {
		for name, n := range conn.Counters().Snapshot() {
			all["udp_"+name] += n
		}
	}
	return all
}

// withTAP adds the counters of a network's TAP to those of its node.
func withTAP(all map[string]uint64, device *tap.Device) map[string]uint64 {
	if device != nil {
		for name, n := range device.Counters().Snapshot() {
			all["tap_"+name] = n
		}
	}
	return all
}

// Networks implements api.Backend.
func (d *daemon) Networks(ctx context.Context) ([]api.Network, error) {
	var networks []api.Network
	for _, nw := range d.sorted() {
		described, err := d.describe(ctx, nw)
		if err != nil {
			return nil, err
		}
		networks = append(networks, described)
	}
	return networks, nil
}

// Network implements api.Backend.
func (d *daemon) Network(ctx context.Context, name string) (api.Network, error) {
	nw, err := d.find(name)
	if err != nil {
		return api.Network{}, err
	}
	return d.describe(ctx, nw)
}

// describe says how a network is.
func (d *daemon) describe(ctx context.Context, nw *network) (api.Network, error) {
	s, n, failure := d.snapshot(nw)
	described := api.Network{
		Name:        s.Name,
		ID:          hexID(s.NetworkID),
		State:       api.NetworkUp,
		NodeID:      s.Identity.Public.String(),
		NodeName:    s.NodeName,
		Bridge:      s.Bridge,
		BridgeOwned: s.BridgeOwned,
		DHCP:        dhcpOf(s),
		Egress:      cmp.Or(s.Egress, token.EgressNone),
		DNS:         d.describeDNS(nw),
		TAP:         tapName(s),
		MTU:         s.MTU,
		IPv6:        s.IPv6,
		Created:     s.Created,
		Pools:       s.Pools,
	}
	if len(s.Pools) > 0 {
		described.IPAM = s.IPAM.Public().String()
	}
	if n == nil {
		described.State = api.NetworkStarting
		if failure != nil {
			described.State, described.Error = api.NetworkFailed, failure.Error()
		}
		return described, nil
	}
	device := d.deviceOf(nw)
	described.Offloads = tapOffloads(device)
	st, err := n.Status(ctx)
	if errors.Is(err, node.ErrEnded) {
		described.State = api.NetworkStarting // between two runs, or for the last time
		return described, nil
	}
	if err != nil {
		return api.Network{}, err
	}
	described.Endpoints = st.Endpoints
	described.Peers = api.PeerCount{Up: st.PeersUp, Total: st.PeersTotal}
	described.Attachments = st.Attachments
	described.Leases = st.Leases
	described.RXBytes, described.TXBytes = st.RXBytes, st.TXBytes
	described.Counters = d.withDNS(withTAP(st.Counters, device), nw)
	described.Warnings = st.Warnings
	return described, nil
}

// Ready implements api.Backend.
func (d *daemon) Ready(ctx context.Context, name string) (api.Readiness, error) {
	nw, err := d.find(name)
	if err != nil {
		return api.Readiness{}, err
	}
	described, err := d.describe(ctx, nw)
	if err != nil {
		return api.Readiness{}, err
	}
	r := api.Readiness{Network: described.Name, State: described.State, Error: described.Error, Peers: described.Peers}
	_, n, _ := d.snapshot(nw)
	if n == nil || r.State != api.NetworkUp {
		return r, nil
	}
	if manager, _ := n.IPv4(); manager != nil {
		if err := manager.Supply(ctx); err != nil {
			r.NoIPv4 = err.Error()
		}
	}
	return r, nil
}

// Peers implements api.Backend.
func (d *daemon) Peers(_ context.Context, name string) ([]api.Peer, error) {
	var peers []api.Peer
	err := d.each(name, func(network string, n *node.Node) {
		for _, p := range n.Peers() {
			peers = append(peers, peerOf(network, p))
		}
	})
	return peers, err
}

// peerOf translates a peer for the API.
func peerOf(network string, p node.Peer) api.Peer {
	return api.Peer{
		Network:      network,
		Name:         p.Name,
		ID:           p.ID.String(),
		State:        peerState(p.State),
		Since:        p.Since,
		Path:         peerPath(p),
		Endpoint:     p.Endpoint,
		Endpoints:    p.Endpoints,
		PathMTU:      p.PathMTU.Packet,
		PathCut:      p.PathMTU.Fragmented,
		Lanes:        p.Lanes,
		Established:  p.Established,
		LastReceived: p.LastReceived,
		Instance:     p.Instance,
		RXBytes:      p.RXBytes,
		TXBytes:      p.TXBytes,
		RXDatagrams:  p.RXDatagrams,
		TXDatagrams:  p.TXDatagrams,
		Attachments:  p.Attachments,
		Created:      p.Created,
		Warnings:     p.Warnings,
	}
}

// peerPath returns how a peer is reached, in words; "" without a session.
func peerPath(p node.Peer) string {
	switch {
	case p.Relay != "":
		return "via " + p.Relay
	case p.Endpoint.IsValid():
		return "direct"
	}
	return ""
}

func peerState(s node.PeerState) api.PeerState {
	switch s {
	case node.PeerUp:
		return api.PeerUp
	case node.PeerDown:
		return api.PeerDown
	case node.PeerLeft:
		return api.PeerLeft
	}
	return api.PeerConnecting
}

// Leases implements api.Backend.
func (d *daemon) Leases(_ context.Context, name string) ([]api.Lease, error) {
	var leases []api.Lease
	err := d.each(name, func(network string, n *node.Node) {
		for _, nb := range n.Neighbours() {
			leases = append(leases, api.Lease{
				Network:   network,
				Container: nb.Container,
				IfName:    nb.IfName,
				MAC:       nb.MAC,
				Addresses: nb.Addrs,
				Node:      nb.NodeName,
				NodeID:    nb.Node.String(),
				State:     peerState(nb.State),
				Local:     nb.Node == n.ID(),
			})
		}
	})
	return leases, err
}

// each calls visit with every running network, or with the one called name.
func (d *daemon) each(name string, visit func(network string, n *node.Node)) error {
	if name != "" {
		nw, err := d.find(name)
		if err != nil {
			return err
		}
		s, n, failure := d.snapshot(nw)
		if n == nil {
			return notRunning(s.Name, failure)
		}
		visit(s.Name, n)
		return nil
	}
	for _, nw := range d.sorted() {
		if s, n, _ := d.snapshot(nw); n != nil {
			visit(s.Name, n)
		}
	}
	return nil
}

// notRunning says why a network cannot be used.
func notRunning(name string, failure error) error {
	if failure != nil {
		return api.Errorf(api.Unavailable, "network %s does not run: %w", name, failure)
	}
	return api.Errorf(api.Unavailable, "network %s is starting", name)
}
