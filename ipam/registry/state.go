package registry

import (
	"net/netip"
	"time"
)

// State is the whole registry in plain form, for people, tests and checks. Load makes it.
type State struct {
	ID         ID
	CreatedAt  time.Time
	Creator    NodeID
	Generation uint64
	Recovering bool      // after a recovery, until the nodes have refreshed
	SettledAt  time.Time // with Recovering: the earliest time at which something new is given out again
	Time       time.Time // of the last command that changed something
	Timing     Timing
	Pools      []Pool
	Reserved   []Reservation
	Nodes      map[NodeID]Node
	Blocks     map[netip.Prefix]Block // owned and cooling ones; all others are free
	Claims     map[netip.Addr]Claim   // held and cooling ones
	Faults     []string               // records that contradict each other, one sentence each
}

// Node is one node that was ever admitted.
type Node struct {
	Name       string
	Instance   uint64
	Epoch      uint64
	Generation uint64 // accepted by its last Refresh
	Refreshed  time.Time
	Removed    bool
	Reason     string // of the removal
}

// Block is one block that is not free.
type Block struct {
	Owner  NodeID // zero: nobody's, cooling
	Epoch  uint64
	Since  time.Time // of the grant
	Until  time.Time // cooling: free from then on
	Former NodeID    // cooling: whose it was
	Leased int       // addresses that attachments hold, as the owner last said
}

// Claim is one single address that is not free.
type Claim struct {
	Owner      NodeID // zero: nobody's, cooling
	Epoch      uint64
	Attachment string
	Until      time.Time // cooling: free from then on
}

// Reservation keeps the addresses from First to Last, both included, from being leased.
type Reservation struct {
	First, Last netip.Addr
	Comment     string
}

// Contains says whether addr is reserved by r.
func (r Reservation) Contains(addr netip.Addr) bool {
	return addr.IsValid() && !addr.Less(r.First) && !r.Last.Less(addr)
}
