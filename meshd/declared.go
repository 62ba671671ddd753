package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/tap"
	"meshnet/meshd/token"
)

// declare makes this host a member of the networks in the configuration file, with the settings that the file says.
// Networks that are not in it are left alone.
func (d *daemon) declare(networks []config.Network) error {
	d.changes.Lock()
	defer d.changes.Unlock()
	for _, want := range networks {
		d.declared[want.Name] = true
		if err := d.declareOne(want); err != nil {
			return fmt.Errorf("network %s of the configuration file: %w", want.Name, err)
		}
	}
	return nil
}

func (d *daemon) declareOne(want config.Network) error {
	nw, err := d.find(want.Name)
	if err != nil {
		return d.addDeclared(want)
	}
	have, _, _ := d.snapshot(nw)
	next, err := apply(have, want)
	if err != nil || next == nil {
		return err
	}
	d.stop(nw)
	if next.Bridge != have.Bridge {
		err = removeBridge(have)
	}
	if err := errors.Join(err, d.state.Save(*next)); err != nil {
		return err
	}
	d.start(*next)
	return nil
}

// addDeclared makes this host a member for the first time.
func (d *daemon) addDeclared(want config.Network) error {
	s, err := d.newSettings(want.Name, "", want.Bridge, want.DHCP, want.Egress, want.Advertise)
	if err != nil {
		return err
	}
	s.NetworkID, s.PSK, s.MTU, s.IPv6 = want.NetworkID, want.PSK, want.MTU, want.IPv6
	s.Seeds, s.Created, s.Pools, s.IPAM = want.Seeds, want.Create, want.Pools, want.IPAM
	if len(s.Pools) == 0 && !want.IPv4None {
		s.Pools = []token.Pool{{Prefix: token.DefaultPool()}}
	}
	s.DeadAfter = want.DeadAfter
	if err := d.checkPools(s, want.Force); err != nil {
		return fmt.Errorf("%w (force = true in the file)", err)
	}
	_, err = d.add(s, func(*network) error { return nil }) // members are called until one answers
	return err
}

// apply returns have changed to what the file wants, or nil if they say the same.
func apply(have settings, want config.Network) (*settings, error) {
	if have.NetworkID != want.NetworkID || have.PSK != want.PSK {
		return nil, api.Errorf(api.Conflict, "this host is in another network of that name; leave it first "+
			"(meshctl network leave %s)", want.Name)
	}
	if want.IPv6.IsValid() && want.IPv6 != have.IPv6 || want.MTU != 0 && want.MTU != have.MTU {
		return nil, api.Errorf(api.Conflict, "prefix and MTU of a network cannot be changed: they are %v and %d", have.IPv6, have.MTU)
	}
	if len(want.Pools) > 0 && !slices.EqualFunc(want.Pools, have.Pools, func(a, b token.Pool) bool { return a.Prefix == b.Prefix }) ||
		want.IPv4None != (len(have.Pools) == 0) || want.IPAM.Public().String() != have.IPAM.Public().String() {
		return nil, api.Errorf(api.Conflict, "pools and ipam of a network cannot be changed: they are %s and %v", poolNames(have.Pools), have.IPAM.Public())
	}
	next := have
	next.IPAM = want.IPAM // with what lets this host in
	if want.Bridge != "" && want.Bridge != have.Bridge {
		next.Bridge, next.BridgeOwned = want.Bridge, !tap.BridgeExists(want.Bridge)
	}
	next.Advertise, next.Seeds, next.DHCP, next.Egress = want.Advertise, want.Seeds, want.DHCP, want.Egress
	if err := checkEgress(next); err != nil {
		return nil, err
	}
	if next.Bridge == have.Bridge && next.DHCP == have.DHCP && next.Egress == have.Egress && next.IPAM.URL() == have.IPAM.URL() && slices.Equal(next.Advertise, have.Advertise) && slices.Equal(next.Seeds, have.Seeds) {
		return nil, nil
	}
	return &next, nil
}

// poolNames returns the prefixes of pools, or "none".
func poolNames(pools []token.Pool) string {
	if len(pools) == 0 {
		return "none"
	}
	var prefixes []string
	for _, p := range pools {
		prefixes = append(prefixes, p.Prefix.String())
	}
	return strings.Join(prefixes, ", ")
}
