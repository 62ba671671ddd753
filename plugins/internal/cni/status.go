package cni

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
)

// Status says whether containers can be attached to the network called name, or to the only one if name is "": meshd is asked,
// and if ipv4 is set it makes sure that it has an address to lease. The error is a *types.Error: 50, or 51 if containers that
// are there reach no other host now ("existing containers in the network may have limited connectivity", SPEC.md, "Error").
func Status(ctx context.Context, client *api.Client, name string, ipv4 bool) error {
	if name == "" {
		networks, err := client.Networks(ctx)
		if err != nil {
			return unavailable(err)
		}
		if len(networks) != 1 {
			return unavailable(fmt.Errorf("the configuration names no network, and this host is a member of %s", list(networks)))
		}
		name = networks[0].Name
	}
	r, err := client.Ready(ctx, name)
	if err != nil {
		return unavailable(err)
	}
	switch {
	case r.State != api.NetworkUp && r.Error != "":
		err = fmt.Errorf("network %s is %s: %s", name, r.State, r.Error)
	case r.State != api.NetworkUp:
		err = fmt.Errorf("network %s is %s", name, r.State)
	case ipv4 && r.NoIPv4 != "":
		err = fmt.Errorf("network %s: %s", name, r.NoIPv4)
	}
	// If one other host cannot be reached, that one may be down: containers here must start all the same.
	if r.State == api.NetworkUp && r.Peers.Total > 1 && r.Peers.Up == 0 {
		text := fmt.Sprintf("network %s: none of the %d other hosts can be reached (meshctl peers)", name, r.Peers.Total)
		if err != nil {
			text += "; " + err.Error()
		}
		return types.NewError(types.ErrLimitedConnectivity, text, "")
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error {
	return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
}
