package ipam

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"meshnet/ipam/registry"
)

// Report is how IPv4 stands on this node, for people.
type Report struct {
	Registry   registry.ID // zero: this node has not been admitted yet
	Generation uint64
	Epoch      uint64    // 0: not admitted
	Contact    time.Time // when the last answered Refresh was sent; zero if never
	Refusal    string    // why no IPv4 address is leased now; empty if they are
	Pools      []PoolReport
	Claims     []ClaimReport // single addresses outside the own blocks
	Lost       []Lease       // whose IPv4 address is no longer this node's
	Store      StoreStatus   // zero in Store.Report
}

// PoolReport is a pool and this node's part of it. The counts are of addresses in own blocks.
type PoolReport struct {
	Pool                          registry.Pool
	Leased, Free, Cooling, Closed int
	Blocks                        []BlockReport
}

// BlockReport is one own block, in numbers of addresses. Leased, Free, Cooling and Closed add up to its size.
type BlockReport struct {
	Block   netip.Prefix
	Leased  int
	Free    int // can be leased now
	Cooling int // released too short a time ago
	Closed  int // never leased: network, broadcast, gateway, excluded, reserved, or another node's single address
}

// ClaimReport is one single address of this node.
type ClaimReport struct {
	Addr       netip.Addr
	Attachment Attachment // zero if it is idle and about to be given back
}

// Pools returns the pools as the block store last named them; none before it has.
func (s *Store) Pools() []registry.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held.v4.terms.Pools)
}

// Report says how IPv4 stands on this node.
func (s *Store) Report(now time.Time) Report {
	s.mu.Lock()
	h := s.held.v4
	c := s.chooser(now)
	r := Report{Registry: h.terms.Registry, Generation: h.terms.Generation, Epoch: h.terms.Epoch}
	if h.contact != 0 {
		r.Contact = time.Unix(0, h.contact).UTC()
	}
	if err := s.refusal(now); err != nil {
		r.Refusal = err.Error()
	}
	for _, pool := range h.terms.Pools {
		p := PoolReport{Pool: pool}
		for _, b := range h.order {
			if pool.Prefix.Contains(b.prefix.Addr()) {
				p.add(c.use(b))
			}
		}
		r.Pools = append(r.Pools, p)
	}
	for _, addr := range slices.SortedFunc(maps.Keys(h.claims), netip.Addr.Compare) {
		r.Claims = append(r.Claims, ClaimReport{addr, h.leased[addr]})
	}
	s.mu.Unlock()
	r.Lost = s.lost()
	return r
}

func (p *PoolReport) add(u BlockReport) {
	p.Leased += u.Leased
	p.Free += u.Free
	p.Cooling += u.Cooling
	p.Closed += u.Closed
	p.Blocks = append(p.Blocks, u)
}

// refused reports whether no IPv4 address is leased now, whatever is free.
func (s *Store) refused(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(now) != nil
}

// otherRegistry reports whether id is not the registry under which this node owns.
func (s *Store) otherRegistry(id registry.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.held.v4.terms.Registry
	return own != (registry.ID{}) && own != id
}

// admitted reports whether this node owns under an epoch.
func (s *Store) admitted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held.v4.terms.Epoch != 0
}
