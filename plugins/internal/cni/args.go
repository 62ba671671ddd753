package cni

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Args are the CNI_ARGS that mean something to these plugins (CONVENTIONS.md, "CNI_ARGS"; deprecated there, and in use).
type Args struct {
	IPs []string
	MAC string
}

// ParseArgs reads CNI_ARGS, KEY=VALUE;KEY=VALUE. A key that is neither one of Args nor in others is an error unless IgnoreUnknown
// is set, and a key that is there twice always is. The error is a *types.Error.
func ParseArgs(text string, others ...string) (Args, error) {
	var a Args
	var unknown []string
	seen := make(map[string]bool)
	ignore := false
	for pair := range strings.SplitSeq(text, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return Args{}, argsError("%.80q is not KEY=VALUE", pair)
		}
		if seen[key] {
			return Args{}, argsError("%.80q is there twice", key)
		}
		seen[key] = true
		switch {
		case key == "IP" && value != "":
			a.IPs = strings.Split(value, ",")
		case key == "MAC":
			a.MAC = value
		case key == "IgnoreUnknown":
			b := new(types.UnmarshallableBool)
			if err := b.UnmarshalText([]byte(value)); err != nil {
				return Args{}, argsError("IgnoreUnknown is %.80q, neither true nor false", value)
			}
			ignore = bool(*b)
		case key != "IP" && !slices.Contains(others, key):
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 && !ignore {
		return Args{}, argsError("unknown key %.80q; IgnoreUnknown=1 would let it pass", unknown[0])
	}
	return a, nil
}

func argsError(format string, args ...any) error {
	return types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_ARGS: "+fmt.Sprintf(format, args...), "")
}
