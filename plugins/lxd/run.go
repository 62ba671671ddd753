package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
