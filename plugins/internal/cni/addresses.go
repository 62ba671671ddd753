package cni

import (
	"encoding/json"
	"net/netip"
)

// Addresses is one address or several, as a configuration has them. A string that is no address is found by Parse.
type Addresses []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *Addresses) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*a = Addresses{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// Parse returns the addresses of gateways: at most one of each family. The error is a *types.Error.
func (a Addresses) Parse() ([]netip.Addr, error) {
	var list []netip.Addr
	for _, text := range a {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
			return nil, Invalidf("gateway %.64q is not an address", text)
		}
		list = append(list, addr.Unmap())
	}
	if len(list) > 2 || len(list) == 2 && list[0].Is4() == list[1].Is4() {
		return nil, Invalidf("the gateways %v are too many; one of each family is possible", list)
	}
	return list, nil
}
