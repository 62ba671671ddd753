package reconcile

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"meshnet/ipam"
)

// The defaults of a Config. A container that is restarted, and a runtime that is, are back well within the grace.
const (
	DefaultInterval = time.Minute
	DefaultGrace    = 5 * time.Minute
)

// Config joins a Reconciler to the leases of one network on this host.
type Config struct {
	// Leases returns all leases of this host.
	Leases func() []ipam.Lease
	// Release frees a lease. It must not call the Reconciler. After an error it is called again in the next round.
	Release  func(context.Context, ipam.Lease) error
	Observer Observer

	// BootID identifies this boot of the host (see BootID); BootFile keeps it, in the directory of the leases. If either
	// is empty, boots are not told apart.
	BootID, BootFile string

	Interval time.Duration // between observations; 0: DefaultInterval
	Grace    time.Duration // from the first observation to freeing; 0: DefaultGrace
	Log      *slog.Logger  // nil discards
}

// Reconciler frees leases whose interfaces have gone. Its methods are safe for concurrent use.
type Reconciler struct {
	cfg     Config
	failing bool // whether the last observation failed; belongs to Run

	mu   sync.Mutex // held while a lease is released
	core *core
}

// Missing is a lease that is going to be freed unless its interface is seen again.
type Missing struct {
	Lease ipam.Lease
	Since time.Time // when it was first observed
	Free  time.Time // when it is freed, at the earliest
	Why   string
}

// New returns a Reconciler. It is called before the first attachment of this start of the daemon, since it takes the
// leases there are for those of an earlier boot if BootFile says so.
func New(c Config) *Reconciler {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reconciler{cfg: c, core: newCore(c.Grace, c.Interval)}
	rebooted, err := noteBoot(c.BootFile, c.BootID)
	if err != nil {
		c.Log.Warn("cannot tell whether the host was rebooted: leases are kept until their containers are seen to have gone", "err", err)
	}
	if rebooted {
		for _, l := range c.Leases() {
			r.core.earlier[l.Attachment] = true
		}
	}
	return r
}

// Run observes and frees until ctx ends: at once, and then every Interval.
func (r *Reconciler) Run(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		r.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Attached is called for each attachment that is asked for, before its lease is looked up or made: whatever was observed
// until now is of the container before it. It waits if that lease is just being released.
func (r *Reconciler) Attached(a ipam.Attachment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.attached(a)
}

// Missing returns the leases that were not seen, by attachment.
func (r *Reconciler) Missing() []Missing {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Missing
	for _, b := range r.core.absent {
		list = append(list, Missing{b.lease, b.first, b.first.Add(r.cfg.Grace), b.why})
	}
	slices.SortFunc(list, func(a, b Missing) int {
		return cmp.Or(cmp.Compare(a.Lease.Container, b.Lease.Container), cmp.Compare(a.Lease.IfName, b.Lease.IfName))
	})
	return list
}

// round observes once and frees what is due.
func (r *Reconciler) round(ctx context.Context) {
	observations, err := r.cfg.Observer.Observe(ctx, r.cfg.Leases())
	if err != nil {
		if !r.failing && ctx.Err() == nil {
			r.cfg.Log.Warn("cannot see which containers there are: no lease is freed until that works", "err", err)
		}
		r.failing = true
		return
	}
	r.failing = false
	r.mu.Lock()
	due := r.core.step(time.Now(), observations)
	r.mu.Unlock()
	for _, a := range due {
		if ctx.Err() != nil {
			return
		}
		r.free(ctx, a)
	}
}

// free releases the lease of an attachment that is due, unless it was attached meanwhile. The mutex is held throughout,
// so that an Attached that comes too late to save the lease makes its caller wait for the end of it, and lease anew.
func (r *Reconciler) free(ctx context.Context, a ipam.Attachment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.core.absent[a]
	if b == nil || !r.core.isDue(time.Now(), b) {
		return
	}
	log := r.cfg.Log.With("container", a.Container, "ifname", a.IfName, "addr", b.lease.IPv6)
	if b.lease.IPv4.IsValid() {
		log = log.With("ipv4", b.lease.IPv4)
	}
	if err := r.cfg.Release(ctx, b.lease); err != nil {
		log.Warn("cannot free the lease of a container that has gone", "err", err)
		return
	}
	r.core.attached(a)
	log.Info("freed the lease of a container that has gone", "why", b.why, "since", b.first)
}
