package api

// filler is an answer that can make its lists that are nil into empty ones.
type filler[T any] interface{ filled() T }

// filledAll fills all elements of l, which becomes a list even if it was nil.
func filledAll[T filler[T]](l []T) []T {
	l = list(l)
	for i := range l {
		l[i] = l[i].filled()
	}
	return l
}

// list returns l, or an empty list for nil: JSON shows it as [] and not as null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func (s Status) filled() Status {
	s.Listen, s.Offloads = list(s.Listen), list(s.Offloads)
	s.Warnings, s.Networks = list(s.Warnings), filledAll(s.Networks)
	return s
}

func (n Network) filled() Network {
	n.Endpoints, n.Offloads = list(n.Endpoints), list(n.Offloads)
	n.Pools, n.Warnings, n.DNS = list(n.Pools), list(n.Warnings), n.DNS.filled()
	return n
}

func (d DNS) filled() DNS {
	d.Servers, d.Resolvers = list(d.Servers), list(d.Resolvers)
	return d
}

func (z Zone) filled() Zone {
	z.DNS, z.Records = z.DNS.filled(), list(z.Records)
	return z
}

func (p Peer) filled() Peer {
	p.Endpoints = list(p.Endpoints)
	return p
}

func (l Lease) filled() Lease {
	l.Addresses = list(l.Addresses)
	return l
}

func (a Attachment) filled() Attachment {
	a.Addresses, a.Routes = list(a.Addresses), list(a.Routes)
	return a
}

func (i IPAM) filled() IPAM {
	i.Voters, i.Copies = list(i.Voters), list(i.Copies)
	i.Pools, i.Nodes, i.Blocks = list(i.Pools), list(i.Nodes), list(i.Blocks)
	i.Claims, i.Reservations = list(i.Claims), list(i.Reservations)
	i.Lost = filledAll(i.Lost)
	return i
}

func (c IPAMCheck) filled() IPAMCheck {
	c.Violations, c.Skipped = list(c.Violations), list(c.Skipped)
	return c
}

func (r Recovered) filled() Recovered {
	r.Lost, r.Waiting = list(r.Lost), list(r.Waiting)
	return r
}

func (a Adopted) filled() Adopted {
	a.Lost = filledAll(a.Lost)
	return a
}
