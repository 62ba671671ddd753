package main

import (
	"cmp"
	"context"
	"errors"

	"meshnet/meshd/api"
	"meshnet/meshd/reconcile"
	"meshnet/meshd/tap"
	"meshnet/meshd/token"
)

// Update implements api.Backend. The network stops for a moment, as in a restart of meshd.
func (d *daemon) Update(ctx context.Context, r api.UpdateRequest) (api.Network, error) {
	d.changes.Lock()
	defer d.changes.Unlock()
	if err := ctx.Err(); err != nil {
		return api.Network{}, err
	}
	nw, err := d.find(r.Network)
	if err != nil {
		return api.Network{}, err
	}
	have, _, _ := d.snapshot(nw)
	next, err := d.updated(have, r)
	if err != nil {
		return api.Network{}, err
	}
	if next.Bridge == have.Bridge && next.DHCP == have.DHCP && next.Egress == have.Egress {
		return d.describe(ctx, nw)
	}
	if d.declared[r.Network] {
		return api.Network{}, api.Errorf(api.Conflict, "network %s is in the configuration file, so bridge, dhcp and egress are said there: "+
			"bridge = %q, dhcp = %q, egress = %q; then restart meshd", r.Network, next.Bridge, dhcpOf(next), cmp.Or(next.Egress, token.EgressNone))
	}
	if err := d.rewire(nw, next); err != nil {
		return api.Network{}, err
	}
	if nw, err = d.find(r.Network); err != nil {
		return api.Network{}, err
	}
	return d.describe(ctx, nw)
}

// updated returns have with what r changes.
func (d *daemon) updated(have settings, r api.UpdateRequest) (settings, error) {
	next := have
	if r.DHCP != nil {
		next.DHCP = *r.DHCP
	}
	if r.Egress != nil {
		next.Egress = *r.Egress
	}
	if r.Bridge == nil || *r.Bridge == have.Bridge || *r.Bridge == "" && have.BridgeOwned {
		return next, checkEgress(next)
	}
	next.Bridge = *r.Bridge
	if next.Bridge == "" {
		next.Bridge = d.freeBridge()
	}
	for _, other := range d.sorted() {
		if s, _, _ := d.snapshot(other); s.Name != have.Name && s.Bridge == next.Bridge {
			return next, api.Errorf(api.Conflict, "bridge %s belongs to network %s; say another --bridge", s.Bridge, s.Name)
		}
	}
	exists, err := checkBridge(next)
	next.BridgeOwned = !exists
	return next, errors.Join(err, checkEgress(next))
}

// rewire starts a network with other settings. The containers that are in the bridge it had go along.
func (d *daemon) rewire(nw *network, next settings) error {
	have, n, _ := d.snapshot(nw)
	ours := make(map[string]bool)
	if n != nil {
		for _, l := range n.Leases() {
			ours[reconcile.HostEnd(l.Attachment)] = true
		}
	}
	if err := ensureBridge(next); err != nil {
		return err
	}
	d.stop(nw)
	err := d.state.Save(next)
	if err != nil {
		next = have
	} else if have.Bridge != next.Bridge {
		err = errors.Join(
			removeGateway(have),
			tap.MovePorts(have.Bridge, next.Bridge, func(name string) bool { return have.BridgeOwned || ours[name] }),
			removeBridge(have))
	}
	d.start(next)
	return err
}
