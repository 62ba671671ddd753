package attach

import (
	"context"

	"meshnet/meshd/api"
)

// Lease gives an interface that somebody else makes its addresses, and nothing else; the source of the request says so.
// Leasing again answers the same. Container and IfName are not looked at in the kernel.
func Lease(ctx context.Context, client *api.Client, r Request) (api.Attachment, error) {
	if err := checkIfName(r.IfName); err != nil {
		return api.Attachment{}, err
	}
	unlock, err := lock(ctx, r)
	if err != nil {
		return api.Attachment{}, err
	}
	defer unlock()
	return client.Attach(ctx, api.AttachRequest{
		Network: r.Network, Container: r.Container, IfName: r.IfName,
		AttachOptions: api.AttachOptions{Source: r.Source, NetNS: r.path(), IPv4: r.IPv4, CNINetwork: r.CNINetwork},
	})
}

// Release ends what Lease began. That there is nothing to end is success.
func Release(ctx context.Context, client *api.Client, r Request) error {
	unlock, err := lock(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	return release(ctx, client, r)
}

// Find returns meshd's attachment for a request. The error says that there is none, or why that is not known.
func Find(ctx context.Context, client *api.Client, r Request) (api.Attachment, error) {
	return find(ctx, client, r)
}
