package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// known says whether a key may be in the configuration: it is one of this plugin's, or one that the specification defines
// (SPEC.md, "Configuration format") and this plugin need not act on.
func known(key string) bool {
	switch key {
	case "network", "socket", "mtu", "ipv4":
		return true
	case "cniVersion", "cniVersions", "name", "disableCheck", "disableGC", "loadOnlyInlinedPlugins": // of the network
		return true
	case "type", "capabilities", "runtimeConfig", "args", "prevResult", "ipMasq", "dns": // of each of its plugins
		return true
	}
	return strings.HasPrefix(key, "cni.dev/") // "Any keys starting with" it
}

// checkKeys says whether a configuration, which is a JSON object, has only keys that mean something.
func checkKeys(stdin []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(stdin, &keys); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "ipam" {
			if err := checkIPAM(keys[key]); err != nil {
				return err
			}
			continue
		}
		if !known(key) {
			return fmt.Errorf("unknown key %.40q; those of this plugin are network, socket, mtu and ipv4", key)
		}
	}
	return nil
}

// checkIPAM refuses ipam, unless it says nothing.
func checkIPAM(value json.RawMessage) error {
	var ipam map[string]any
	if err := json.Unmarshal(value, &ipam); err != nil || len(ipam) > 0 {
		return errors.New("ipam: this version delegates to no IPAM plugin, meshd gives the addresses; leave the key out")
	}
	return nil
}

// decodeError says of a value of the wrong type what is right, in JSON's words. Other errors stay as they are.
func decodeError(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	field := strings.TrimPrefix(wrong.Field, "PluginConf.") // embedded in config
	if field == "" {
		field = "the configuration"
	}
	want := "an object"
	switch wrong.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Int:
		want = "a whole number"
	case reflect.Bool:
		want = "true or false"
	case reflect.Slice:
		want = "a list"
	}
	return fmt.Errorf("%s must be %s, not: %s", field, want, wrong.Value)
}
