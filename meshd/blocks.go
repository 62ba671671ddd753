package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"

	"meshnet/ipam"
	"meshnet/ipam/etcdstore"
	"meshnet/ipam/raftstore"
	"meshnet/ipam/registry"
	"meshnet/meshd/api"
	"meshnet/meshd/node"
	"meshnet/meshd/token"
)

// blockStore returns what opens the registry of a network's IPv4 blocks, or nil if the network has no IPv4. A network that is
// kept does not fail with its registry: IPv6 needs none, and neither do leases from own blocks.
func (d *daemon) blockStore(s settings) func(*node.Streams) (ipam.BlockStore, error) {
	if len(s.Pools) == 0 {
		return nil
	}
	open := d.openBlocks(s)
	return func(streams *node.Streams) (ipam.BlockStore, error) {
		blocks, err := open(streams)
		if err != nil && !s.Pending {
			d.log.Error("the registry of IPv4 blocks cannot be opened; trying again", "network", s.Name, "every", retryInterval, "err", err)
			return openLater(s.IPAM.Engine(), err, retryInterval, func() (ipam.BlockStore, error) { return open(streams) }), nil
		}
		return blocks, err
	}
}

// openBlocks returns what opens the engine.
func (d *daemon) openBlocks(s settings) func(*node.Streams) (ipam.BlockStore, error) {
	self := registry.NodeID(s.Identity.Public)
	init := registry.Command{
		Op: registry.OpInit, Node: self, Pools: registryPools(s.Pools), Timing: registry.Timing{DeadAfter: time.Duration(s.DeadAfter)},
	}
	if s.IPAM.Engine() == token.Etcd {
		return func(*node.Streams) (ipam.BlockStore, error) { return d.openEtcd(s, self, init) }
	}
	return func(streams *node.Streams) (ipam.BlockStore, error) {
		return raftstore.Open(raftstore.Config{
			Dir:       filepath.Join(d.state.NetworkDir(s.Name), "raft"),
			Self:      self,
			Streams:   streams,
			Members:   func() []raftstore.Member { return raftMembers(streams.Members()) },
			Bootstrap: s.Created && !s.Founded,
			Init:      init,
			Log:       d.log.With("network", s.Name),
		})
	}
}

// noteFounded remembers that the registry has been made, so that this host, which created the network, does not make another
// one when it has lost its copy.
func (d *daemon) noteFounded(nw *network) {
	if !d.changes.TryLock() {
		return // later: the network may be about to go
	}
	defer d.changes.Unlock()
	s, n, _ := d.snapshot(nw)
	if n == nil || !s.Created || s.Founded || s.Pending {
		return
	}
	manager, _ := n.IPv4()
	if manager == nil || manager.Report().Registry == (registry.ID{}) {
		return
	}
	s.Founded = true
	if err := d.state.Save(s); err != nil {
		d.log.Warn("it is not remembered that the registry has been made", "network", s.Name, "err", err)
		return
	}
	d.change(nw, s)
}

// openEtcd opens the registry in an etcd cluster.
func (d *daemon) openEtcd(s settings, self registry.NodeID, init registry.Command) (ipam.BlockStore, error) {
	prefix := s.IPAM.Prefix
	if prefix == "" {
		prefix = "/meshnet/"
	}
	c := etcdstore.Config{
		Address: etcdstore.Address{
			Endpoints: s.IPAM.Endpoints,
			TLS:       s.IPAM.TLS,
			User:      s.IPAM.User,
			Password:  s.IPAM.Password,
			CA:        s.IPAM.CA,
			Cert:      s.IPAM.Cert,
			Key:       s.IPAM.Key,
			Prefix:    prefix[:len(prefix)-1],
		},
		NetworkID: s.NetworkID,
		Self:      self,
		Log:       d.log.With("network", s.Name),
	}
	if s.Created && !s.Founded {
		rand.Read(init.Registry[:])
		c.Init = &init
	}
	return etcdstore.Open(c)
}

func raftMembers(members []node.Member) []raftstore.Member {
	all := make([]raftstore.Member, len(members))
	for i, m := range members {
		all[i] = raftstore.Member{
			ID: m.ID, Name: m.Name, Instance: m.Instance, Alive: m.Alive, Left: m.Left, Since: m.Since,
		}
	}
	return all
}

func registryPools(pools []token.Pool) []registry.Pool {
	all := make([]registry.Pool, len(pools))
	for i, p := range pools {
		all[i] = registry.Pool{Prefix: p.Prefix, BlockBits: p.BlockBits, Gateway: p.Gateway, Exclude: p.Exclude}
	}
	return all
}

// checkRoutes refuses pools that this host already has addresses or routes in: containers there could not be told from
// what is on the other network. The default route is in no pool, and the network's own bridge does not count.
func checkRoutes(s settings) error {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("reading this host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP.To4())
		ones, _ := r.Dst.Mask.Size()
		dst := netip.PrefixFrom(addr, ones)
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if ones == 0 || err != nil || link.Attrs().Name == s.Bridge {
			continue
		}
		for _, p := range s.Pools {
			if p.Prefix.Overlaps(dst) {
				return api.Errorf(api.Conflict, "pool %v overlaps the route to %v by %s of this host; create the network with another --pool, or "+
					"--force if that route is not needed", p.Prefix, dst, link.Attrs().Name)
			}
		}
	}
	for _, p := range s.Pools {
		if _, err := (registry.Pool{Prefix: p.Prefix, BlockBits: p.BlockBits, Gateway: p.Gateway, Exclude: p.Exclude}).Normal(); err != nil {
			return api.Errorf(api.Invalid, "%w", err)
		}
	}
	return nil
}

// resignTimeout is how long the other hosts may take to do without this one's part in the registry. With all of them up it is a
// second or two.
const resignTimeout = 20 * time.Second

// handOver has the other hosts keep the registry without this one, or says why they could not.
func handOver(ctx context.Context, n *node.Node) error {
	_, blocks := n.IPv4()
	r, ok := blocks.(resigner)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resignTimeout)
	defer cancel()
	if err := r.Resign(ctx); err != nil {
		return spareVote(n, blocks.Status(), err)
	}
	return nil
}

// spareVote returns nil if the others have a majority of the registry's voters without this host, although its part could not be handed
// over, because of why. Of hosts that are all down it is supposed that they come back.
func spareVote(n *node.Node, status ipam.StoreStatus, why error) error {
	if status.Role != ipam.RoleVoter {
		return nil
	}
	up := make(map[string]bool)
	for _, p := range n.Peers() {
		if p.State == node.PeerUp {
			up[p.Name] = true
		}
	}
	left := 0
	for _, name := range status.Voters {
		if up[name] || len(up) == 0 && name != n.Name() {
			left++
		}
	}
	if left > len(status.Voters)/2 {
		return nil
	}
	return api.Errorf(api.Conflict, "the other hosts cannot take over the registry of IPv4 blocks: %w; with %d of its %d voters left they could "+
		"lease only from blocks that they own already; bring them up (meshctl ipam show), or leave with --force and run meshctl ipam "+
		"recover on a host that is a copy", why, left, len(status.Voters))
}
