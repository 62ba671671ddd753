package ipam

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

// ErrNoAddress means that there is no IPv4 address for an attachment now. The error's text says why, and the way out.
var ErrNoAddress = errors.New("no IPv4 address")

// ManagerConfig says for whom a Manager keeps blocks.
type ManagerConfig struct {
	Store    *Store
	Blocks   BlockStore
	Node     registry.NodeID // this node
	Name     string          // of this node, for people
	Instance uint64          // start of this daemon; grows with each

	// Carve asks the owner of a block to leave addr to this node, which owns under epoch: it calls Manager.CarveOut there and
	// returns its error. Nil: addresses in other nodes' blocks cannot be had.
	Carve func(ctx context.Context, owner registry.NodeID, addr netip.Addr, epoch uint64, attachment string) error
	// Lost is told of leases whose IPv4 address is no longer this node's: it must be withdrawn from the network. Called from
	// Run's goroutine; must not call the Manager. May be nil.
	Lost func([]Lease)

	Refresh time.Duration    // between two Refreshes; 0: 5 minutes
	Timeout time.Duration    // of one question to the block store; 0: 5 s
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil discards
}

// Manager keeps blocks for a Store, so that leasing needs no network. Its methods are safe for concurrent use.
type Manager struct{ cfg ManagerConfig }

// NewManager returns the Manager of c. Nothing happens before Run.
func NewManager(c ManagerConfig) *Manager { return &Manager{c} }

// Run speaks to the block store until ctx ends: Refresh at start and every few minutes, blocks as they are needed and back when
// they are not.
func (m *Manager) Run(ctx context.Context) { <-ctx.Done() }

// Lease is Store.Lease; where that has no address to give, it asks the block store for one and waits until ctx ends, 5 s if ctx
// has no deadline.
func (m *Manager) Lease(ctx context.Context, r Request, taken func(netip.Addr, MAC) bool) (Lease, error) {
	return m.cfg.Store.Lease(time.Now(), r, taken)
}

// Release is Store.Release at the present time.
func (m *Manager) Release(a Attachment) (bool, error) { return m.cfg.Store.Release(time.Now(), a) }

// CarveOut leaves addr, which is in a block of this node and free, to another node. It is how the owner answers Carve.
func (m *Manager) CarveOut(ctx context.Context, addr netip.Addr, to registry.NodeID, epoch uint64, attachment string) error {
	return errors.ErrUnsupported
}

// Refresh speaks to the block store now rather than later, and returns when it has answered.
func (m *Manager) Refresh(ctx context.Context) error { return errors.ErrUnsupported }

// Report is Store.Report with what the block store says of itself.
func (m *Manager) Report() Report { return Report{Store: m.cfg.Blocks.Status()} }
