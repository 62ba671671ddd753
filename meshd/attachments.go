package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/api"
)

// Attachments implements api.Backend.
func (d *daemon) Attachments(_ context.Context, name string) ([]api.Attachment, error) {
	var attachments []api.Attachment
	for _, nw := range d.sorted() {
		s, n, _ := d.snapshot(nw)
		if n == nil || name != "" && s.Name != name {
			continue
		}
		for _, l := range n.Leases() {
			attachments = append(attachments, attachment(s, l))
		}
	}
	if name != "" {
		if _, err := d.find(name); err != nil {
			return nil, err
		}
	}
	return attachments, nil
}

// Attach implements api.Backend.
func (d *daemon) Attach(ctx context.Context, r api.AttachRequest) (api.Attachment, error) {
	nw, err := d.find(r.Network)
	if err != nil {
		return api.Attachment{}, err
	}
	s, n, failure := d.snapshot(nw)
	if n == nil {
		return api.Attachment{}, notRunning(s.Name, failure)
	}
	if r.MTU > s.MTU {
		return api.Attachment{}, api.Errorf(api.Invalid, "MTU %d is more than the network's %d", r.MTU, s.MTU)
	}
	a := ipam.Attachment{Container: r.Container, IfName: r.IfName}
	if vanished := d.vanished(nw); vanished != nil {
		vanished.Attached(a)
	}
	if err := checkHolder(n.Leases(), r); err != nil {
		return api.Attachment{}, err
	}
	none, want := r.V4()
	request := ipam.Request{
		Attachment: a,
		Holder:     ipam.Holder{Source: string(r.Source), NetNS: r.NetNS, Config: r.CNINetwork, Aliases: strings.Join(r.Aliases, " ")},
		IPv4:       ipam.V4Request{None: none, Addr: want},
		IPv6:       r.IPv6,
		MAC:        ipam.MAC(r.MAC),
	}
	if r.Former != nil {
		request.Former = ipam.Attachment{Container: r.Former.Container, IfName: r.Former.IfName}
	}
	lease, err := n.Attach(ctx, request)
	if err != nil {
		return api.Attachment{}, ipv4Error(err)
	}
	attached := attachment(s, lease)
	if r.MTU != 0 {
		attached.MTU = r.MTU
	}
	return attached, nil
}

// Detach implements api.Backend.
func (d *daemon) Detach(_ context.Context, r api.DetachRequest) (bool, error) {
	nw, err := d.find(r.Network)
	if err != nil {
		return false, err
	}
	s, n, failure := d.snapshot(nw)
	if n == nil {
		return false, notRunning(s.Name, failure)
	}
	a := ipam.Attachment{Container: r.Container, IfName: r.IfName}
	if slices.ContainsFunc(n.Leases(), func(l ipam.Lease) bool { return l.Attachment == a && !isOf(l.Holder, r) }) {
		return false, nil
	}
	return n.Detach(a)
}

// isOf reports whether what h holds is what r is about. Of leases of earlier versions nobody knows which CNI network they are of.
func isOf(h ipam.Holder, r api.DetachRequest) bool {
	return (r.Source == "" || h.Source == string(r.Source)) && (r.CNINetwork == "" || h.Config == "" || h.Config == r.CNINetwork)
}

// checkHolder refuses to make an interface out of addresses that belong to another plugin's, and the reverse: whoever detaches
// one of the two would take the other's addresses.
func checkHolder(leases []ipam.Lease, r api.AttachRequest) error {
	for _, l := range leases {
		if l.Container != r.Container || l.IfName != r.IfName {
			continue
		}
		alone := l.Holder.Source == string(api.SourceCNIIPAM)
		if wanted := r.Source == api.SourceCNIIPAM; alone != wanted {
			return api.Errorf(api.Conflict, "%v has its addresses already (source %s); detach it first", l.Attachment, l.Holder.Source)
		}
	}
	return nil
}

// attachment tells a plugin all it needs to set up a container's interface.
func attachment(s settings, l ipam.Lease) api.Attachment {
	addresses := []netip.Prefix{netip.PrefixFrom(l.IPv6, ipam.Subnet(s.IPv6).Bits())}
	if p := l.IPv4Prefix(); p.IsValid() && !l.Lost {
		addresses = append(addresses, p)
	}
	var lost netip.Addr
	if l.Lost {
		lost = l.IPv4
	}
	container := l.Container
	if container == "" {
		container = "@" + s.NodeName // as in meshctl leases
	}
	return api.Attachment{
		Lost:      lost,
		Network:   s.Name,
		Container: container,
		IfName:    l.IfName,
		Bridge:    s.Bridge,
		MTU:       s.MTU,
		MAC:       api.MAC(l.MAC),
		Addresses: addresses,
		Routes:    routesOut(s, addresses),
		Source:    api.Source(l.Holder.Source),
		NetNS:     l.Holder.NetNS,

		CNINetwork: l.Holder.Config,
		Aliases:    strings.Fields(l.Holder.Aliases),

		Created: l.Created.Truncate(time.Millisecond),
	}
}
