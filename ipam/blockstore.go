package ipam

import (
	"context"
	"errors"
	"time"

	"meshnet/ipam/registry"
)

// ErrNoStore means that the block store cannot decide now: it has no quorum or no leader, or cannot be reached.
var ErrNoStore = errors.New("no block store")

// BlockStore decides for all nodes of a network who owns which block. Its methods are safe for concurrent use.
type BlockStore interface {
	// Do has the command decided and returns the answer, whose Err says whether it was granted. Each call applies the command
	// at most once. An error wraps ErrNoStore and says why there is no answer; the command may then have been applied, may
	// never be, or may be applied later, even behind commands that were given after it.
	Do(ctx context.Context, c registry.Command) (registry.Result, error)
	// View returns the state as this node can read it, for people. It has all that Do answered here before, unless nobody who has
	// that can be reached; of what others were answered it may lack the latest.
	View(ctx context.Context) (registry.State, error)
	// Status says how the store does, without asking anyone.
	Status() StoreStatus
	Close() error
}

// Roles of a node in its block store.
const (
	RoleVoter  = "voter"  // has a copy and a vote
	RoleCopy   = "copy"   // has a copy and no vote
	RoleClient = "client" // asks others
)

// StoreStatus is how a block store does, for people.
type StoreStatus struct {
	Engine      string    // "raft" or "etcd"
	Role        string    // RoleVoter, RoleCopy or RoleClient
	Leader      string    // name of the node that decides, or the endpoint that answers; empty if there is none
	Voters      []string  // names or endpoints
	Copies      []string  // names of those that keep the registry without a vote
	LastContact time.Time // when this node last had an answer or, as a copy, an entry; zero if never
	Err         error     // why it cannot decide now; nil if it can
}
