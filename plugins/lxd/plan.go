package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
	name  api.AttachmentName
	text  string // one sentence, with the way out
	waits bool   // for another host to release the MAC, which it does at once if the instance was moved
}

// plan returns what has to be changed so that the interfaces in the network's bridge, and no others, are attached, each with its MAC and
// the addresses that it asks for. What has gone is released first. A lease follows its MAC: an interface that has another name than before
// (its instance was renamed, or put into another project) takes over what it had. One that has other wishes changes in one step.
func plan(v view, nics []nic) ([]change, []problem) {
	p := planner{
		view: v, held: make(map[api.AttachmentName]api.Attachment), byMAC: make(map[api.MAC]api.AttachmentName),
		wanted: make(map[api.AttachmentName]bool), nics: make(map[api.MAC]nic), state: make(map[api.AttachmentName]visit),
	}
	for _, a := range v.attachments {
		p.held[nameOf(a)] = a
		if a.Source == api.SourceLXD {
			p.byMAC[a.MAC] = nameOf(a)
		}
	}
	nics = slices.DeleteFunc(slices.Clone(nics), func(n nic) bool { return n.bridge != v.network.Bridge })
	for _, n := range nics {
		p.wanted[n.key] = true
	}
	nics = p.unique(nics)
	for _, a := range v.attachments {
		if _, moves := p.nics[a.MAC]; a.Source == api.SourceLXD && !p.wanted[nameOf(a)] && !moves {
			p.release(nameOf(a))
		}
	}
	for _, n := range nics {
		p.visit(n)
	}
	return p.changes, p.problems
}

// planner is the state of one plan.
type planner struct {
	view
	held     map[api.AttachmentName]api.Attachment // what is attached
	byMAC    map[api.MAC]api.AttachmentName        // of those by LXD
	wanted   map[api.AttachmentName]bool           // what is to be attached
	nics     map[api.MAC]nic                       // with which MAC
	state    map[api.AttachmentName]visit
	changes  []change
	problems []problem
}

// visit is how far the plan for an interface is.
type visit int

const (
	begun visit = iota + 1
	done
)

func (p *planner) problem(name api.AttachmentName, format string, args ...any) {
	p.problems = append(p.problems, problem{name: name, text: fmt.Sprintf(format, args...)})
}

// release ends what is attached under a name.
func (p *planner) release(name api.AttachmentName) {
	p.changes = append(p.changes, change{detach: api.DetachRequest{Network: p.network.Name, Container: name.Container, IfName: name.IfName, Source: api.SourceLXD}})
	delete(p.byMAC, p.held[name].MAC)
	delete(p.held, name)
}

// unique returns nics without those whose MAC another one has. Who is attached with it comes first: an instance that is put into another
// project is in both for a moment.
func (p *planner) unique(nics []nic) []nic {
	for _, n := range nics {
		if a, ok := p.held[n.key]; ok && a.MAC == n.mac {
			p.nics[n.mac] = n
		}
	}
	return slices.DeleteFunc(nics, func(n nic) bool {
		first, taken := p.nics[n.mac]
		if !taken {
			p.nics[n.mac] = n
			return false
		}
		if first.key == n.key {
			return false
		}
		p.problem(n.key, "its MAC %v is that of %s/%s, too: lxc config device set INSTANCE DEVICE hwaddr= gives it another", n.mac, first.key.Container, first.key.IfName)
		return true
	})
}

// visit plans for one interface, after those that have to let go of its name.
func (p *planner) visit(n nic) {
	if p.state[n.key] != 0 {
		return
	}
	p.state[n.key] = begun
	defer func() { p.state[n.key] = done }()
	if _, here := p.byMAC[n.mac]; !here && temporary(n.key.Container) {
		return
	}
	if n.trouble != "" {
		p.problem(n.key, "it asks for an address that is none: %s", n.trouble)
	}
	a, held := p.held[n.key]
	if held && a.Source != api.SourceLXD {
		p.problem(n.key, "a container of that name is attached already (%s): rename one of the two, or meshctl detach --container %s", a.Source, n.key.Container)
		return
	}
	if held && a.MAC == n.mac && p.satisfied(a, n.want) {
		return
	}
	if held && a.MAC != n.mac {
		p.makeRoom(n, a)
	}
	if p.elsewhere(n) {
		return
	}
	r := &api.AttachRequest{Network: p.network.Name, Container: n.key.Container, IfName: n.key.IfName}
	r.Source, r.MAC, r.IPv4, r.IPv6 = api.SourceLXD, n.mac, n.want.ipv4, n.want.ipv6
	former, ok := p.byMAC[n.mac]
	if !ok {
		former = n.key
	}
	if old, ok := p.held[former]; ok {
		r.Former = &former
		delete(p.byMAC, old.MAC)
		delete(p.held, former)
	} else {
		p.prefer(r)
	}
	p.changes = append(p.changes, change{attach: r, asked: n.want.ipv4 != "" || n.want.ipv6.IsValid()})
	p.held[n.key] = api.Attachment{Container: n.key.Container, IfName: n.key.IfName, MAC: n.mac, Source: api.SourceLXD}
	p.byMAC[n.mac] = n.key
}

// movePrefix begins the names that LXD gives instances while it moves them between members of a cluster, or between storage pools.
const movePrefix = "lxd-move-of-"

// temporary reports whether LXD is about to give an instance another name: who comes from another host is known there by that.
func temporary(container string) bool {
	return strings.HasPrefix(container[strings.LastIndexByte(container, '_')+1:], movePrefix)
}

// makeRoom has a, which has the name of n and another MAC, go to whom it belongs. If it is nobody's it becomes n's, unless n has something
// already; it is released if it cannot go, because names went round in a circle.
func (p *planner) makeRoom(n nic, a api.Attachment) {
	owner, owned := p.nics[a.MAC]
	if owned {
		p.visit(owner)
	}
	_, has := p.byMAC[n.mac]
	if still, held := p.held[n.key]; held && still.MAC == a.MAC && (owned || has) {
		p.release(n.key)
	}
}

// elsewhere reports whether an interface has to wait because another host has its MAC.
func (p *planner) elsewhere(n nic) bool {
	if _, here := p.byMAC[n.mac]; here {
		return false
	}
	for _, l := range p.leases {
		if l.MAC == n.mac && !l.Local {
			p.problem(n.key, "its MAC %v is attached on host %s as %s/%s: it was moved from there, or is there twice; it waits until it is released "+
				"there (if that host is gone for good: meshctl node remove %s)", n.mac, l.Node, l.Container, l.IfName, l.Node)
			p.problems[len(p.problems)-1].waits = true
			return true
		}
	}
	return false
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
