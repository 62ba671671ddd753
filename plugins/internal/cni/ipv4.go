package cni

import (
	"net/netip"
	"strings"

	"meshnet/meshd/api"
)

// AddressRequest is where a runtime says which addresses it wants.
type AddressRequest struct {
	Runtime []string // runtimeConfig.ips, which a runtime fills in if the configuration declares the capability ips
	Args    []string // args.cni.ips
	Env     []string // IP in CNI_ARGS
	NoIPv4  bool     // the configuration says that there shall be no IPv4 address
}

// IPv4 returns which IPv4 address is asked for, as api.AttachOptions says it. Of several places that name one, the one that
// is first in AddressRequest counts, as it does for the CNI project's own plugins. The length of a prefix is allowed and does
// not matter: that of the pool counts. The error is a *types.Error.
func (r AddressRequest) IPv4() (string, error) {
	ips := r.Env
	if len(r.Args) > 0 {
		ips = r.Args
	}
	if len(r.Runtime) > 0 {
		ips = r.Runtime
	}
	switch {
	case r.NoIPv4 && len(ips) > 0:
		return "", Invalidf("ipv4 is false, and the address %.64s is asked for", ips[0])
	case r.NoIPv4:
		return api.NoIPv4, nil
	case len(ips) == 0:
		return "", nil
	case len(ips) > 1:
		return "", Invalidf("the addresses %.200s are asked for; a container gets one IPv4 address of its choice", strings.Join(ips, ", "))
	}
	return parseIPv4(ips[0])
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
		return "", Invalidf("the address that is asked for, %.64q, is none", text)
	case !addr.Is4():
		return "", Invalidf("the address %v is asked for; only IPv4 addresses can be chosen, IPv6 addresses follow from the container's name", addr)
	case addr.IsUnspecified() || addr.IsMulticast():
		return "", Invalidf("the address %v is asked for, which no container can have", addr)
	}
	return addr.String(), nil
}
