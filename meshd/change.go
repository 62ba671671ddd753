package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/node"
	"meshnet/meshd/session"
	"meshnet/meshd/tap"
	"meshnet/meshd/token"
)

// joinTimeout is how long a join waits for the first member. Handshakes are repeated after 1, 2, 4 and 5 seconds.
const joinTimeout = 15 * time.Second

// Create implements api.Backend.
func (d *daemon) Create(ctx context.Context, r api.CreateRequest) (api.Created, error) {
	psk, err := pskOf(r.Name, r.PSK)
	if err != nil {
		return api.Created{}, err
	}
	d.changes.Lock()
	defer d.changes.Unlock()
	if err := ctx.Err(); err != nil {
		return api.Created{}, err // the caller has gone while others made their changes
	}
	s, err := d.newSettings(r.Name, r.NodeName, r.Bridge, r.DHCP, r.Egress, r.Endpoints)
	if err != nil {
		return api.Created{}, err
	}
	s.PSK, s.NetworkID, s.Created = psk, session.NetworkID(r.Name, psk), true
	s.MTU, s.IPv6, s.Pools, s.DeadAfter = r.MTU, r.IPv6, r.Pools, r.DeadAfter
	if len(s.Pools) == 0 && !r.IPv4None {
		s.Pools = []token.Pool{{Prefix: d.freePool()}}
	}
	if s.IPAM, err = token.ParseIPAM(r.IPAM); err != nil {
		return api.Created{}, api.Errorf(api.Invalid, "%w", err)
	}
	if err := d.checkPools(s, r.Force); err != nil {
		return api.Created{}, err
	}
	nw, err := d.add(s, func(*network) error { return nil })
	if err != nil {
		return api.Created{}, err
	}
	text, err := d.token(ctx, nw, nil)
	if err != nil {
		return api.Created{}, err
	}
	described, err := d.describe(ctx, nw)
	return api.Created{Network: described, Token: text}, err
}

// Join implements api.Backend. If no member answers, or the others know another host by this one's name, nothing is kept.
func (d *daemon) Join(ctx context.Context, r api.JoinRequest) (api.Network, error) {
	t, err := token.Parse(r.Token)
	if err != nil {
		return api.Network{}, api.Errorf(api.Invalid, "%w", err)
	}
	d.changes.Lock()
	defer d.changes.Unlock()
	if err := ctx.Err(); err != nil {
		return api.Network{}, err
	}
	if nw, ok := d.member(t); ok {
		return d.describe(ctx, nw)
	}
	s, err := d.newSettings(t.Name, r.NodeName, r.Bridge, r.DHCP, r.Egress, r.Endpoints)
	if err != nil {
		return api.Network{}, err
	}
	s.PSK, s.NetworkID, s.MTU, s.IPv6, s.Seeds = t.PSK, t.NetworkID, t.MTU, t.IPv6, t.Endpoints
	for _, p := range t.Pools {
		s.Pools = append(s.Pools, token.Pool{Prefix: p})
	}
	s.IPAM = t.IPAM
	if r.IPAM != "" {
		local, err := token.ParseIPAM(r.IPAM)
		if err == nil {
			s.IPAM, err = t.IPAM.With(local)
		}
		if err != nil {
			return api.Network{}, api.Errorf(api.Invalid, "%w", err)
		}
	}
	if err := d.checkPools(s, r.Force); err != nil {
		return api.Network{}, err
	}
	nw, err := d.add(s, func(nw *network) error { return d.waitJoined(ctx, nw, r.NoWait) })
	if err != nil {
		return api.Network{}, err
	}
	return d.describe(ctx, nw)
}

// waitJoined waits for the first member.
func (d *daemon) waitJoined(ctx context.Context, nw *network, noWait bool) error {
	if noWait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	err := nw.node.WaitJoined(ctx)
	var taken *node.NameTakenError
	switch {
	case errors.As(err, &taken):
		d.farewell(nw)
		return api.Errorf(api.Conflict, "%w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return api.Errorf(api.Unavailable, "no member of network %s answered within %v at %s: they are down, their UDP port cannot be "+
			"reached from here, this host's clock is far off, or the token is not of this network any more; "+
			"nothing was changed (to join before the others can be reached: --no-wait)",
			nw.settings.Name, joinTimeout, strings.Join(nw.settings.Seeds, ", "))
	}
	return err
}

// Leave implements api.Backend.
func (d *daemon) Leave(ctx context.Context, name string, force bool) error {
	d.changes.Lock()
	defer d.changes.Unlock()
	nw, err := d.find(name)
	if err != nil {
		return err
	}
	if d.declared[name] {
		return api.Errorf(api.Conflict, "network %s is in the configuration file, so it would be back after a restart; take it out "+
			"there, restart meshd, and leave it then", name)
	}
	if _, n, _ := d.snapshot(nw); n != nil {
		if err := handOver(ctx, n); err != nil && !force {
			return err
		}
	}
	d.farewell(nw)
	return d.remove(nw)
}

// farewell tells the other members that this one goes, as far as they can be reached.
func (d *daemon) farewell(nw *network) {
	s, n, _ := d.snapshot(nw)
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, leaveTimeout)
	defer cancel()
	if err := n.Leave(ctx); err != nil {
		d.log.Warn("the other members could not be told", "network", s.Name, "err", err)
	}
}

// leaveTimeout is how long the goodbye to the other members may take.
const leaveTimeout = 5 * time.Second

// Token implements api.Backend.
func (d *daemon) Token(ctx context.Context, name string, endpoints []string) (string, error) {
	nw, err := d.find(name)
	if err != nil {
		return "", err
	}
	return d.token(ctx, nw, endpoints)
}

// token returns a token with these endpoints, or with those known of this host and a few other members.
func (d *daemon) token(ctx context.Context, nw *network, endpoints []string) (string, error) {
	s, n, failure := d.snapshot(nw)
	if len(endpoints) == 0 {
		if n == nil {
			return "", notRunning(s.Name, failure)
		}
		known, err := n.TokenEndpoints(ctx)
		if err != nil {
			return "", err
		}
		endpoints = firstUnique(slices.Concat(s.Advertise, known), token.MaxEndpoints)
	}
	t := token.Token{Name: s.Name, NetworkID: s.NetworkID, PSK: s.PSK, MTU: s.MTU, IPv6: s.IPv6,
		Endpoints: endpoints}
	for _, p := range s.Pools {
		t.Pools = append(t.Pools, p.Prefix)
	}
	if len(t.Pools) > 0 {
		t.IPAM = s.IPAM.Public()
	}
	return t.String(), nil
}

// newSettings are what create, join and the configuration file have in common.
func (d *daemon) newSettings(name, nodeName, bridge, dhcp, egress string, endpoints []string) (settings, error) {
	identity, err := session.NewIdentity(rand.Reader)
	if err != nil {
		return settings{}, err
	}
	if nodeName == "" {
		nodeName = d.nodeName
	}
	if bridge == "" {
		bridge = d.freeBridge()
	}
	s := settings{Name: name, NodeName: nodeName, Bridge: bridge, DHCP: dhcp, Egress: egress, Advertise: endpoints, Identity: identity}
	s.BridgeOwned = !tap.BridgeExists(bridge)
	return s, checkEgress(s)
}

// checkPools refuses pools that clash with this host's own routes or with those of another network here.
func (d *daemon) checkPools(s settings, force bool) error {
	for _, nw := range d.sorted() {
		other, _, _ := d.snapshot(nw)
		for _, p := range other.Pools {
			for _, q := range s.Pools {
				if tapName(other) != tapName(s) && p.Prefix.Overlaps(q.Prefix) && !force {
					return api.Errorf(api.Conflict, "pool %v overlaps %v of network %s on this host; create the network with another --pool, or --force if "+
						"no container is to be in both", q.Prefix, p.Prefix, other.Name)
				}
			}
		}
	}
	if force {
		return nil
	}
	return checkRoutes(s)
}

// freePool returns the default pool, or one beside it if this host has routes or another network there.
func (d *daemon) freePool() netip.Prefix {
	pool := token.DefaultPool()
	for i := range byte(100) {
		a := pool.Addr().As4()
		a[1] += i
		next := netip.PrefixFrom(netip.AddrFrom4(a), pool.Bits())
		if d.checkPools(settings{Pools: []token.Pool{{Prefix: next}}}, false) == nil {
			return next
		}
	}
	return pool
}

// complete fills in what was left out of s, and checks what was not.
func complete(s *settings) error {
	if s.MTU == 0 {
		s.MTU = token.DefaultMTU
	}
	if !s.IPv6.IsValid() {
		s.IPv6 = ipam.ULA(s.NetworkID)
	}
	if err := ipam.CheckPrefix(s.IPv6); err != nil {
		return api.Errorf(api.Invalid, "%w", err)
	}
	return nil
}

// absent checks that the network can be added: neither its name nor what is derived from its ID is in use.
func (d *daemon) absent(s settings) error {
	for _, nw := range d.sorted() {
		other, _, _ := d.snapshot(nw)
		switch {
		case other.Name == s.Name && other.NetworkID == s.NetworkID:
			return api.Errorf(api.Conflict, "this host is in network %s already", s.Name)
		case other.Name == s.Name:
			return api.Errorf(api.Conflict, "this host is in another network called %s; leave it first", s.Name)
		case tapName(other) == tapName(s):
			return api.Errorf(api.Conflict, "network %s has the same ID; a network cannot be joined under two names", other.Name)
		case other.Bridge == s.Bridge:
			return api.Errorf(api.Conflict, "bridge %s belongs to network %s; say another --bridge", s.Bridge, other.Name)
		}
	}
	if d.state.Exists(s.Name) {
		return api.Errorf(api.Conflict, "there are files of a network %s that cannot be read (meshctl status says why); restore "+
			"them, or move %s away, which gives up this host's identity and leases there", s.Name, d.state.NetworkDir(s.Name))
	}
	return nil
}

// member returns the token's network if this host is in it already.
func (d *daemon) member(t token.Token) (*network, bool) {
	nw, err := d.find(t.Name)
	if err != nil {
		return nil, false
	}
	s, _, _ := d.snapshot(nw)
	return nw, s.NetworkID == t.NetworkID && s.PSK == t.PSK
}

// freeBridge returns the first mesh0, mesh1, … that is neither an interface nor promised to a network.
func (d *daemon) freeBridge() string {
	promised := make(map[string]bool)
	for _, nw := range d.sorted() {
		s, _, _ := d.snapshot(nw)
		promised[s.Bridge] = true
	}
	for i := 0; ; i++ {
		if name := fmt.Sprintf("mesh%d", i); !promised[name] && !tap.Exists(name) {
			return name
		}
	}
}

// pskOf returns the network's PSK: a random one if text is empty.
func pskOf(network, text string) (psk [32]byte, err error) {
	if text == "" {
		rand.Read(psk[:])
		return psk, nil
	}
	psk, err = config.ParsePSK(network, text)
	if err != nil {
		return psk, api.Errorf(api.Invalid, "%w", err)
	}
	return psk, nil
}

func hexID(id [16]byte) string { return hex.EncodeToString(id[:]) }

// firstUnique returns the first n different strings of list.
func firstUnique(list []string, n int) []string {
	var unique []string
	seen := make(map[string]bool)
	for _, s := range list {
		if !seen[s] && len(unique) < n {
			seen[s] = true
			unique = append(unique, s)
		}
	}
	return unique
}
