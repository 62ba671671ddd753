package attach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// Sentinels of this package's errors.
var (
	ErrNoNamespace = netdev.ErrNoNamespace // the container's network namespace is gone, or never was
	ErrHost        = netdev.ErrHost        // that namespace is the host's
	ErrExists      = netdev.ErrExists      // the container has an interface of that name already
	ErrInterface   = errors.New("setting up the interface")
	ErrLost        = errors.New("its IPv4 address is lost") // Check: meshd has taken it from the container
)

// undoTimeout limits how long Add spends on telling meshd that it failed.
const undoTimeout = 5 * time.Second

// Add puts the container on the overlay. The error wraps ErrNoNamespace, ErrHost, ErrExists, or ErrInterface if the
// interface could not be set up; other errors are of client.Attach.
//
// No other Add or Del for the same interface runs at the same time. So an attachment that is younger than this Add is its
// own, and only that is undone, and what IPAM gave: a lease keeps the time of its first attach (api.Attachment.Created), and whoever made
// one in the very millisecond in which Add began, and let go of the lock, has the interface too, and makeWay finds that.
func Add(ctx context.Context, client *api.Client, r Request) (Result, error) {
	if err := checkIfName(r.IfName); err != nil {
		return Result{}, err
	}
	ns, err := open(r)
	if err != nil {
		return Result{}, err
	}
	defer ns.Close()
	unlock, err := lock(ctx, r)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if r.HostLink == "" {
		if err := makeWay(ctx, client, ns, r); err != nil {
			return Result{}, err
		}
	}
	began := time.Now().Truncate(time.Millisecond) // as api.Attachment.Created
	a, err := client.Attach(ctx, api.AttachRequest{
		Network: r.Network, Container: r.Container, IfName: r.IfName,
		AttachOptions: api.AttachOptions{
			MTU: r.MTU, Source: r.Source, NetNS: r.path(), IPv4: r.IPv4, MAC: r.WantMAC, CNINetwork: r.CNINetwork, Aliases: r.Aliases,
		},
	})
	if err != nil {
		return Result{}, err
	}
	result, err := equip(ctx, ns, r, a)
	if err == nil {
		return result, nil
	}
	if created := !a.Created.Before(began); created {
		if uerr := undo(ctx, client, a); uerr != nil {
			err = fmt.Errorf("%w; %w", err, uerr)
		}
	}
	return Result{}, err
}

// equip gives the container what it needs beside the lease. After an error nothing of it remains.
func equip(ctx context.Context, ns *netdev.Namespace, r Request, a api.Attachment) (Result, error) {
	if r.IPAM == nil {
		return setUp(ns, r, a)
	}
	// There is no interface, so whatever IPAM has under this name is of a former run, or of this one, and goes in any case
	// ("should execute again with DEL", SPEC.md, "Delegated Plugins").
	given, err := r.IPAM.Add(ctx)
	if err == nil {
		var result Result
		r.Addressing = &given
		if result, err = setUp(ns, r, a); err == nil {
			return result, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if derr := r.IPAM.Del(ctx); derr != nil {
		err = fmt.Errorf("%w; taking the addresses back: %w", err, derr)
	}
	return Result{}, err
}

func setUp(ns *netdev.Namespace, r Request, a api.Attachment) (Result, error) {
	p, err := place(r, a)
	if err != nil {
		return Result{}, err
	}
	a.Addresses = p.addrs
	config := configOf(r, a)
	config.Routes = p.routes
	var ends netdev.Ends
	if err := leaveToRuntime(&config, r.RuntimeIPv4); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInterface, err)
	}
	if r.HostLink == "" {
		ends, err = netdev.Add(ns, config)
	} else {
		ends, err = netdev.Adopt(ns, config)
	}
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInterface, err)
	}
	return Result{Attachment: a, Gateways: p.gateways, Routes: p.routes, HostName: config.HostName, HostMAC: ends.Host}, nil
}

// leaveToRuntime takes the address that a runtime is going to set out of those that are set now.
func leaveToRuntime(c *netdev.Config, address netip.Prefix) error {
	if !address.IsValid() {
		return nil
	}
	i := slices.IndexFunc(c.Addrs, func(p netip.Prefix) bool { return p.Addr().Is4() })
	if i < 0 {
		return fmt.Errorf("the runtime is going to set %v, and the attachment has no IPv4 address: remove it from the container's configuration", address)
	}
	if c.Addrs[i] != address {
		return fmt.Errorf("the runtime is going to set %v, and the attachment has %v: write that in the container's configuration", address, c.Addrs[i])
	}
	c.Later = []netip.Prefix{address}
	c.Addrs = slices.Delete(slices.Clone(c.Addrs), i, i+1)
	return nil
}

// undo releases an attachment, even when ctx has ended.
func undo(ctx context.Context, client *api.Client, a api.Attachment) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_, err := client.Detach(ctx, api.DetachRequest{Network: a.Network, Container: a.Container, IfName: a.IfName})
	if err != nil {
		return fmt.Errorf("releasing the attachment again: %w", err)
	}
	return nil
}

// Del takes the container off the overlay. That there is nothing of it any more, or that its network has been left, is
// success, and so is that what CNI shall take off is LXC's or meshctl's, or of another CNI network: it stays. The interface goes even if meshd cannot be told; but
// while it could not be removed, the addresses stay leased: the container has them.
func Del(ctx context.Context, client *api.Client, r Request) error {
	unlock, err := lock(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	foreign, err := isForeign(ctx, client, r)
	if err != nil {
		return err
	}
	if r.HostLink == "" && !foreign { // else the runtime removes its own
		if err := netdev.Delete(netdev.HostName(r.Container, r.IfName)); err != nil {
			return err
		}
	}
	var ierr error
	if r.IPAM != nil && !foreign {
		ierr = r.IPAM.Del(ctx)
	}
	return errors.Join(ierr, release(ctx, client, r))
}

// release ends the lease of a request. A CNI runtime's word is about what CNI has attached; other programs have no
// such order of things.
func release(ctx context.Context, client *api.Client, r Request) error {
	d := api.DetachRequest{Network: r.Network, Container: r.Container, IfName: r.IfName}
	if r.Source == api.SourceCNI || r.Source == api.SourceCNIIPAM {
		d.Source, d.CNINetwork = r.Source, r.CNINetwork
	}
	_, err := client.Detach(ctx, d)
	if api.CodeOf(err) == api.NotFound {
		return nil
	}
	return err
}

// Check says whether the container's interface is as meshd's attachment wants it. The error says what is not.
func Check(ctx context.Context, client *api.Client, r Request) (api.Attachment, error) {
	a, err := find(ctx, client, r)
	if err != nil {
		return api.Attachment{}, err
	}
	ns, err := open(r)
	if err != nil {
		return api.Attachment{}, err
	}
	defer ns.Close()
	p, err := place(r, a)
	if err != nil {
		return api.Attachment{}, err
	}
	a.Addresses = p.addrs
	config := configOf(r, a)
	config.Routes = p.routes
	if r.MAC != nil {
		config.MAC = r.MAC
	}
	if a.Lost.IsValid() {
		return api.Attachment{}, fmt.Errorf("%s/%s: %w: %v is this host's no more and may be given to another container; detach it and attach "+
			"it again, or restart it", r.Container, r.IfName, ErrLost, a.Lost)
	}
	if err := netdev.Check(ns, config); err != nil {
		return api.Attachment{}, fmt.Errorf("checking the interface: %w", err)
	}
	return a, nil
}

// errNotAttached begins the error of a find that finds nothing.
var errNotAttached = errors.New("meshd knows of no attachment")

// find returns meshd's attachment for a request.
func find(ctx context.Context, client *api.Client, r Request) (api.Attachment, error) {
	list, err := client.Attachments(ctx, r.Network)
	if err != nil {
		return api.Attachment{}, err
	}
	for _, a := range list {
		if a.Container == r.Container && a.IfName == r.IfName {
			return a, nil
		}
	}
	return api.Attachment{}, fmt.Errorf("%w %s/%s", errNotAttached, r.Container, r.IfName)
}

func open(r Request) (*netdev.Namespace, error) {
	switch {
	case r.NetNS != "":
		return netdev.OpenPath(r.NetNS)
	case r.PID > 0:
		return netdev.OpenPID(r.PID)
	}
	return nil, errors.New("neither a network namespace nor a process of the container is given")
}
