package main

import (
	"context"
	"fmt"
	"strings"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
)

// remove undoes setup: it deletes LXD's network, unless something uses it, has meshd make a bridge of its own again, and releases what
// instances had. What is undone already is not an error.
func (s *settler) remove(ctx context.Context, network string) error {
	mesh, err := s.meshd.Network(ctx, network)
	left := api.CodeOf(err) == api.NotFound // the host has left the network, and LXD's is still there
	if err != nil && !left {
		return err
	}
	known, knownErr := s.lxd.GetNetworks()
	if knownErr != nil {
		return fmt.Errorf("asking LXD for its networks: %w", knownErr)
	}
	name := ""
	for _, n := range known {
		if n.Config[keyNetwork] == network {
			if err := s.delete(n); err != nil {
				return err
			}
			name = n.Name
		}
	}
	switch {
	case left && name == "":
		return err
	case left:
		return nil
	case name == "":
		s.say("LXD has no network of meshnet network %s", network)
	}
	if name == mesh.Bridge || name == "" && lost(mesh, known) {
		return s.leaveBridge(ctx, mesh)
	}
	s.say("meshd: network %s uses the bridge %s, which is not LXD's", mesh.Name, mesh.Bridge)
	return nil
}

// delete deletes LXD's network.
func (s *settler) delete(n lxdapi.Network) error {
	if len(n.UsedBy) > 0 {
		var users []string
		for _, path := range n.UsedBy {
			users = append(users, strings.TrimPrefix(path, "/1.0/"))
		}
		return fmt.Errorf("LXD's network %s is used by %s: lxc network detach %s INSTANCE, or lxc network detach-profile %s PROFILE, first", n.Name,
			strings.Join(users, ", "), n.Name, n.Name)
	}
	if err := s.lxd.DeleteNetwork(n.Name); err != nil {
		return fmt.Errorf("deleting LXD's network %s: %w", n.Name, err)
	}
	s.say("LXD: network %s deleted", n.Name)
	if s.lxd.here != "" {
		s.say("LXD: it is gone on all members of the cluster: meshnet-lxd remove %s there, too", n.Config[keyNetwork])
	}
	return nil
}

// lost reports whether meshd waits for a bridge that nobody has: another member of the cluster has removed LXD's network, say.
func lost(mesh api.Network, known []lxdapi.Network) bool {
	for _, n := range known { // LXD lists the host's other interfaces as well
		if n.Name == mesh.Bridge {
			return false
		}
	}
	return !mesh.BridgeOwned
}

// leaveBridge has meshd make a bridge of its own, and releases what instances had in the other.
func (s *settler) leaveBridge(ctx context.Context, mesh api.Network) error {
	none := ""
	now, err := s.meshd.Update(ctx, api.UpdateRequest{Network: mesh.Name, Bridge: &none, DHCP: &none})
	if err != nil {
		return fmt.Errorf("having meshd use a bridge of its own: %w", err)
	}
	s.say("meshd: network %s uses the bridge %s instead of %s", mesh.Name, now.Bridge, mesh.Bridge)
	attachments, err := s.meshd.Attachments(ctx, mesh.Name)
	if err != nil {
		return err
	}
	for _, a := range attachments {
		if a.Source != api.SourceLXD {
			continue
		}
		if _, err := s.meshd.Detach(ctx, api.DetachRequest{Network: a.Network, Container: a.Container, IfName: a.IfName, Source: api.SourceLXD}); err != nil {
			return fmt.Errorf("releasing the addresses of %s/%s: %w", a.Container, a.IfName, err)
		}
		s.say("meshd: %s/%s released", a.Container, a.IfName)
	}
	return nil
}
