package reconcile

import (
	"context"

	"meshnet/ipam"
)

// Observer looks for the interfaces of leases. It returns one Observation for each lease; an error means that it could
// not look, and says nothing about any of them.
type Observer interface {
	Observe(ctx context.Context, leases []ipam.Lease) ([]Observation, error)
}

// Observation is what is seen of one lease.
type Observation struct {
	Lease ipam.Lease
	State State
	Why   string // for people: what is there, or is not
}

// State says whether the interface of a lease exists.
type State int

// The states. The zero State frees nothing.
const (
	Unsure  State = iota // it is not seen, and cannot be ruled out
	Present              // it is seen
	Gone                 // it cannot be there
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Present:
		return "present"
	case Gone:
		return "gone"
	}
	return "unsure"
}
