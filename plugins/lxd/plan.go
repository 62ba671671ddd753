package main

import (
	"fmt"
	"net/netip"
	"slices"

	"meshnet/meshd/api"
)

// view is what meshd says of one network.
type view struct {
	network     api.Network
	attachments []api.Attachment         // of this host
	leases      []api.Lease              // of all hosts
	former      map[api.MAC][]netip.Addr // addresses that interfaces had on other hosts, from where they may have been moved
}

// change is one call of meshd.
type change struct {
	attach *api.AttachRequest // nil: detach
	detach api.DetachRequest
	// asked says that the addresses in attach are asked for by the interface's owner; otherwise they are only better than others.
	asked bool
}

// problem is why an interface is not as its owner wants it.
type problem struct {
	name api.AttachmentName
	text string // one sentence, with the way out
}

// plan returns what has to be changed so that the interfaces in the network's bridge, and no others, are attached, each with its MAC and
// the addresses that it asks for. What has gone is released first. An interface that has another name than before (its instance was renamed,
// or put into another project) takes over what it had, and one that has other wishes changes in one step.
func plan(v view, nics []nic) (changes []change, problems []problem) {
	p := planner{view: v, held: make(map[api.AttachmentName]api.Attachment), wanted: make(map[api.AttachmentName]bool), macs: make(map[api.MAC]api.AttachmentName)}
	for _, a := range v.attachments {
		p.held[nameOf(a)] = a
	}
	nics = slices.DeleteFunc(slices.Clone(nics), func(n nic) bool { return n.bridge != v.network.Bridge })
	for _, n := range nics {
		p.wanted[n.key] = true
	}
	nics = p.unique(nics)
	passed := make(map[api.AttachmentName]bool)
	for _, n := range nics {
		if n.trouble != "" {
			p.problem(n.key, "it asks for an address that is none: %s", n.trouble)
		}
		if r := p.attach(n); r != nil {
			changes = append(changes, change{attach: r, asked: n.want.ipv4 != "" || n.want.ipv6.IsValid()})
			if r.Former != nil {
				passed[*r.Former] = true
			}
		}
	}
	var gone []change
	for _, a := range v.attachments {
		if name := nameOf(a); a.Source == api.SourceLXD && !p.wanted[name] && !passed[name] {
			gone = append(gone, change{detach: api.DetachRequest{Network: v.network.Name, Container: name.Container, IfName: name.IfName}})
		}
	}
	return append(gone, changes...), p.problems
}

// planner is the state of one plan.
type planner struct {
	view
	held     map[api.AttachmentName]api.Attachment // what is attached
	wanted   map[api.AttachmentName]bool           // what is to be attached
	macs     map[api.MAC]api.AttachmentName        // whose they are
	problems []problem
}

func (p *planner) problem(name api.AttachmentName, format string, args ...any) {
	p.problems = append(p.problems, problem{name, fmt.Sprintf(format, args...)})
}

// unique returns nics without those whose MAC another one has. Who is attached with it comes first, even if it is about to go: an instance
// that is put into another project is in both for a moment.
func (p *planner) unique(nics []nic) []nic {
	for _, n := range nics {
		if a, ok := p.held[n.key]; ok && a.MAC == n.mac {
			p.macs[n.mac] = n.key
		}
	}
	return slices.DeleteFunc(nics, func(n nic) bool {
		first, taken := p.macs[n.mac]
		if !taken {
			p.macs[n.mac] = n.key
		}
		if taken && first != n.key {
			p.problem(n.key, "its MAC %v is that of %s/%s, too: lxc config device set INSTANCE DEVICE hwaddr= gives it another", n.mac, first.Container, first.IfName)
		}
		return taken && first != n.key
	})
}

// attach returns the request that makes an interface what it is to be, nil if it is or cannot be.
func (p *planner) attach(n nic) *api.AttachRequest {
	r := &api.AttachRequest{Network: p.network.Name, Container: n.key.Container, IfName: n.key.IfName}
	r.Source, r.MAC, r.IPv4, r.IPv6 = api.SourceLXD, n.mac, n.want.ipv4, n.want.ipv6
	a, held := p.held[n.key]
	switch {
	case held && a.Source != api.SourceLXD:
		p.problem(n.key, "a container of that name is attached already (%s): rename one of the two, or meshctl detach --container %s", a.Source, n.key.Container)
		return nil
	case held && a.MAC == n.mac && p.satisfied(a, n.want):
		return nil
	case held:
		r.Former = &n.key
		return r
	}
	for _, old := range p.attachments {
		if name := nameOf(old); old.MAC == n.mac && old.Source == api.SourceLXD && !p.wanted[name] {
			r.Former = &name
			return r
		}
	}
	for _, l := range p.leases {
		if l.MAC == n.mac && !l.Local {
			p.problem(n.key, "its MAC %v is attached on host %s as %s/%s: it was moved from there, or is there twice; it waits until it is released "+
				"there (if that host is gone for good: meshctl node remove %s)", n.mac, l.Node, l.Container, l.IfName, l.Node)
			return nil
		}
	}
	p.prefer(r)
	return r
}

// prefer asks for the addresses that an interface had on another host, unless its owner asks for others.
func (p *planner) prefer(r *api.AttachRequest) {
	for _, addr := range p.former[r.MAC] {
		switch {
		case addr.Is4() && r.IPv4 == "":
			r.IPv4 = addr.String()
		case addr.Is6() && !r.IPv6.IsValid():
			r.IPv6 = addr
		}
	}
}

// satisfied reports whether an attachment has the addresses that are asked for.
func (p *planner) satisfied(a api.Attachment, want wish) bool {
	var ipv4, ipv6 netip.Addr
	for _, prefix := range a.Addresses {
		if prefix.Addr().Is4() {
			ipv4 = prefix.Addr()
		} else {
			ipv6 = prefix.Addr()
		}
	}
	if want.ipv6.IsValid() && want.ipv6 != ipv6 {
		return false
	}
	switch want.ipv4 {
	case api.NoIPv4:
		return !ipv4.IsValid()
	case "":
		return ipv4.IsValid() || len(p.network.Pools) == 0
	}
	return ipv4.String() == want.ipv4
}

func nameOf(a api.Attachment) api.AttachmentName {
	return api.AttachmentName{Container: a.Container, IfName: a.IfName}
}
