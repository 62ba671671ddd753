package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/api"
	"meshnet/meshd/node"
	"meshnet/meshd/tap"
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
	described.Counters = withTAP(st.Counters, device)
	described.Warnings = st.Warnings
	return described, nil
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

// Attachments implements api.Backend.
func (d *daemon) Attachments(_ context.Context, name string) ([]api.Attachment, error) {
	var attachments []api.Attachment
	for _, nw := range d.sorted() {
		s, n, _ := d.snapshot(nw)
		if n == nil || name != "" && s.Name != name {
			continue
		}
		for _, l := range n.Leases() {
			attachments = append(attachments, attachment(s, l))
		}
	}
	if name != "" {
		if _, err := d.find(name); err != nil {
			return nil, err
		}
	}
	return attachments, nil
}

// Attach implements api.Backend.
func (d *daemon) Attach(ctx context.Context, r api.AttachRequest) (api.Attachment, error) {
	nw, err := d.find(r.Network)
	if err != nil {
		return api.Attachment{}, err
	}
	s, n, failure := d.snapshot(nw)
	if n == nil {
		return api.Attachment{}, notRunning(s.Name, failure)
	}
	if r.MTU > s.MTU {
		return api.Attachment{}, api.Errorf(api.Invalid, "MTU %d is more than the network's %d", r.MTU, s.MTU)
	}
	a := ipam.Attachment{Container: r.Container, IfName: r.IfName}
	if vanished := d.vanished(nw); vanished != nil {
		vanished.Attached(a)
	}
	none, want := r.V4()
	request := ipam.Request{
		Attachment: a,
		Holder:     ipam.Holder{Source: string(r.Source), NetNS: r.NetNS},
		IPv4:       ipam.V4Request{None: none, Addr: want},
		IPv6:       r.IPv6,
		MAC:        ipam.MAC(r.MAC),
	}
	if r.Former != nil {
		request.Former = ipam.Attachment{Container: r.Former.Container, IfName: r.Former.IfName}
	}
	lease, err := n.Attach(ctx, request)
	if err != nil {
		return api.Attachment{}, ipv4Error(err)
	}
	attached := attachment(s, lease)
	if r.MTU != 0 {
		attached.MTU = r.MTU
	}
	return attached, nil
}

// Detach implements api.Backend.
func (d *daemon) Detach(_ context.Context, r api.DetachRequest) (bool, error) {
	nw, err := d.find(r.Network)
	if err != nil {
		return false, err
	}
	s, n, failure := d.snapshot(nw)
	if n == nil {
		return false, notRunning(s.Name, failure)
	}
	return n.Detach(ipam.Attachment{Container: r.Container, IfName: r.IfName})
}

// attachment tells a plugin all it needs to set up a container's interface.
func attachment(s settings, l ipam.Lease) api.Attachment {
	addresses := []netip.Prefix{netip.PrefixFrom(l.IPv6, ipam.Subnet(s.IPv6).Bits())}
	if p := l.IPv4Prefix(); p.IsValid() && !l.Lost {
		addresses = append(addresses, p)
	}
	var lost netip.Addr
	if l.Lost {
		lost = l.IPv4
	}
	return api.Attachment{
		Lost:      lost,
		Network:   s.Name,
		Container: l.Container,
		IfName:    l.IfName,
		Bridge:    s.Bridge,
		MTU:       s.MTU,
		MAC:       api.MAC(l.MAC),
		Addresses: addresses,
		Source:    api.Source(l.Holder.Source),
		NetNS:     l.Holder.NetNS,
		Created:   l.Created.Truncate(time.Millisecond),
	}
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
