package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// Key names a container interface.
type Key struct{ Container, IfName string }

// Scope says which attachments of this host a collection is about: those that Source has made for CNINetwork.
type Scope struct {
	Network    string // of meshd; "": whichever
	CNINetwork string
	Source     api.Source
	LockDir    string // as in Request
}

// Collect removes the attachments of a scope that are not among valid: interface, lease, and what limited its rate. It goes on
// after an error and returns all of them. Beside that it removes interfaces of this CNI network that have no attachment, and
// what interfaces that are gone have left.
func Collect(ctx context.Context, client *api.Client, s Scope, valid []Key) error {
	keep := make(map[Key]bool)
	ends := make(map[string]bool) // host's ends that stay
	for _, k := range valid {
		keep[k] = true
		ends[HostName(k.Container, k.IfName)] = true
	}
	list, err := client.Attachments(ctx, s.Network)
	if api.CodeOf(err) == api.NotFound { // the network has been left, and its leases with it
		list, err = nil, nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range list {
		if a.Source != s.Source || a.CNINetwork != s.CNINetwork || keep[Key{a.Container, a.IfName}] {
			ends[HostName(a.Container, a.IfName)] = true
			continue
		}
		if err := collect(ctx, client, s, a); err != nil {
			ends[HostName(a.Container, a.IfName)] = true
			errs = append(errs, fmt.Errorf("%s/%s: %w", a.Container, a.IfName, err))
		}
	}
	if s.Source == api.SourceCNI {
		errs = append(errs, collectEnds(ctx, s, ends), netdev.Sweep())
	}
	return errors.Join(errs...)
}

// collectTimeout limits the removal of one attachment, so that one that hangs does not keep the others.
const collectTimeout = 5 * time.Second

func collect(ctx context.Context, client *api.Client, s Scope, a api.Attachment) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	r := Request{
		Network: a.Network, Container: a.Container, IfName: a.IfName, Source: a.Source, CNINetwork: a.CNINetwork, LockDir: s.LockDir,
	}
	if a.Source == api.SourceCNIIPAM { // its interface is another plugin's
		return release(ctx, client, r)
	}
	return Del(ctx, client, r)
}

// collectEnds removes the host's ends of the CNI network that are not among those that stay.
func collectEnds(ctx context.Context, s Scope, stay map[string]bool) error {
	names, err := netdev.List(cniAlias(s.CNINetwork))
	errs := []error{err}
	for _, name := range names {
		if stay[name] {
			continue
		}
		unlock, err := lockName(ctx, s.LockDir, name)
		if err == nil {
			err = deleteEnd(name, cniAlias(s.CNINetwork))
			unlock()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// deleteEnd removes a host's end that has the alias still: another CNI network may have made one of that name since it was listed.
func deleteEnd(name, alias string) error {
	if now, there, err := netdev.Alias(name); err != nil || !there || now != alias {
		return err
	}
	return netdev.Delete(name)
}
