package ipam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

const (
	defaultRefresh = 5 * time.Minute
	defaultTimeout = 5 * time.Second
	retryAfter     = 250 * time.Millisecond // until a waiting attachment has the block store asked again
	tendEvery      = 15 * time.Second       // and what failed is tried again
)

// ErrNoAddress means that there is no IPv4 address for an attachment now. The error's text says why, and the way out.
var ErrNoAddress = errors.New("no IPv4 address")

// errNoAnswer is the reason when time is up and the block store has said nothing, not even why.
var errNoAnswer = fmt.Errorf("%w: it has not answered in time", ErrNoStore)

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
	Timeout time.Duration    // of one question to the block store, and of a Lease without a deadline; 0: 5 s
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil discards
}

// Manager keeps blocks for a Store, so that leasing needs no network. Its methods are safe for concurrent use. All that changes
// what the node owns is done by Run's goroutine, one question to the block store at a time.
type Manager struct {
	asks chan ask
	kick chan struct{} // a lease was made or ended: is there still a reserve?
	keeper
	run   func(ctx context.Context, do func(ctx context.Context) error) error // ask, but in tests without goroutines
	pause func(ctx context.Context) bool                                      // before asking again; false if ctx has ended
}

// ask is a question of another goroutine. do runs on Run's.
type ask struct {
	do   func(ctx context.Context) error
	done chan error // with room for the answer
}

// NewManager returns the Manager of c. Nothing happens before Run.
func NewManager(c ManagerConfig) *Manager {
	if c.Refresh == 0 {
		c.Refresh = defaultRefresh
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{asks: make(chan ask), kick: make(chan struct{}, 1), keeper: keeper{cfg: c}, pause: pause}
	m.run = m.ask
	return m
}

func pause(ctx context.Context) bool {
	select {
	case <-time.After(retryAfter):
		return true
	case <-ctx.Done():
		return false
	}
}

// Run speaks to the block store until ctx ends: Refresh at start and every few minutes, blocks as they are needed and back when
// they are not.
func (m *Manager) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-m.asks:
			a.done <- a.do(ctx)
		case <-m.kick:
			m.tend(ctx)
		case <-timer.C:
			m.tend(ctx)
			timer.Reset(tendEvery)
		}
	}
}

// ask has do run on Run's goroutine and waits for it, at most until ctx ends.
func (m *Manager) ask(ctx context.Context, do func(ctx context.Context) error) error {
	a := ask{do, make(chan error, 1)}
	select {
	case m.asks <- a:
	case <-ctx.Done():
		return errNoAnswer
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}

// Lease is Store.Lease; where that has no address to give, it asks the block store for one and waits until ctx ends, or for
// Timeout if ctx has no deadline.
func (m *Manager) Lease(ctx context.Context, r Request, taken func(netip.Addr, MAC) bool) (Lease, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.cfg.Timeout)
		defer cancel()
	}
	var reason error // the last one that the block store gave
	for {
		l, err := m.cfg.Store.Lease(m.cfg.Now(), r, taken)
		if err == nil {
			m.nudge()
			return l, nil
		}
		var why error
		switch {
		case errors.Is(err, errNotOwn):
			why = m.obtain(ctx, r.IPv4.Addr, r.Attachment)
		case errors.Is(err, ErrNoAddress):
			why = m.run(ctx, m.supply)
		default:
			return Lease{}, err
		}
		if reason == nil || !errors.Is(why, errNoAnswer) {
			reason = why
		}
		if status := m.cfg.Blocks.Status(); errors.Is(reason, errNoAnswer) && status.Err != nil {
			reason = fmt.Errorf("%w: %w", reason, status.Err)
		}
		if why != nil && (!errors.Is(why, ErrNoStore) || !m.pause(ctx)) || ctx.Err() != nil {
			return Lease{}, because(err, reason)
		}
	}
}

// Supply returns nil if this node has an IPv4 address that can be leased now; if it has none, it asks the block store for one,
// as Lease does. It waits until ctx ends, at most for Timeout.
func (m *Manager) Supply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	err := m.cfg.Store.canLease(m.cfg.Now())
	if err == nil {
		return nil
	}
	if why := m.run(ctx, m.supply); why != nil {
		return because(err, why)
	}
	return nil
}

// because adds to err, that there is no address, why the block store gave none.
func because(err, why error) error {
	if why == nil {
		return err
	}
	return fmt.Errorf("%w; asking for more: %w", err, why)
}

// obtain has the block store give addr to this node, and its block's owner leave it.
func (m *Manager) obtain(ctx context.Context, addr netip.Addr, a Attachment) error {
	text := clipText(a.String())
	var held registry.Result
	claim := func(ctx context.Context) (err error) { held, err = m.claimAddress(ctx, addr, text); return err }
	err := m.run(ctx, claim)
	if err == nil || held.Code != registry.HeldByBlock || held.Holder == m.cfg.Node || m.cfg.Carve == nil {
		return err
	}
	if err := m.cfg.Carve(ctx, held.Holder, addr, held.Epoch, text); err != nil {
		return fmt.Errorf("%v is in block %v of %s, which does not leave it: %w", addr, held.Block, held.HolderName, err)
	}
	return m.run(ctx, claim)
}

// Release is Store.Release at the present time.
func (m *Manager) Release(a Attachment) (bool, error) {
	existed, err := m.cfg.Store.Release(m.cfg.Now(), a)
	m.nudge()
	return existed, err
}

func (m *Manager) nudge() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Bar ends the leasing of IPv4 addresses, because of why, until the block store has answered a Refresh.
func (m *Manager) Bar(why error) { m.cfg.Store.bar(fmt.Errorf("%w: %w", ErrNoAddress, why)) }

// Retire ends all leasing of IPv4 addresses, and all that this node says to the block store, for good: it is about to be removed, and must
// not be admitted anew. When it returns nothing is under way.
func (m *Manager) Retire(ctx context.Context) error {
	m.Bar(errors.New("this host is leaving the network"))
	return m.run(ctx, func(context.Context) error { m.retired = true; return nil })
}

// CarveOut leaves addr, which is in a block of this node and free, to another node. It is how the owner answers Carve. The error
// wraps registry.ErrTaken if the address is in use here.
func (m *Manager) CarveOut(ctx context.Context, addr netip.Addr, to registry.NodeID, epoch uint64, attachment string) error {
	return m.run(ctx, func(ctx context.Context) error { return m.carveOut(ctx, addr, to, epoch, attachment) })
}

// Refresh speaks to the block store now rather than later, and returns when it has answered.
func (m *Manager) Refresh(ctx context.Context) error { return m.run(ctx, m.refresh) }

// Rejoin gives up all that this node owned and is admitted anew, by whichever registry the block store now has. It is the way out
// when the network was created twice: leases of the given-up registry are lost.
func (m *Manager) Rejoin(ctx context.Context) error {
	return m.run(ctx, func(ctx context.Context) error {
		m.rejoin = true
		return m.refresh(ctx)
	})
}

// Report is Store.Report with what the block store says of itself.
func (m *Manager) Report() Report {
	r := m.cfg.Store.Report(m.cfg.Now())
	r.Store = m.cfg.Blocks.Status()
	return r
}
