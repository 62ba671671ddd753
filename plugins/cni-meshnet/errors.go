package main

import (
	"context"
	"errors"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
)

// Codes of this plugin; the specification leaves those from 100 on to plugins.
const (
	codeExists    uint = 100 // the container has an interface of that name already
	codeInterface uint = 101 // the interface could not be set up
	codeCheck     uint = 102 // the interface or the attachment is not as it should be
	codeMeshd     uint = 103 // meshd refused or failed
)

// explain returns err as a *types.Error with its code. For an unknown network, the details list those there are.
func explain(ctx context.Context, client *api.Client, c *config, err error) error {
	e := types.NewError(codeOf(err), err.Error(), "")
	if api.CodeOf(err) == api.NotFound {
		if networks, lerr := client.Networks(ctx); lerr == nil {
			e.Details = "network in the configuration: " + quoteOrNone(c.Network) + "; this host is a member of " + list(networks)
		}
	}
	return e
}

func codeOf(err error) uint {
	switch {
	case errors.Is(err, attach.ErrExists):
		return codeExists
	case errors.Is(err, attach.ErrInterface):
		return codeInterface
	case errors.Is(err, attach.ErrNoNamespace), errors.Is(err, attach.ErrHost):
		return types.ErrInvalidNetNS
	case errors.Is(err, api.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return types.ErrTryAgainLater
	}
	switch api.CodeOf(err) {
	case api.Invalid, api.NotFound, api.Conflict:
		return types.ErrInvalidNetworkConfig
	case api.Unavailable:
		return types.ErrTryAgainLater
	}
	return codeMeshd
}

// list names networks for people.
func list(networks []api.Network) string {
	if len(networks) == 0 {
		return "no network (meshctl network create, meshctl network join)"
	}
	var names []string
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

func quoteOrNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
