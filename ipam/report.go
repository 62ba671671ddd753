package ipam

import (
	"net/netip"
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
func (s *Store) Pools() []registry.Pool { return nil }

// Report says how IPv4 stands on this node.
func (s *Store) Report(now time.Time) Report { return Report{} }

// CheckLocal proves the invariants of what this node holds, in memory and on disk, and returns one sentence for each violation.
func (s *Store) CheckLocal(now time.Time) []string { return nil }
