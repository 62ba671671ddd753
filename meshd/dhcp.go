package main

import (
	"net/netip"

	"meshnet/meshd/answer"
	"meshnet/meshd/token"
)

// dhcpModes are the modes by their names.
var dhcpModes = map[string]answer.Mode{token.DHCPOff: answer.Off, token.DHCPClosed: answer.Closed, token.DHCPOpen: answer.Open}

// dhcpOf returns whom this host answers DHCP. A bridge that others made may have their DHCP server on it.
func dhcpOf(s settings) string {
	switch {
	case s.DHCP != "":
		return s.DHCP
	case s.BridgeOwned:
		return token.DHCPOpen
	}
	return token.DHCPOff
}

// poolPrefixes returns the prefixes of pools.
func poolPrefixes(pools []token.Pool) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(pools))
	for i, p := range pools {
		prefixes[i] = p.Prefix
	}
	return prefixes
}
