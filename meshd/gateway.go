package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/api"
	"meshnet/meshd/gateway"
	"meshnet/meshd/node"
	"meshnet/meshd/token"
)

// checkEgress refuses a gateway in a bridge that others made, unless meshd answers DHCP there: it has theirs.
func checkEgress(s settings) error {
	if s.Egress == token.EgressNAT && !s.BridgeOwned && dhcpOf(s) == token.DHCPOff {
		return api.Errorf(api.Invalid, "egress nat needs a bridge that meshd makes; %s is there already, and whoever made it connects it with the outside "+
			"(if nobody does, and nobody answers DHCP there: --dhcp open)", s.Bridge)
	}
	return nil
}

// gatewayOf says what the gateway of a network on this host is. own are the host's addresses.
func gatewayOf(s settings, own []netip.Addr) gateway.Config {
	id := hex.EncodeToString(s.NetworkID[:4])
	c := gateway.Config{
		Bridge: s.Bridge, Device: "mg" + id, Port: "mp" + id, Table: "meshnet-" + id, MAC: ipam.GatewayMAC(s.NetworkID), MTU: s.MTU,
		Own: own, Addrs: []netip.Addr{ipam.Gateway(s.IPv6)}, Links: []netip.Prefix{ipam.Subnet(s.IPv6)},
	}
	for _, p := range s.Pools {
		c.Addrs, c.Links = append(c.Addrs, answer.Gateway4(p.Prefix)), append(c.Links, p.Prefix)
	}
	return c
}

// routesOut returns the routes that a container with addresses has beside those of its subnets.
func routesOut(s settings, addresses []netip.Prefix) []api.Route {
	if s.Egress != token.EgressNAT {
		return nil
	}
	var routes []api.Route
	for _, p := range addresses {
		r := api.Route{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Gateway: ipam.Gateway(s.IPv6)}
		if p.Addr().Is4() {
			r = api.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: answer.Gateway4(p)}
		}
		routes = append(routes, r)
	}
	return routes
}

// hostAttachment is the attachment of this host itself.
func hostAttachment(s settings) ipam.Attachment { return ipam.Attachment{IfName: s.Bridge} }

// keepGateway makes the gateway of a network, and looks now and then whether it is as it was made: whoever flushes a host's interfaces or
// rules does not ask first.
func (d *daemon) keepGateway(ctx context.Context, nw *network) {
	var renewals renewals
	defer renewals.stop()
	names := names{daemon: d, nw: nw}
	defer names.stop()
	for {
		if s, n, _ := d.snapshot(nw); n == nil {
			names.stop() // its table is of the past
		} else {
			err := d.wireGateway(ctx, s, n)
			if err == nil && s.Egress == token.EgressNAT && dhcpOf(s) != token.DHCPOff {
				err = renewals.keep(gatewayOf(s, nil), n)
			}
			if s.Egress == token.EgressNAT {
				err = errors.Join(err, names.keep(ctx, s, n))
			}
			if err != nil && ctx.Err() == nil {
				n.Warn("gateway", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInterval):
		}
	}
}

// renewals hears the DHCP clients that write to the gateway alone. It is used by one goroutine.
type renewals struct {
	dhcp *gateway.DHCP // nil: nobody listens
	node *node.Node    // it is for
	done chan struct{} // closed when the goroutine of dhcp has ended
}

// keep listens at the gateway for n, if that is not done already.
func (r *renewals) keep(c gateway.Config, n *node.Node) error {
	if r.dhcp != nil && r.node == n && !r.dhcp.Stale(c.Device) {
		return nil
	}
	r.stop()
	dhcp, err := gateway.ListenDHCP(c.Device, c.MAC)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	r.dhcp, r.node, r.done = dhcp, n, done
	go func() {
		defer close(done)
		if err := dhcp.Run(n.TakeDHCP); err != nil {
			n.Warn("gateway", err.Error())
		}
	}()
	return nil
}

// stop ends listening.
func (r *renewals) stop() {
	if r.dhcp != nil {
		_ = r.dhcp.Close() // a socket that was only read
		<-r.done
		r.dhcp = nil
	}
}

// wireGateway makes the gateway, or takes one back that is not wanted any more.
func (d *daemon) wireGateway(ctx context.Context, s settings, n *node.Node) error {
	if s.Egress != token.EgressNAT {
		return dropGateway(s, n)
	}
	own, err := hostAddresses(ctx, s, n)
	if len(own) == 0 {
		return fmt.Errorf("gateway: the host's own address: %w", err) // a gateway that is there stays as it is
	}
	c := d.besideOthers(gatewayOf(s, own), s)
	if err := errors.Join(err, gateway.Ensure(c)); err != nil {
		return err
	}
	obstacles, err := gateway.Obstacles(c)
	for _, text := range obstacles {
		n.Warn("gateway "+text, text)
	}
	return err
}

// besideOthers returns c, which is the gateway of the network of s, with the other networks of this host.
func (d *daemon) besideOthers(c gateway.Config, s settings) gateway.Config {
	for _, nw := range d.sorted() {
		switch other, _, _ := d.snapshot(nw); {
		case other.Bridge == s.Bridge: // itself, or one segment with it
		case other.BridgeOwned:
			c.OtherBridges = append(c.OtherBridges, other.Bridge)
		default:
			c.OtherLinks = append(c.OtherLinks, gatewayOf(other, nil).Links...)
		}
	}
	return c
}

// hostAddresses returns this host's own addresses in the network, of which the IPv4 address may be missing for a while: then err says why.
// There are none if err is another.
func hostAddresses(ctx context.Context, s settings, n *node.Node) (own []netip.Addr, err error) {
	r := ipam.Request{Attachment: hostAttachment(s), Holder: ipam.Holder{Source: node.SourceHost}, MAC: bridgeMAC(s)}
	r.IPv4.None = len(s.Pools) == 0
	for _, l := range n.Leases() {
		if l.Container == "" && l.Attachment != r.Attachment { // the bridge was another one
			r.Former = l.Attachment
		}
	}
	l, err := n.Attach(ctx, r)
	if errors.Is(err, ipam.ErrNoAddress) {
		var v6 error
		r.IPv4.None = true
		if l, v6 = n.Attach(ctx, r); v6 != nil {
			return nil, errors.Join(err, v6)
		}
	}
	if err != nil && !errors.Is(err, ipam.ErrNoAddress) {
		return nil, err
	}
	if l.IPv6.IsValid() {
		own = append(own, l.IPv6)
	}
	if l.IPv4.IsValid() && !l.Lost {
		own = append(own, l.IPv4)
	}
	return own, err
}

// dropGateway takes back the gateway that there was before the configuration file said otherwise, as far as it was made. What there is says
// the kernel: the host may have got no lease.
func dropGateway(s settings, n *node.Node) error {
	own := slices.DeleteFunc(n.Leases(), func(l ipam.Lease) bool { return l.Container != "" })
	there, err := gateway.Exists(gatewayOf(s, nil))
	if err != nil || len(own) == 0 && !there {
		return err
	}
	if err := gateway.Remove(gatewayOf(s, nil)); err != nil {
		return err
	}
	for _, l := range own {
		if _, err := n.Detach(l.Attachment); err != nil {
			return err
		}
	}
	return nil
}

// removeGateway removes a network's gateway, if it has one.
func removeGateway(s settings) error {
	if there, err := gateway.Exists(gatewayOf(s, nil)); s.Egress != token.EgressNAT && (err != nil || !there) {
		return err
	}
	return gateway.Remove(gatewayOf(s, nil))
}
