package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meshnet/meshd/api"
)

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
