package zone

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Config says of what network a zone is.
type Config struct {
	Domain   string         // without a dot at the end: prod.mesh
	Servers  []netip.Addr   // that answer for it
	Prefixes []netip.Prefix // of the network's addresses, of which the zone has the names, too
	Serial   uint32         // larger in a later zone
}

// Entry is what is known of one attachment.
type Entry struct {
	Container string // "" is the host itself
	Host      string
	Addrs     []netip.Addr
	Aliases   []string // more names of the container
	Local     bool     // it is on this host
	Up        bool     // its host is
}

// Zone is the names of a network at one moment. It does not change.
type Zone struct {
	domain  string                 // canonical: lower case, with a dot at the end
	servers []netip.Addr           //
	serial  uint32                 //
	names   map[string][]candidate // by what is before the domain; empty for a host that only others are below
	reverse map[string]netip.Prefix
	owners  map[netip.Addr]string // canonical
	addrs   []netip.Addr          // those of owners, ascending
}

// candidate is an address that a name may have.
type candidate struct {
	addr  netip.Addr
	entry *Entry
	rank  rank
}

// rank orders what may have a name: if a container is called so, nobody else is.
type rank uint8

const (
	isContainer rank = iota
	isMapped         // a container whose name had to be changed to be a label
	isAlias
	isHost
)

// New makes the zone of a network.
func New(c Config, entries []Entry) *Zone {
	z := &Zone{
		domain: strings.ToLower(c.Domain) + ".", servers: c.Servers, serial: c.Serial,
		names: make(map[string][]candidate, 2*len(entries)), owners: make(map[netip.Addr]string, 2*len(entries)),
		reverse: make(map[string]netip.Prefix),
	}
	for _, p := range c.Prefixes {
		z.addReverse(p)
	}
	for i := range entries {
		z.addEntry(&entries[i])
	}
	for name, all := range z.names {
		z.names[name] = best(all)
	}
	for i := range entries {
		z.addOwner(&entries[i])
	}
	for _, a := range c.Servers {
		z.owners[a] = z.domain
	}
	for a := range z.owners {
		z.addrs = append(z.addrs, a)
	}
	slices.SortFunc(z.addrs, netip.Addr.Compare)
	for name, all := range z.names {
		z.names[name] = living(all)
	}
	return z
}

// addEntry adds all that an attachment may be called.
func (z *Zone) addEntry(e *Entry) {
	host, _ := Label(e.Host)
	if host != "" && z.names[host] == nil {
		z.names[host] = []candidate{}
	}
	if e.Container == "" {
		z.add(host, e, isHost)
		return
	}
	add := func(name string, exact rank) {
		label, same := Label(name)
		if label == "" {
			return
		}
		if !same {
			exact = max(exact, isMapped)
		}
		z.add(label, e, exact)
		if host != "" {
			z.add(label+"."+host, e, exact)
		}
	}
	add(e.Container, isContainer)
	for _, a := range e.Aliases {
		add(a, isAlias)
	}
}

func (z *Zone) add(name string, e *Entry, r rank) {
	if name == "" {
		return
	}
	for _, a := range e.Addrs {
		z.names[name] = append(z.names[name], candidate{a, e, r})
	}
}

// best returns those of the best rank.
func best(all []candidate) []candidate {
	top := isHost
	for _, c := range all {
		top = min(top, c.rank)
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return c.rank != top })
}

// living returns those whose hosts are up, unless none is; this host's first.
func living(all []candidate) []candidate {
	if slices.ContainsFunc(all, func(c candidate) bool { return c.entry.Up }) {
		all = slices.DeleteFunc(all, func(c candidate) bool { return !c.entry.Up })
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(-compareBool(a.entry.Local, b.entry.Local), a.addr.Compare(b.addr))
	})
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.addr == b.addr })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// addOwner says which name the addresses of an attachment have: the shortest that is of nothing else.
func (z *Zone) addOwner(e *Entry) {
	host, _ := Label(e.Host)
	label, _ := Label(e.Container)
	names := []string{label, label + "." + host}
	if e.Container == "" {
		names = []string{host}
	}
	for _, name := range names {
		all := z.names[name]
		same := func(c candidate) bool {
			return c.rank != isAlias && c.entry.Host == e.Host && c.entry.Container == e.Container
		}
		if len(all) == 0 || slices.ContainsFunc(all, func(c candidate) bool { return !same(c) }) {
			continue
		}
		for _, a := range e.Addrs {
			z.owners[a] = name + "." + z.domain
		}
		return
	}
}

// Record is one address and a name that it has.
type Record struct {
	Name      string // without a dot at the end
	Addr      netip.Addr
	Container string // "" is the host itself
	Host      string
	Alias     bool
	Local     bool
}

// Records returns what the names of the network are, sorted by them.
func (z *Zone) Records() []Record {
	var all []Record
	for name, candidates := range z.names {
		for _, c := range candidates {
			all = append(all, Record{
				Name: name + "." + strings.TrimSuffix(z.domain, "."), Addr: c.addr, Container: c.entry.Container, Host: c.entry.Host,
				Alias: c.rank == isAlias, Local: c.entry.Local,
			})
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr)) })
	return all
}
