package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
	"meshnet/meshd/api"
	"meshnet/meshd/node"
	"meshnet/meshd/session"
)

// recoverer, joiner and resigner are what the engines can do beside deciding.
type (
	recoverer interface{ Recover(context.Context) error }
	joiner    interface{ Join(context.Context) error }
	resigner  interface{ Resign(context.Context) error }
)

// ipv4 returns the parts of a network that hand out IPv4 addresses.
func (d *daemon) ipv4(name string) (settings, *node.Node, *ipam.Manager, ipam.BlockStore, error) {
	nw, err := d.find(name)
	if err != nil {
		return settings{}, nil, nil, nil, err
	}
	s, n, failure := d.snapshot(nw)
	if n == nil {
		return s, nil, nil, nil, notRunning(s.Name, failure)
	}
	manager, blocks := n.IPv4()
	if manager == nil {
		return s, n, nil, nil, api.Errorf(api.Invalid, "network %s has no IPv4", s.Name)
	}
	if later, ok := blocks.(*laterStore); ok {
		if opened, err := later.opened(); err == nil {
			blocks = opened
		}
	}
	return s, n, manager, blocks, nil
}

// IPAM implements api.Backend.
func (d *daemon) IPAM(ctx context.Context, name string) ([]api.IPAM, error) {
	var all []api.IPAM
	err := d.each(name, func(network string, n *node.Node) {
		all = append(all, describeIPAM(ctx, network, n))
	})
	return all, err
}

// describeIPAM says how a network's IPv4 addresses are used.
func describeIPAM(ctx context.Context, network string, n *node.Node) api.IPAM {
	manager, blocks := n.IPv4()
	if manager == nil {
		return api.IPAM{Network: network, Engine: "none", Role: api.IPAMNone}
	}
	status, report := blocks.Status(), manager.Report()
	described := api.IPAM{
		Network:     network,
		Engine:      status.Engine,
		Role:        api.IPAMRole(status.Role),
		Leader:      status.Leader,
		Voters:      status.Voters,
		Copies:      status.Copies,
		LastContact: status.LastContact,
		Generation:  report.Generation,
		Refusal:     report.Refusal,
	}
	if report.Registry != (registry.ID{}) {
		described.Registry = report.Registry.String()
	}
	if status.Err != nil {
		described.Error = status.Err.Error()
	}
	described.Lost = lostLeases(network, n, report)
	state, err := blocks.View(ctx)
	if err != nil {
		described.Error = cmp.Or(described.Error, err.Error())
		return described
	}
	defer countLeases(&described, n)
	translate(&described, state, registry.NodeID(n.ID()), peerStates(n))
	return described
}

// lostLeases returns the containers of this host whose IPv4 address is not theirs any more.
func lostLeases(network string, n *node.Node, r ipam.Report) []api.Lease {
	var lost []api.Lease
	for _, l := range r.Lost {
		lost = append(lost, api.Lease{
			Network: network, Container: l.Container, IfName: l.IfName, MAC: api.MAC(l.MAC), Addresses: []netip.Addr{l.IPv4},
			Node: n.Name(), NodeID: n.ID().String(), State: api.PeerUp, Local: true,
		})
	}
	return lost
}

// countLeases replaces what the owners told the registry some minutes ago by what the neighbour table has now.
func countLeases(d *api.IPAM, n *node.Node) {
	leased := make(map[netip.Addr]string)
	for _, nb := range n.Neighbours() {
		for _, a := range nb.Addrs {
			leased[a] = nb.Node.String()
		}
	}
	for i := range d.Pools {
		d.Pools[i].Leased = 0
	}
	for i := range d.Blocks {
		d.Blocks[i].Leased = 0
	}
	nodes := make(map[string]int)
	for a, holder := range leased {
		for i := range d.Pools {
			if d.Pools[i].Prefix.Contains(a) {
				d.Pools[i].Leased++
				nodes[holder]++
			}
		}
		for i := range d.Blocks {
			if d.Blocks[i].Prefix.Contains(a) && d.Blocks[i].NodeID == holder {
				d.Blocks[i].Leased++
			}
		}
	}
	for i := range d.Nodes {
		d.Nodes[i].Leased = nodes[d.Nodes[i].ID]
	}
}

// peerStates returns how the other members are.
func peerStates(n *node.Node) map[registry.NodeID]api.PeerState {
	states := map[registry.NodeID]api.PeerState{registry.NodeID(n.ID()): api.PeerUp}
	for _, p := range n.Peers() {
		states[registry.NodeID(p.ID)] = peerState(p.State)
	}
	return states
}

// translate puts the registry's state into the API's words.
func translate(d *api.IPAM, s registry.State, self registry.NodeID, states map[registry.NodeID]api.PeerState) {
	d.Registry, d.Created, d.Creator, d.Generation = s.ID.String(), s.CreatedAt, nodeName(s, s.Creator), s.Generation
	d.DeadAfter = api.Duration(s.Timing.DeadAfter)
	uses := make(map[registry.NodeID]*api.NodeUse)
	for id, n := range s.Nodes {
		uses[id] = &api.NodeUse{
			Name: n.Name, ID: id.String(), State: cmp.Or(states[id], api.PeerLeft), Epoch: n.Epoch, Refreshed: n.Refreshed, Removed: n.Removed,
			Local: id == self,
		}
	}
	for _, p := range registry.Use(s) {
		d.Pools = append(d.Pools, api.PoolUse{
			Pool:      api.Pool{Prefix: p.Pool.Prefix, BlockBits: p.Pool.BlockBits, Gateway: p.Pool.Gateway, Exclude: p.Pool.Exclude},
			Addresses: p.Addresses, Owned: p.InBlocks + p.Claimed, Leased: p.Leased + p.Claimed, Reserved: p.Reserved,
			Blocks: p.Blocks, OwnedBlocks: p.Owned, CoolingBlocks: p.Cooling, FreeBlocks: p.Free,
		})
		for _, u := range p.Nodes {
			if n := uses[u.Node]; n != nil {
				n.Blocks += u.Blocks
				n.Leased += u.Leased
			}
		}
	}
	for prefix, b := range s.Blocks {
		block := blockUse(s, prefix, b)
		if n := uses[b.Owner]; n != nil && block.State == api.BlockOwned {
			n.Addresses += block.Addresses
		}
		d.Blocks = append(d.Blocks, block)
	}
	for addr, c := range s.Claims {
		d.Claims = append(d.Claims, api.AddressClaim{
			Address: addr, Node: nodeName(s, c.Owner), NodeID: c.Owner.String(), Attachment: c.Attachment, Until: c.Until,
		})
	}
	for _, r := range s.Reserved {
		d.Reservations = append(d.Reservations, api.Reservation{Addresses: api.Range{First: r.First, Last: r.Last}, Comment: r.Comment})
	}
	for _, id := range slices.Collect(maps.Keys(uses)) {
		d.Nodes = append(d.Nodes, *uses[id])
	}
	slices.SortFunc(d.Nodes, func(a, b api.NodeUse) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(d.Blocks, func(a, b api.BlockUse) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	slices.SortFunc(d.Reservations, func(a, b api.Reservation) int { return a.Addresses.First.Compare(b.Addresses.First) })
	slices.SortFunc(d.Claims, func(a, b api.AddressClaim) int { return a.Address.Compare(b.Address) })
}

// blockUse describes a block that is not free.
func blockUse(s registry.State, prefix netip.Prefix, b registry.Block) api.BlockUse {
	owner, state := b.Owner, api.BlockOwned
	if owner == (registry.NodeID{}) {
		owner, state = b.Former, api.BlockCooling
	}
	use := api.BlockUse{
		Prefix: prefix, State: state, Node: nodeName(s, owner), NodeID: owner.String(), Epoch: b.Epoch, Since: b.Since, Until: b.Until,
		Leased: b.Leased,
	}
	if p, ok := registry.PoolOf(s.Pools, prefix.Addr()); ok {
		use.Pool = p.Prefix
		for a := range registry.Addrs(prefix) {
			if p.Why(a) == registry.OK {
				use.Addresses++
			}
		}
	}
	return use
}

// nodeName returns the name of a node, or what its identity begins with.
func nodeName(s registry.State, id registry.NodeID) string {
	if n, ok := s.Nodes[id]; ok && n.Name != "" {
		return n.Name
	}
	return session.NodeID(id).Short()
}

// IPAMCheck implements api.Backend.
func (d *daemon) IPAMCheck(ctx context.Context, name string) (api.IPAMCheck, error) {
	s, n, _, blocks, err := d.ipv4(name)
	if n != nil && err != nil {
		return api.IPAMCheck{Network: s.Name}, nil // without IPv4 there is nothing to be held twice
	}
	if err != nil {
		return api.IPAMCheck{}, err
	}
	check := api.IPAMCheck{Network: s.Name, Pools: len(s.Pools)}
	for _, text := range n.CheckLeases() {
		check.Violations = append(check.Violations, api.Violation{Rule: "local", Text: text})
	}
	holders := make(map[netip.Addr]node.Neighbour)
	for _, nb := range n.Neighbours() {
		check.Leases++
		for _, a := range nb.Addrs {
			if other, ok := holders[a]; ok {
				check.Violations = append(check.Violations, api.Violation{Rule: "duplicate", Text: a.String() + " is held by " + other.Container + " on " +
					other.NodeName + " and by " + nb.Container + " on " + nb.NodeName})
			}
			holders[a] = nb
		}
	}
	state, err := blocks.View(ctx)
	if err != nil {
		check.Skipped = append(check.Skipped, "the block registry: "+err.Error())
		return check, nil
	}
	check.Nodes, check.Blocks = len(state.Nodes), len(state.Blocks)
	for _, v := range registry.Check(state) {
		check.Violations = append(check.Violations, api.Violation{Rule: v.Rule, Text: v.Text})
	}
	check.Violations = append(check.Violations, checkOwners(state, holders)...)
	return check, nil
}

// checkOwners compares the neighbour table with the registry: who holds an address owns its block, or the address.
func checkOwners(s registry.State, holders map[netip.Addr]node.Neighbour) []api.Violation {
	var violations []api.Violation
	for addr, nb := range holders {
		pool, ok := registry.PoolOf(s.Pools, addr)
		if !ok {
			continue
		}
		holder, block := registry.NodeID(nb.Node), s.Blocks[pool.BlockOf(addr)]
		if s.Claims[addr].Owner == holder || block.Owner == holder || block.Former == holder || nb.State != node.PeerUp {
			continue // nobody else may lease it while the block cools; and who is down has no say
		}
		violations = append(violations, api.Violation{Rule: "owner", Text: addr.String() + " is held by " + nb.Container + " on " +
			nb.NodeName + ", which owns neither its block " + pool.BlockOf(addr).String() + " nor the address"})
	}
	slices.SortFunc(violations, func(a, b api.Violation) int { return strings.Compare(a.Text, b.Text) })
	return violations
}

// do has the registry decide a command of the administrator.
func (d *daemon) do(ctx context.Context, network string, c registry.Command) (registry.Result, error) {
	_, _, _, blocks, err := d.ipv4(network)
	if err != nil {
		return registry.Result{}, err
	}
	r, err := blocks.Do(ctx, c)
	if err != nil {
		return r, api.Errorf(api.Unavailable, "%w", err)
	}
	return r, ipv4Error(r.Err())
}

// Reserve implements api.Backend.
func (d *daemon) Reserve(ctx context.Context, r api.ReserveRequest) (api.Reservation, error) {
	_, err := d.do(ctx, r.Network, registry.Command{
		Op:    registry.OpReserve,
		Range: registry.Reservation{First: r.Addresses.First, Last: r.Addresses.Last, Comment: r.Comment},
	})
	if err == nil {
		err = d.refresh(ctx, r.Network)
	}
	return api.Reservation{Addresses: r.Addresses, Comment: r.Comment}, err
}

// Release implements api.Backend.
func (d *daemon) Release(ctx context.Context, r api.ReleaseRequest) (bool, error) {
	_, err := d.do(ctx, r.Network, registry.Command{
		Op:    registry.OpUnreserve,
		Range: registry.Reservation{First: r.Addresses.First, Last: r.Addresses.Last},
	})
	if errors.Is(err, registry.ErrNotReserved) {
		return false, nil
	}
	if err == nil {
		err = d.refresh(ctx, r.Network)
	}
	return err == nil, err
}

// refresh has this host keep to changed reservations at once; the owners of other blocks hear of them with their next Refresh.
func (d *daemon) refresh(ctx context.Context, network string) error {
	_, _, manager, _, err := d.ipv4(network)
	if err != nil {
		return err
	}
	return manager.Refresh(ctx)
}

// Recover implements api.Backend.
func (d *daemon) Recover(ctx context.Context, name string) (api.Recovered, error) {
	s, n, manager, blocks, err := d.ipv4(name)
	if err != nil {
		return api.Recovered{}, err
	}
	up := peerStates(n)
	voters := blocks.Status().Voters
	if r, ok := blocks.(recoverer); !ok {
		err = d.recoverRestored(ctx, s.Name, blocks)
	} else if err = r.Recover(ctx); err != nil {
		err = api.Errorf(api.Conflict, "%w", err)
	}
	if err != nil {
		return api.Recovered{}, err
	}
	recovered := api.Recovered{}
	for _, p := range n.Peers() {
		if slices.Contains(voters, p.Name) && up[registry.NodeID(p.ID)] != api.PeerUp {
			recovered.Lost = append(recovered.Lost, p.Name)
		}
	}
	err = manager.Refresh(ctx)
	recovered.Generation = manager.Report().Generation
	if state, verr := blocks.View(ctx); verr == nil {
		recovered.Until, recovered.Waiting = state.SettledAt, waitedFor(state)
	}
	return recovered, err
}

// waitedFor returns the names of the hosts that a registry which was recovered has not heard.
func waitedFor(s registry.State) []string {
	var names []string
	for id, n := range s.Nodes {
		if s.Recovering && !n.Removed && n.Generation < s.Generation {
			names = append(names, nodeName(s, id))
		}
	}
	slices.Sort(names)
	return names
}

// recoverRestored begins a new generation of a registry in etcd, which was put back to a backup: before anything new is given
// out, all hosts have to say what they own.
func (d *daemon) recoverRestored(ctx context.Context, network string, blocks ipam.BlockStore) error {
	state, err := blocks.View(ctx)
	if err != nil {
		return api.Errorf(api.Unavailable, "%w", err)
	}
	_, err = d.do(ctx, network, registry.Command{Op: registry.OpRecover, Generation: state.Generation + 1})
	return err
}

// Adopt implements api.Backend.
func (d *daemon) Adopt(ctx context.Context, name string) (api.Adopted, error) {
	s, n, manager, blocks, err := d.ipv4(name)
	if err != nil {
		return api.Adopted{}, err
	}
	j, ok := blocks.(joiner)
	if !ok {
		return api.Adopted{}, api.Errorf(api.Invalid, "network %s has one registry only, in etcd", s.Name)
	}
	before := manager.Report().Registry
	if err := j.Join(ctx); err != nil {
		// The leases may still be of a registry that is gone for good, while the block store follows the one that is left.
		state, verr := blocks.View(ctx)
		switch {
		case verr != nil:
			return api.Adopted{}, api.Errorf(api.Conflict, "%w", err)
		case state.ID == before: // there is nothing to adopt
			return api.Adopted{Registry: before.String(), Creator: nodeName(state, state.Creator)}, nil
		}
	}
	if err := manager.Rejoin(ctx); err != nil {
		return api.Adopted{}, api.Errorf(api.Unavailable, "%w", err)
	}
	report := manager.Report()
	adopted := api.Adopted{Adopted: report.Registry != before, Registry: report.Registry.String()}
	if state, err := blocks.View(ctx); err == nil {
		adopted.Creator = nodeName(state, state.Creator)
	}
	adopted.Lost = lostLeases(s.Name, n, report)
	return adopted, nil
}

// RemoveNode implements api.Backend.
func (d *daemon) RemoveNode(ctx context.Context, r api.RemoveNodeRequest) (api.Removed, error) {
	_, n, _, blocks, err := d.ipv4(r.Network)
	if err != nil {
		return api.Removed{}, err
	}
	state, err := blocks.View(ctx)
	if err != nil {
		return api.Removed{}, api.Errorf(api.Unavailable, "%w", err)
	}
	id, err := findNode(state, r.Node)
	if err != nil {
		return api.Removed{}, err
	}
	name := nodeName(state, id)
	if peerStates(n)[id] == api.PeerUp && !r.Force {
		return api.Removed{}, api.Errorf(api.Conflict, "host %s is up: its containers would lose their IPv4 addresses; have it leave, or "+
			"--force", name)
	}
	result, err := d.do(ctx, r.Network, registry.Command{Op: registry.OpRemoveNode, To: id, Comment: "removed by an administrator"})
	if err != nil {
		return api.Removed{}, err
	}
	removed := api.Removed{Name: name, ID: id.String()}
	for _, b := range state.Blocks {
		if b.Owner == id {
			removed.Blocks++
		}
	}
	if removed.Blocks > 0 {
		removed.Until = cmp.Or(result.Until, time.Now().Add(state.Timing.Grace))
	}
	return removed, nil
}

// minPrefix is how much of an identity names a host: what tables show.
const minPrefix = 10

// findNode returns the node that has a name, or an identity of which at least the beginning is given. A node that has been removed is
// found by its identity only.
func findNode(s registry.State, which string) (registry.NodeID, error) {
	var found []registry.NodeID
	for id, n := range s.Nodes {
		if n.Name == which && !n.Removed || len(which) >= minPrefix && strings.HasPrefix(id.String(), which) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return registry.NodeID{}, api.Errorf(api.NotFound, "the registry knows no host %q that is not removed", which)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, id := range found {
		ids = append(ids, id.String()[:minPrefix])
	}
	slices.Sort(ids)
	return registry.NodeID{}, api.Errorf(api.Conflict, "%d hosts are called %q; say which by its ID: %s", len(found), which, strings.Join(ids, ", "))
}

// ipv4Error gives what the registry and the leases refuse the code of the API.
func ipv4Error(err error) error {
	codes := []struct {
		is   error
		code api.Code
	}{
		{registry.ErrTaken, api.Conflict}, {ipam.ErrMACTaken, api.Conflict}, {registry.ErrReserved, api.Conflict}, {registry.ErrOutside, api.Invalid},
		{registry.ErrUnusable, api.Invalid}, {ipam.ErrOutsidePrefix, api.Invalid}, {registry.ErrInvalid, api.Invalid}, {registry.ErrUnknownNode, api.NotFound},
		{node.ErrNoIPv4, api.Invalid}, {ipam.ErrNoAddress, api.Unavailable}, {ipam.ErrNoStore, api.Unavailable},
	}
	for _, c := range codes {
		if errors.Is(err, c.is) {
			return api.Errorf(c.code, "%w", err)
		}
	}
	return err
}
