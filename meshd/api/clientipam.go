package api

import (
	"context"
	"net/http"
	"net/url"

	"meshnet/meshd/token"
)

// IPAM returns the use of the IPv4 addresses of a network, or of all networks if name is "".
func (c *Client) IPAM(ctx context.Context, name string) ([]IPAM, error) {
	l, err := get[IPAMList](ctx, c, http.MethodGet, networkPath(name)+"/ipam", nil)
	return l.IPAM, err
}

// IPAMCheck compares what the block registry, the members and this host say of a network's IPv4 addresses.
func (c *Client) IPAMCheck(ctx context.Context, name string) (IPAMCheck, error) {
	return inNetwork[IPAMCheck](ctx, c, http.MethodGet, name, "/ipam/check", nil)
}

// Reserve keeps addresses of a pool from being leased.
func (c *Client) Reserve(ctx context.Context, r ReserveRequest) (Reservation, error) {
	if err := r.check(); err != nil {
		return Reservation{}, Errorf(Invalid, "%w", err)
	}
	return inNetwork[Reservation](ctx, c, http.MethodPost, r.Network, "/ipam/reserve", r)
}

// Release gives a reservation back, and says whether there was one.
func (c *Client) Release(ctx context.Context, r ReleaseRequest) (bool, error) {
	if err := r.check(); err != nil {
		return false, Errorf(Invalid, "%w", err)
	}
	query := url.Values{"addresses": {r.Addresses.String()}}
	d, err := inNetwork[Released](ctx, c, http.MethodDelete, r.Network, "/ipam/reserve?"+query.Encode(), nil)
	return d.Released, err
}

// Recover makes this host's copy of the block registry the registry, after most of the voters were lost for good.
func (c *Client) Recover(ctx context.Context, name string) (Recovered, error) {
	return inNetwork[Recovered](ctx, c, http.MethodPost, name, "/ipam/recover", nil)
}

// Adopt moves this host to an older block registry of the same network.
func (c *Client) Adopt(ctx context.Context, name string) (Adopted, error) {
	return inNetwork[Adopted](ctx, c, http.MethodPost, name, "/ipam/adopt", nil)
}

// RemoveNode takes from a host that is gone what it has of the pools.
func (c *Client) RemoveNode(ctx context.Context, r RemoveNodeRequest) (Removed, error) {
	if err := r.check(); err != nil {
		return Removed{}, Errorf(Invalid, "%w", err)
	}
	path := "/nodes/" + url.PathEscape(r.Node)
	if r.Force {
		path += "?force=true"
	}
	return inNetwork[Removed](ctx, c, http.MethodDelete, r.Network, path, nil)
}

// inNetwork makes one call about the network called name.
func inNetwork[T any](ctx context.Context, c *Client, method, name, path string, body any) (answer T, err error) {
	if err := token.CheckName(name); err != nil {
		return answer, Errorf(Invalid, "%w", err)
	}
	return get[T](ctx, c, method, networkPath(name)+path, body)
}
