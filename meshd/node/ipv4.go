package node

import (
	"bytes"
	"context"
	"net"
	"slices"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
	"meshnet/meshd/control"
)

// Streams is what a block store needs of the network: streams between members, and who they are.
type Streams struct{ control *control.Control }

// Dial opens a stream to proto at the node id.
func (s *Streams) Dial(ctx context.Context, id [32]byte, proto string) (net.Conn, error) {
	return s.control.Dial(ctx, id, proto)
}

// Listen accepts the streams that other nodes open to proto. The RemoteAddr of a stream is the peer's ID.
func (s *Streams) Listen(proto string) net.Listener { return s.control.Listen(proto) }

// Members returns all members, this node included. It does not block.
func (s *Streams) Members() []Member {
	var members []Member
	for _, m := range s.control.Members() {
		members = append(members, Member{
			ID: m.ID, Name: m.Name, Instance: m.Instance, Since: m.Since,
			Alive: m.Alive(), Left: m.State == control.StateLeft,
		})
	}
	return members
}

// Member is a node of the network as membership knows it.
type Member struct {
	ID       [32]byte
	Name     string
	Instance uint64
	Alive    bool
	Left     bool
	Since    time.Time // when it became alive, or vanished, or left
}

// openIPv4 opens the block store and what keeps this node's blocks, if the network has IPv4.
func (n *Node) openIPv4() error {
	if n.cfg.Blocks == nil {
		return nil
	}
	var err error
	if n.blocks, err = n.cfg.Blocks(&Streams{n.control}); err != nil {
		return err
	}
	n.manager = ipam.NewManager(ipam.ManagerConfig{
		Store:    n.cfg.Leases,
		Blocks:   n.blocks,
		Node:     registry.NodeID(n.ID()),
		Name:     n.cfg.NodeName,
		Instance: n.cfg.Instance,
		Carve:    n.carve,
		Lost:     n.lostIPv4,
		Log:      n.log,
	})
	return nil
}

// IPv4 returns what keeps this node's blocks, and the block store; nil if the network has no IPv4.
func (n *Node) IPv4() (*ipam.Manager, ipam.BlockStore) { return n.manager, n.blocks }

// lease leases from what this node owns, and asks for more if it has to.
func (n *Node) lease(ctx context.Context, r ipam.Request) (ipam.Lease, error) {
	if n.manager != nil {
		return n.manager.Lease(ctx, r, n.taken)
	}
	if r.IPv4.Addr.IsValid() {
		return ipam.Lease{}, ErrNoIPv4
	}
	r.IPv4.None = true
	return n.cfg.Leases.Lease(time.Now(), r, n.taken)
}

// lostIPv4 notes that addresses are not this node's any more. It is called by the manager, whom a pending Attach may wait for,
// so it leaves the work, which waits for that Attach, to another goroutine.
func (n *Node) lostIPv4([]ipam.Lease) { offer(n.lostAddrs, struct{}{}) }

// withdrawLost takes lost addresses back from the members, until ctx ends.
func (n *Node) withdrawLost(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.lostAddrs:
		}
		for _, l := range n.cfg.Leases.Leases() {
			if l.Lost {
				n.withdrawIPv4(l)
				n.Warn("lost "+l.IPv4.String(), "container "+l.Attachment.String()+" has the address "+l.IPv4.String()+", which is not this "+
					"host's any more and may be given to another container: detach and attach it again, or restart it")
			}
		}
	}
}

// withdrawIPv4 tells the members of a lease without its lost address, unless it has changed meanwhile.
func (n *Node) withdrawIPv4(l ipam.Lease) {
	defer n.attaching.lock(l.Attachment)()
	if !slices.Contains(n.cfg.Leases.Leases(), l) {
		return
	}
	if err := n.control.Upsert(n.neighbour(l)); err != nil {
		n.log.Error("a lost address is not withdrawn", "container", l.Container, "addr", l.IPv4, "err", err)
	}
}

// expireInterval is how often somebody has a registry in etcd look for nodes that have been silent for too long. The registry
// counts no longer step of time than registry.MaxStep.
const expireInterval = registry.MaxStep / 2

// expire does so while this node is the alive member of the lowest ID. In a registry of our own the leader does it.
func (n *Node) expire(ctx context.Context) {
	ticker := time.NewTicker(expireInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if n.blocks.Status().Engine != "etcd" || !n.lowest() {
			continue
		}
		if _, err := n.blocks.Do(ctx, registry.Command{Op: registry.OpExpireNodes}); err != nil && ctx.Err() == nil {
			n.log.Warn("looking for nodes that are gone failed", "err", err)
		}
	}
}

// lowest reports whether no alive member has a lower ID.
func (n *Node) lowest() bool {
	self := n.ID()
	for _, m := range n.control.Members() {
		if m.Alive() && bytes.Compare(m.ID[:], self[:]) < 0 {
			return false
		}
	}
	return true
}

// CheckLeases proves the invariants of this node's leases and returns one sentence for each violation.
func (n *Node) CheckLeases() []string { return n.cfg.Leases.CheckLocal() }
