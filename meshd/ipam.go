package main

import (
	"context"

	"meshnet/meshd/api"
)

// IPAM implements api.Backend.
func (d *daemon) IPAM(context.Context, string) ([]api.IPAM, error) { return nil, noIPv4() }

// IPAMCheck implements api.Backend.
func (d *daemon) IPAMCheck(context.Context, string) (api.IPAMCheck, error) {
	return api.IPAMCheck{}, noIPv4()
}

// Reserve implements api.Backend.
func (d *daemon) Reserve(context.Context, api.ReserveRequest) (api.Reservation, error) {
	return api.Reservation{}, noIPv4()
}

// Release implements api.Backend.
func (d *daemon) Release(context.Context, api.ReleaseRequest) (bool, error) { return false, noIPv4() }

// Recover implements api.Backend.
func (d *daemon) Recover(context.Context, string) (api.Recovered, error) {
	return api.Recovered{}, noIPv4()
}

// Adopt implements api.Backend.
func (d *daemon) Adopt(context.Context, string) (api.Adopted, error) {
	return api.Adopted{}, noIPv4()
}

// RemoveNode implements api.Backend.
func (d *daemon) RemoveNode(context.Context, api.RemoveNodeRequest) (api.Removed, error) {
	return api.Removed{}, noIPv4()
}

func noIPv4() error { return api.Errorf(api.Unavailable, "this meshd hands out no IPv4 addresses") }
