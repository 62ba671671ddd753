package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// Keys of LXD's network by which it is known to be ours, and whose.
const (
	keyNetwork = "user.meshnet.network" // name of the meshnet network
	keyID      = "user.meshnet.id"      // its ID
)

// minLXDName is the length of the shortest name of a network of LXD's.
const minLXDName = 2

// settler makes and removes a network of LXD's, and says on out what it does.
type settler struct {
	lxd   *server
	meshd *api.Client
	out   io.Writer
}

func (s *settler) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// setup makes the managed network of LXD for the meshnet network, called name or like it, and has meshd use its bridge. What is there
// already is left alone; after an error what this call made is removed again.
func (s *settler) setup(ctx context.Context, network, name string) error {
	mesh, err := s.meshd.Network(ctx, network)
	if err != nil {
		return err
	}
	known, err := s.lxd.GetNetworks()
	if err != nil {
		return fmt.Errorf("asking LXD for its networks: %w", err)
	}
	name, exists, err := choose(mesh, name, known)
	if err != nil {
		return err
	}
	if err := s.checkBridge(mesh, name, known); err != nil {
		return err
	}
	if exists {
		s.say("LXD has the network %s already", name)
	} else if err := s.create(mesh, name); err != nil {
		return err
	}
	if err := s.useBridge(ctx, mesh, name); err != nil {
		if !exists {
			if undo := s.lxd.DeleteNetwork(name); undo != nil {
				return fmt.Errorf("%w; and LXD's network %s stays: %w (lxc network delete %s)", err, name, undo, name)
			}
			s.say("LXD's network %s is removed again", name)
		}
		return err
	}
	s.say("now: lxc launch IMAGE --network %s", name)
	return nil
}

// choose returns the name of the network in LXD, and whether it is there. Nothing is chosen that is somebody else's.
func choose(mesh api.Network, name string, known []lxdapi.Network) (chosen string, exists bool, err error) {
	for _, n := range known {
		if n.Config[keyNetwork] == mesh.Name && (name == "" || name == n.Name) {
			return n.Name, true, usable(mesh, n)
		}
		if n.Config[keyNetwork] == mesh.Name {
			return "", false, fmt.Errorf("network %s is LXD's network %s already: meshnet-lxd remove %s first, or leave out --name", mesh.Name, n.Name, mesh.Name)
		}
	}
	if name == "" {
		name = mesh.Name
	}
	if err := token.CheckIfName(name); err != nil || len(name) < minLXDName {
		return "", false, fmt.Errorf("LXD's network cannot be called %q, because its bridge has the same name: say --name, with 2 to %d characters", name, token.MaxIfName)
	}
	for _, n := range known {
		if n.Name != name {
			continue
		}
		switch other := n.Config[keyNetwork]; {
		case other != "":
			return "", false, fmt.Errorf("LXD's network %s is that of the meshnet network %s: say another --name", name, other)
		case n.Managed:
			return "", false, fmt.Errorf("LXD has a network %s, which meshnet-lxd did not make: say another --name (or delete that one: lxc network delete %s)", name, name)
		}
		return "", false, fmt.Errorf("this host has an interface %s, which is not LXD's: say another --name", name)
	}
	return name, false, nil
}

// usable says whether a network that meshnet-lxd made is as it was made.
func usable(mesh api.Network, n lxdapi.Network) error {
	if id := n.Config[keyID]; id != mesh.ID {
		return fmt.Errorf("LXD's network %s was made for another network called %s (its ID was %.32s): meshnet-lxd remove %s, then setup again", n.Name, mesh.Name, id, mesh.Name)
	}
	if n.Status == lxdapi.NetworkStatusPending || n.Status == lxdapi.NetworkStatusErrored {
		return fmt.Errorf("LXD's network %s is %s: lxc network delete %s, then setup again", n.Name, strings.ToLower(n.Status), n.Name)
	}
	for _, key := range []string{keyIPv4, keyIPv6} {
		if v := n.Config[key]; v != "none" {
			return fmt.Errorf("LXD's network %s has %s=%s, so it answers DHCP beside meshd: lxc network set %s %s=none", n.Name, key, v, n.Name, key)
		}
	}
	return nil
}

// checkBridge refuses to take meshd from a bridge that somebody needs.
func (s *settler) checkBridge(mesh api.Network, name string, known []lxdapi.Network) error {
	if mesh.Bridge == name || lost(mesh, known) { // LXD's network was renamed, say
		return nil
	}
	if !mesh.BridgeOwned {
		return fmt.Errorf("network %s uses the bridge %s, which meshd did not make: instances reach it there (nictype=bridged parent=%s, or --network %s "+
			"if it is LXD's), and nothing has to be set up; or give it up first: meshctl network set %s --bridge ''", mesh.Name, mesh.Bridge, mesh.Bridge, mesh.Bridge, mesh.Name)
	}
	nics, err := s.lxd.nics()
	if err != nil {
		return err
	}
	var users []string
	for _, n := range nics {
		if n.bridge == mesh.Bridge {
			users = append(users, n.key.Container+"/"+n.key.IfName)
		}
	}
	if len(users) > 0 {
		return fmt.Errorf("%s in the bridge %s, which setup would remove (nictype=bridged parent=%s): that works without setup; or remove these devices first "+
			"(lxc config device remove INSTANCE DEVICE)", are(users), mesh.Bridge, mesh.Bridge)
	}
	return nil
}

// create makes the network: in a cluster first on each member, as LXD wants it.
func (s *settler) create(mesh api.Network, name string) error {
	config := map[string]string{keyIPv4: "none", keyIPv6: "none", keyNetwork: mesh.Name, keyID: mesh.ID}
	if mesh.MTU != token.DefaultMTU {
		config["bridge.mtu"] = fmt.Sprint(mesh.MTU)
	}
	post := lxdapi.NetworksPost{Name: name, Type: "bridge", NetworkPut: lxdapi.NetworkPut{
		Description: "meshnet network " + mesh.Name, Config: config,
	}}
	where := ""
	if s.lxd.here != "" {
		members, err := s.members()
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := s.lxd.UseTarget(m).CreateNetwork(lxdapi.NetworksPost{Name: name, Type: "bridge"}); err != nil {
				return s.undone(name, fmt.Errorf("making LXD's network %s on cluster member %s: %w", name, m, err))
			}
		}
		where = " on cluster members " + strings.Join(members, ", ")
	}
	if err := s.lxd.CreateNetwork(post); err != nil {
		return s.undone(name, fmt.Errorf("making LXD's network %s: %w", name, err))
	}
	var text []string
	for _, key := range slices.Sorted(maps.Keys(config)) {
		text = append(text, key+"="+config[key])
	}
	s.say("LXD: network %s made%s (%s)", name, where, strings.Join(text, " "))
	return nil
}

// undone removes what a create that failed with err left in a cluster.
func (s *settler) undone(name string, err error) error {
	if n, _, failed := s.lxd.GetNetwork(name); failed == nil && n.Managed && s.lxd.here != "" {
		if undo := s.lxd.DeleteNetwork(name); undo != nil {
			return fmt.Errorf("%w; what was made of it stays: lxc network delete %s", err, name)
		}
	}
	return err
}

// members returns the names of the cluster's members, which all have to be online: LXD makes a network on all of them or on none.
func (s *settler) members() ([]string, error) {
	members, err := s.lxd.GetClusterMembers()
	if err != nil {
		return nil, fmt.Errorf("asking LXD for its cluster's members: %w", err)
	}
	var names, offline []string
	for _, m := range members {
		names = append(names, m.ServerName)
		if m.Status == "Offline" && m.ServerName != s.lxd.here {
			offline = append(offline, m.ServerName)
		}
	}
	if len(offline) > 0 {
		return nil, fmt.Errorf("%s offline, and LXD makes a network only when all members of the cluster are there: start what is missing, or lxc cluster remove --force MEMBER", are(offline))
	}
	return names, nil
}

// useBridge has meshd use the bridge of LXD's network and answer DHCP in it, since nobody else does.
func (s *settler) useBridge(ctx context.Context, mesh api.Network, name string) error {
	dhcp := mesh.DHCP
	if dhcp == token.DHCPOff {
		dhcp = token.DHCPOpen
	}
	if mesh.Bridge == name && mesh.DHCP == dhcp {
		s.say("meshd: network %s uses the bridge %s already", mesh.Name, name)
		return nil
	}
	if _, err := s.meshd.Update(ctx, api.UpdateRequest{Network: mesh.Name, Bridge: &name, DHCP: &dhcp}); err != nil {
		return fmt.Errorf("having meshd use the bridge %s: %w", name, err)
	}
	s.say("meshd: network %s uses the bridge %s instead of %s, and answers DHCP there (%s)", mesh.Name, name, mesh.Bridge, dhcp)
	return nil
}

// are is "a, b and c are", or "a is".
func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}
