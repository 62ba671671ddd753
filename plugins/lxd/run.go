package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"meshnet/meshd/api"
)

const (
	pollInterval   = 15 * time.Second       // between two looks without an event: events get lost, and meshd sends none
	reconnectAfter = 2 * time.Second        // an LXD or meshd that does not answer is asked again
	settle         = 50 * time.Millisecond  // what happens together is looked at together
	moveInterval   = 250 * time.Millisecond // between two looks at meshd while an instance is being moved here
	moveTimeout    = time.Minute            // and for how long
	callTimeout    = 20 * time.Second       // of the calls of meshd in one look
	formerAge      = 10 * time.Minute       // how long it is remembered which addresses an interface had on another host
)

// daemon is what meshnet-lxd needs of meshd; *api.Client is one.
type daemon interface {
	Networks(ctx context.Context) ([]api.Network, error)
	Attachments(ctx context.Context, network string) ([]api.Attachment, error)
	Leases(ctx context.Context, network string) ([]api.Lease, error)
	Attach(ctx context.Context, r api.AttachRequest) (api.Attachment, error)
	Detach(ctx context.Context, r api.DetachRequest) (bool, error)
}

// runner keeps attachments as instances are. It is used by one goroutine.
type runner struct {
	meshd   daemon
	log     *slog.Logger
	retries retries
	former  map[api.MAC]formerAddrs
	waiting map[api.AttachmentName]time.Time // for another host to release the MAC, and since when
	said    map[string]bool                  // problems that have been logged, and last
	failure string                           // that was logged last
}

// formerAddrs are the addresses of an interface on another host.
type formerAddrs struct {
	addrs []netip.Addr
	seen  time.Time
}

func newRunner(meshd daemon, log *slog.Logger) *runner {
	return &runner{meshd: meshd, log: log, retries: make(retries), former: make(map[api.MAC]formerAddrs)}
}

// run keeps attachments as LXD's instances are until ctx ends. LXD and meshd may come and go.
func (r *runner) run(ctx context.Context, socket string) {
	for ctx.Err() == nil {
		err := r.session(ctx, socket)
		if ctx.Err() != nil {
			return
		}
		r.fail(err)
		wait(ctx, reconnectAfter)
	}
}

// session does so with one connection to LXD, until that ends.
func (r *runner) session(ctx context.Context, socket string) error {
	s, err := connect(ctx, socket)
	if err != nil {
		return err
	}
	defer s.Disconnect()
	kick := make(chan struct{}, 1)
	listener, err := s.changes(kick)
	if err != nil {
		return err
	}
	defer listener.Disconnect()
	ended := make(chan error, 1)
	go func() { ended <- listener.Wait() }()
	defer func() { listener.Disconnect(); <-ended }()
	var nics []nic
	for again := true; ; {
		if again {
			if nics, err = s.nics(); err != nil {
				return err
			}
		}
		var next time.Duration
		next, again = r.look(ctx, nics)
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			ended <- nil
			return fmt.Errorf("%w: it has ended the connection: %w", errNoLXD, err)
		case <-time.After(next):
		case <-kick:
			wait(ctx, settle)
			again = true
		}
	}
}

// look compares once, and returns after what time to do so again, and whether to ask LXD anew then. That meshd does not answer is logged.
func (r *runner) look(ctx context.Context, nics []nic) (next time.Duration, again bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := r.reconcile(ctx, time.Now(), nics); err != nil {
		r.fail(err)
		return reconnectAfter, true
	}
	r.fail(nil)
	now := time.Now()
	for _, since := range r.waiting {
		if now.Sub(since) < moveTimeout {
			return moveInterval, false
		}
	}
	return min(pollInterval, r.retries.next(now)), true
}

// reconcile makes the attachments of all networks that run what nics says. The error is that meshd does not answer.
func (r *runner) reconcile(ctx context.Context, now time.Time, nics []nic) error {
	networks, err := r.meshd.Networks(ctx)
	if err != nil {
		return err
	}
	var problems []problem
	for _, n := range networks {
		if n.State != api.NetworkUp {
			continue
		}
		v := view{network: n}
		if v.attachments, err = r.meshd.Attachments(ctx, n.Name); err == nil {
			v.leases, err = r.meshd.Leases(ctx, n.Name)
		}
		if api.CodeOf(err) == api.Unavailable || api.CodeOf(err) == api.NotFound { // it has stopped meanwhile
			continue
		}
		if err != nil {
			return err
		}
		v.former = r.remember(now, v.leases, nics)
		changes, wrong := plan(v, nics)
		problems = append(problems, wrong...)
		for _, c := range changes {
			failed, err := r.do(ctx, now, c)
			if errors.Is(err, api.ErrUnreachable) {
				return err
			}
			problems = append(problems, failed...)
		}
	}
	r.await(now, problems)
	r.say(problems)
	return nil
}

// await notes who waits for another host.
func (r *runner) await(now time.Time, problems []problem) {
	waiting := make(map[api.AttachmentName]time.Time)
	for _, p := range problems {
		if !p.waits {
			continue
		}
		waiting[p.name] = now
		if since, ok := r.waiting[p.name]; ok {
			waiting[p.name] = since
		}
	}
	r.waiting = waiting
}

// do makes one change. What could not be had is a problem, and tried again later.
func (r *runner) do(ctx context.Context, now time.Time, c change) ([]problem, error) {
	if c.attach == nil {
		name := api.AttachmentName{Container: c.detach.Container, IfName: c.detach.IfName}
		if _, err := r.meshd.Detach(ctx, c.detach); err != nil {
			return []problem{{name: name, text: "releasing its addresses: " + err.Error()}}, err
		}
		r.log.Info("released", "network", c.detach.Network, "container", name.Container, "ifname", name.IfName)
		return nil, nil
	}
	name := api.AttachmentName{Container: c.attach.Container, IfName: c.attach.IfName}
	if text, waits := r.retries.waits(now, *c.attach); waits {
		return text, nil
	}
	a, err := r.attach(ctx, c)
	var failed []problem
	if err != nil {
		failed = []problem{{name: name, text: err.Error()}}
	}
	r.retries.note(now, *c.attach, failed)
	if len(a.Addresses) > 0 {
		r.log.Info("attached", "network", a.Network, "container", a.Container, "ifname", a.IfName, "mac", a.MAC, "addrs", fmt.Sprint(a.Addresses))
	}
	return failed, err
}

// attach attaches an interface, and if the addresses that are asked for, or any of IPv4, cannot be had, with what can. It returns the
// attachment, if there is one now, and what could not be had, unless nobody asked for it.
func (r *runner) attach(ctx context.Context, c change) (api.Attachment, error) {
	want := *c.attach
	a, err := r.meshd.Attach(ctx, want)
	if err == nil || errors.Is(err, api.ErrUnreachable) {
		return a, err
	}
	if want.Former != nil && want.Former.Container == want.Container && want.Former.IfName == want.IfName {
		return a, err // it keeps what it has
	}
	less := want
	less.IPv4, less.IPv6 = "", netip.Addr{}
	if less.IPv4 != want.IPv4 || less.IPv6 != want.IPv6 {
		b, failure := r.meshd.Attach(ctx, less)
		if failure == nil {
			if !c.asked {
				err = nil
			}
			return b, err
		}
		err = failure
	}
	if api.CodeOf(err) == api.Unavailable { // IPv6 goes on
		less.IPv4 = api.NoIPv4
		if b, failure := r.meshd.Attach(ctx, less); failure == nil {
			return b, err
		}
	}
	return a, err
}

// remember returns the addresses that interfaces had on other hosts: an instance that is moved to this one keeps its MAC.
func (r *runner) remember(now time.Time, leases []api.Lease, nics []nic) map[api.MAC][]netip.Addr {
	ours := make(map[api.MAC]bool)
	for _, n := range nics {
		ours[n.mac] = true
	}
	local := make(map[api.MAC]bool)
	for _, l := range leases {
		if l.Local {
			local[l.MAC] = true
		} else {
			r.former[l.MAC] = formerAddrs{l.Addresses, now}
		}
	}
	addrs := make(map[api.MAC][]netip.Addr)
	for mac, f := range r.former {
		if local[mac] || now.Sub(f.seen) > formerAge {
			delete(r.former, mac)
		} else if ours[mac] {
			addrs[mac] = f.addrs
		}
	}
	return addrs
}

// fail logs why instances are not looked after now, or that they are again.
func (r *runner) fail(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == r.failure {
		return
	}
	if err != nil {
		r.log.Warn("waiting", "err", err)
	} else {
		r.log.Info("instances are looked after again")
	}
	r.failure = text
}

// say logs the problems that are new.
func (r *runner) say(problems []problem) {
	said := make(map[string]bool)
	for _, p := range problems {
		key := p.name.Container + "/" + p.name.IfName + ": " + p.text
		said[key] = true
		if !r.said[key] {
			r.log.Warn("an interface is not as it is to be", "container", p.name.Container, "ifname", p.name.IfName, "err", p.text)
		}
	}
	r.said = said
}

// wait waits until d is over or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
