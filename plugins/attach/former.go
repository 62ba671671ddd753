package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// makeWay removes what is in the way of the container's interface. The error wraps ErrExists if the container has it
// already: in ns, or in another namespace in which it runs. Both are found before meshd is asked, since an attachment
// that is in use must survive a second Add.
//
// A former run of the same container does not count. Its namespace may outlive it, held by a process that has entered
// it (nsenter, tcpdump), when LXC reboots the container or somebody has made a new namespace under the old name. It is
// a former one if the path by which it was attached, a name or a process, does not lead to its namespace any more.
func makeWay(ctx context.Context, client *api.Client, ns *netdev.Namespace, r Request) error {
	if err := ns.CheckFree(r.IfName); err != nil {
		return err
	}
	host := netdev.HostName(r.Container, r.IfName)
	err := ns.CheckStale(host)
	if !errors.Is(err, netdev.ErrElsewhere) {
		return err
	}
	former, err := isFormer(ctx, client, r, host)
	if err != nil {
		return err
	}
	if !former {
		return elsewhereError{r.Container}
	}
	return netdev.Delete(host)
}

// isFormer says whether the container has left the namespace that the other end of host is in. Without an attachment,
// nobody knows; then it has not.
func isFormer(ctx context.Context, client *api.Client, r Request, host string) (bool, error) {
	r.Network = "" // whichever it was
	a, err := find(ctx, client, r)
	if errors.Is(err, errNotAttached) || err == nil && a.NetNS == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	leads, err := netdev.LeadsTo(a.NetNS, host)
	return !leads, err
}

// isForeign says whether the interface that is to be taken off on behalf of a CNI runtime was put on by somebody else under the same
// name, or for another CNI network. The alias says of most interfaces which CNI network they are of; of others meshd is asked, and
// while it does not answer they stay.
func isForeign(ctx context.Context, client *api.Client, r Request) (bool, error) {
	if r.Source != api.SourceCNI {
		return false, nil
	}
	alias, there, err := netdev.Alias(netdev.HostName(r.Container, r.IfName))
	if err != nil || !there || alias == cniAlias(r.CNINetwork) {
		return false, err
	}
	if strings.HasPrefix(alias, cniAlias("")) {
		return true, nil
	}
	r.Network = ""
	a, err := find(ctx, client, r)
	if errors.Is(err, errNotAttached) {
		return false, nil
	}
	return err == nil && a.Source != api.SourceCNI, err
}

// elsewhereError is an ErrExists that says where the interface is.
type elsewhereError struct{ container string }

func (e elsewhereError) Error() string {
	return fmt.Sprintf("container %s has an interface in another running network namespace; detach it first, or give this container another name",
		e.container)
}

func (e elsewhereError) Unwrap() error { return ErrExists }
