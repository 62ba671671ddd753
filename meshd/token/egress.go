package token

import "fmt"

// How a host's containers reach what is outside the network.
const (
	EgressNone = "none" // not at all
	EgressNAT  = "nat"  // through their host, with an address of it
)

// CheckEgress says whether s is one of these, or "", which is EgressNone.
func CheckEgress(s string) error {
	switch s {
	case "", EgressNone, EgressNAT:
		return nil
	}
	return fmt.Errorf("%.20q is not %q or %q", s, EgressNAT, EgressNone)
}
