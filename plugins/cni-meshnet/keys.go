package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshnet/plugins/internal/netdev"
)

const (
	defaultMTU = 1500 // bytes, of the overlay (docs/protocol.md), against which bursts are checked
	ipamPlugin = "cni-meshnet-ipam"
)

// ownKeys are those that only this plugin reads.
var ownKeys = []string{"aliases", "bandwidth", "gateway", "ipv4", "ipv6", "isDefaultGateway", "mac", "mtu", "network", "routes", "socket"}

// known says whether a key may be in the configuration: it is one of this plugin's, or one that the specification defines
// (SPEC.md, "Configuration format").
func known(key string) bool {
	switch key {
	case "cniVersion", "cniVersions", "name", "disableCheck", "disableGC", "loadOnlyInlinedPlugins": // of the network
		return true
	case "type", "capabilities", "runtimeConfig", "args", "prevResult", "ipMasq", "ipam", "dns": // of each of its plugins
		return true
	}
	return slices.Contains(ownKeys, key) || strings.HasPrefix(key, "cni.dev/") // "Any keys starting with" it
}

// checkKeys says whether a configuration, which is a JSON object, has only keys that mean something.
func checkKeys(stdin []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(stdin, &keys); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !known(key) {
			return fmt.Errorf("unknown key %.40q; those of this plugin are %s", key, strings.Join(ownKeys, ", "))
		}
	}
	return nil
}

// named is netdev.CheckRate with the direction.
func named(direction string, r netdev.Rate, mtu int) error {
	if err := netdev.CheckRate(r, mtu); err != nil {
		return fmt.Errorf("%s: %w", direction, err)
	}
	return nil
}
