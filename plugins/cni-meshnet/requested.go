package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
)

// requestedIPv4 returns which IPv4 address is asked for, as api.AttachOptions says it. Of several places that name one,
// the last counts, as it does for the CNI project's own plugins: IP in CNI_ARGS (deprecated in CONVENTIONS.md),
// args.cni.ips, and runtimeConfig.ips, which a runtime fills in if the configuration declares the capability ips. The
// length of a prefix is allowed and does not matter: that of the pool counts. The error is a *types.Error.
func (c *config) requestedIPv4(cniArgs string) (string, error) {
	none := c.IPv4 != nil && !*c.IPv4
	ips := fromArgs(cniArgs)
	if len(c.Args.CNI.IPs) > 0 {
		ips = c.Args.CNI.IPs
	}
	if len(c.RuntimeConfig.IPs) > 0 {
		ips = c.RuntimeConfig.IPs
	}
	switch {
	case none && len(ips) > 0:
		return "", invalidf("ipv4 is false, and the address %s is asked for", ips[0])
	case none:
		return api.NoIPv4, nil
	case len(ips) == 0:
		return "", nil
	case len(ips) > 1:
		return "", invalidf("the addresses %s are asked for; a container gets one IPv4 address of its choice", strings.Join(ips, ", "))
	}
	return parseIPv4(ips[0])
}

// fromArgs returns the addresses of IP=A,B in CNI_ARGS, which is KEY=VALUE;KEY=VALUE.
func fromArgs(cniArgs string) []string {
	for pair := range strings.SplitSeq(cniArgs, ";") {
		if key, value, ok := strings.Cut(pair, "="); ok && key == "IP" && value != "" {
			return strings.Split(value, ",")
		}
	}
	return nil
}

// parseIPv4 checks an address, with or without the length of a prefix, and returns it without.
func parseIPv4(text string) (string, error) {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(text)
	if p, perr := netip.ParsePrefix(text); perr == nil {
		addr, err = p.Addr(), nil
	}
	switch {
	case err != nil:
		return "", invalidf("the address that is asked for, %.64q, is none", text)
	case !addr.Is4():
		return "", invalidf("the address %v is asked for; only IPv4 addresses can be chosen, IPv6 addresses follow from the container's name", addr)
	}
	return addr.String(), nil
}

func invalidf(format string, args ...any) error {
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf(format, args...), "")
}
