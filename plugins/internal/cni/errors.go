package cni

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
)

// Codes of these plugins; the specification leaves those from 100 on to plugins.
const (
	CodeExists    uint = 100 // the container has an interface of that name already
	CodeInterface uint = 101 // the interface could not be set up
	CodeCheck     uint = 102 // the interface or the attachment is not as it should be
	CodeMeshd     uint = 103 // meshd refused or failed
	CodeCollect   uint = 104 // GC: something that is dead could not be removed
)

// Coded returns err as a *types.Error with its code: its own, if it has one from another plugin.
func Coded(err error) error { return types.NewError(codeOf(err), err.Error(), "") }

func codeOf(err error) uint {
	var other *types.Error
	switch {
	case errors.As(err, &other):
		return other.Code
	case errors.Is(err, attach.ErrExists):
		return CodeExists
	case errors.Is(err, attach.ErrInterface):
		return CodeInterface
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
	return CodeMeshd
}

// Invalidf returns the error for a configuration that is wrong.
func Invalidf(format string, args ...any) error {
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf(format, args...), "")
}

// CheckContainer says whether meshd takes a container ID. The specification sets no limit to its length.
func CheckContainer(id string) error {
	if err := api.CheckContainer(id); err != nil {
		return types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID: "+err.Error(), "")
	}
	return nil
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

// Collected returns what GC could not do as one *types.Error, nil if it could do all. It is to be tried again if that is
// all that is to be done.
func Collected(errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	code := CodeCollect
	if errors.Is(err, api.ErrUnreachable) {
		code = types.ErrTryAgainLater
	}
	return types.NewError(code, "collecting garbage: "+strings.ReplaceAll(err.Error(), "\n", "; "), "")
}
