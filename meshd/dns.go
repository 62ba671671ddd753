package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/api"
	"meshnet/meshd/gateway"
	"meshnet/meshd/nameserver"
	"meshnet/meshd/node"
	"meshnet/meshd/token"
	"meshnet/meshd/zone"
)

// resolvConf names the host's own resolvers.
const resolvConf = "/etc/resolv.conf"

// topDomain is what all networks' domains are in.
const topDomain = "mesh"

// domainOf returns the domain of a network, which its name is a label for (token.CheckName).
func domainOf(s settings) string { return s.Name + "." + topDomain }

// dnsServers returns the addresses that containers are told to ask: the gateway's, one of each family. Without a gateway there are none.
func dnsServers(s settings) []netip.Addr {
	if s.Egress != token.EgressNAT {
		return nil
	}
	servers := []netip.Addr{ipam.Gateway(s.IPv6)}
	if len(s.Pools) > 0 {
		servers = append(servers, answer.Gateway4(s.Pools[0].Prefix))
	}
	return servers
}

// names serves DNS on the gateway of a network. It is used by one goroutine.
type names struct {
	daemon *daemon
	nw     *network
	node   *node.Node // whose table the server answers from; nil: there is no server
	cancel context.CancelFunc
	done   chan struct{} // closed when the server has ended
}

// keep makes the server run, if it does not. Containers are told of it unless it cannot.
func (r *names) keep(ctx context.Context, s settings, n *node.Node) error {
	if r.node == n {
		select {
		case <-r.done: // it failed
		default:
			return nil
		}
	}
	r.stop()
	c := gatewayOf(s, nil)
	udp, tcp, err := gateway.ListenDNS(c.Addrs)
	n.OfferDNS(err == nil)
	if err != nil {
		r.daemon.noteDNS(r.nw, nil, err)
		return err
	}
	cache := zoneCache{make: func() *zone.Zone { return zoneOf(s, n) }}
	server := nameserver.New(nameserver.Config{
		Zone: func() *zone.Zone { return cache.get(time.Now()) },
		Client: func(a netip.Addr) bool { // of the network, or this host
			return a.IsLoopback() || slices.ContainsFunc(c.Links, func(p netip.Prefix) bool { return p.Contains(a) })
		},
		Own:       r.daemon.isGateway,
		Resolvers: resolvConf,
	})
	ctx, r.cancel = context.WithCancel(ctx)
	done := make(chan struct{})
	r.node, r.done = n, done
	r.daemon.noteDNS(r.nw, server, nil)
	go func() {
		defer close(done)
		if err := server.Serve(ctx, udp, tcp); err != nil {
			n.Warn("gateway", "DNS: "+err.Error())
		}
	}()
	return nil
}

// stop ends the server.
func (r *names) stop() {
	if r.node == nil {
		return
	}
	r.cancel()
	<-r.done
	r.node = nil
	r.daemon.noteDNS(r.nw, nil, nil)
}

// noteDNS records whether the names of a network are served.
func (d *daemon) noteDNS(nw *network, server *nameserver.Server, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	nw.names, nw.nameless = server, err
}

// isGateway reports whether addr is the gateway's of a network of this host: there we are to be asked ourselves.
func (d *daemon) isGateway(addr netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for nw := range maps.Values(d.networks) {
		if slices.Contains(gatewayOf(nw.settings, nil).Addrs, addr) {
			return true
		}
	}
	return false
}

// describeDNS says how names of a network are answered.
func (d *daemon) describeDNS(nw *network) api.DNS {
	d.mu.Lock()
	s, server, err := nw.settings, nw.names, nw.nameless
	d.mu.Unlock()
	described := api.DNS{Domain: domainOf(s)}
	switch {
	case server != nil:
		described.Servers, described.Resolvers = gatewayOf(s, nil).Addrs, server.Resolvers()
	case s.Egress != token.EgressNAT:
		described.Off = "this host is no gateway that containers could ask (--egress nat)"
	case err != nil:
		described.Off = err.Error()
	default:
		described.Off = "the gateway is not there yet"
	}
	return described
}

// withDNS adds the counters of a network's DNS server to others.
func (d *daemon) withDNS(all map[string]uint64, nw *network) map[string]uint64 {
	d.mu.Lock()
	server := nw.names
	d.mu.Unlock()
	if server != nil {
		for name, n := range server.Counters() {
			all["dns_"+name] = n
		}
	}
	return all
}

// DNS implements api.Backend.
func (d *daemon) DNS(_ context.Context, name string) ([]api.Zone, error) {
	var zones []api.Zone
	err := d.each(name, func(network string, n *node.Node) {
		nw, err := d.find(network)
		if err != nil {
			return // left meanwhile
		}
		s, _, _ := d.snapshot(nw)
		z := api.Zone{Network: network, DNS: d.describeDNS(nw)}
		for _, r := range zoneOf(s, n).Records() {
			z.Records = append(z.Records, api.Record{
				Name: r.Name, Address: r.Addr, Container: r.Container, Node: r.Host, Alias: r.Alias, Local: r.Local,
			})
		}
		zones = append(zones, z)
	})
	return zones, err
}

// zoneOf returns the names of a network as the neighbour table has them now, and this host's leases, which alone know aliases.
func zoneOf(s settings, n *node.Node) *zone.Zone {
	aliases := make(map[ipam.Attachment][]string)
	for _, l := range n.Leases() {
		if l.Holder.Aliases != "" {
			aliases[l.Attachment] = strings.Fields(l.Holder.Aliases)
		}
	}
	var entries []zone.Entry
	for _, nb := range n.Neighbours() {
		e := zone.Entry{Container: nb.Container, Host: nb.NodeName, Addrs: nb.Addrs, Local: nb.Node == n.ID(), Up: nb.State != node.PeerDown && nb.State != node.PeerLeft}
		if nb.IsHost() {
			e.Container = ""
		}
		if e.Local {
			e.Aliases = aliases[ipam.Attachment{Container: nb.Container, IfName: nb.IfName}]
		}
		entries = append(entries, e)
	}
	c := gatewayOf(s, nil)
	return zone.New(zone.Config{Domain: domainOf(s), Servers: c.Addrs, Prefixes: c.Links, Serial: uint32(time.Now().Unix())}, entries)
}

const (
	// zoneAge is how long a zone is answered from, much less than the second in which names are to change everywhere.
	zoneAge = 200 * time.Millisecond
	// zoneShare is what part of the time making zones may take, for networks with very many containers.
	zoneShare = 10
)

// zoneCache makes a zone when somebody asks and the last is too old.
type zoneCache struct {
	make func() *zone.Zone

	mu    sync.Mutex
	zone  *zone.Zone
	until time.Time
}

func (c *zoneCache) get(now time.Time) *zone.Zone {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.zone == nil || now.After(c.until) {
		c.zone = c.make()
		made := time.Now()
		c.until = made.Add(max(zoneAge, zoneShare*made.Sub(now)))
	}
	return c.zone
}
