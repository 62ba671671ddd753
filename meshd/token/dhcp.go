package token

import "fmt"

// Whom a host answers DHCP. What is not said is DHCPOpen in a bridge that meshd makes, and DHCPOff in one that others make.
const (
	DHCPOpen   = "open"   // every container; one that was not attached gets a lease of its own
	DHCPClosed = "closed" // attached containers
	DHCPOff    = "off"    // nobody: there is another DHCP server on the bridge, or none is wanted
)

// CheckDHCP says whether s is one of these, or "", which is the default.
func CheckDHCP(s string) error {
	switch s {
	case "", DHCPOpen, DHCPClosed, DHCPOff:
		return nil
	}
	return fmt.Errorf("%.20q is not %q, %q or %q", s, DHCPOpen, DHCPClosed, DHCPOff)
}
