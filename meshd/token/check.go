package token

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The overlay's MTU, in bytes, lies between these. Below 1280 there is no IPv6 (RFC 8200 §5); 9216 is what switches
// call jumbo.
const (
	MinMTU     = 1280
	DefaultMTU = 1500
	MaxMTU     = 9216
)

// maxEndpoint is the length of the longest endpoint, in bytes: one byte says it.
const maxEndpoint = 255

// MaxEndpoints is the number of endpoints that one token carries at most.
const MaxEndpoints = 8

// CheckMTU says whether an overlay may have this MTU, in bytes.
func CheckMTU(mtu int) error {
	if mtu < MinMTU || mtu > MaxMTU {
		return fmt.Errorf("MTU %d is not between %d and %d", mtu, MinMTU, MaxMTU)
	}
	return nil
}

// CheckIPv6 says whether p has the form of an overlay's IPv6 prefix: 48 to 64 bits, no host bits, no group address. Which
// prefixes are fit for use is the business of package ipam.
func CheckIPv6(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("there is no IPv6 prefix")
	case !a.Is6() || a.Is4In6():
		return fmt.Errorf("%v is not an IPv6 prefix", p)
	case p.Bits() < 48 || p.Bits() > 64:
		return fmt.Errorf("IPv6 prefix %v has %d bits; 48 to 64 are allowed", p, p.Bits())
	case p != p.Masked():
		return fmt.Errorf("IPv6 prefix %v has host bits; did you mean %v?", p, p.Masked())
	case a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified():
		return fmt.Errorf("IPv6 prefix %v is not a unicast prefix that can be routed", p)
	}
	return nil
}

// CheckEndpoint says whether s is an endpoint as a person writes it: "HOST:PORT", where HOST is an IPv4 address, an
// IPv6 address in brackets or a DNS name, and PORT a decimal number from 1 to 65535.
func CheckEndpoint(s string) error {
	if len(s) > maxEndpoint {
		return fmt.Errorf("endpoint %q has %d bytes; at most %d are allowed", clip(s), len(s), maxEndpoint)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, perr := netip.ParseAddr(s); perr == nil {
			return fmt.Errorf("endpoint %q has no port; write %s", s, net.JoinHostPort(s, "7000"))
		}
		return fmt.Errorf("endpoint %q is not HOST:PORT", clip(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("endpoint %q: port %q is not a number from 1 to 65535", clip(s), clip(port))
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("endpoint %q: nobody can be reached at %v", s, a)
		}
		return nil
	}
	return checkHost(s, host)
}

// checkHost says whether host is a DNS name (RFC 1123 §2.1; underscores are let through as resolvers do).
func checkHost(endpoint, host string) error {
	bad := fmt.Errorf("endpoint %q: %q is neither an IP address nor a DNS name", clip(endpoint), clip(host))
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return bad
	}
	digits := true
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return bad
		}
		for _, c := range label {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
			if !letter && (c < '0' || c > '9') {
				return bad
			}
			digits = digits && !letter
		}
	}
	if digits { // 300.1.2.3 is a mistyped address, not a name
		return bad
	}
	return nil
}

// CheckEndpoints says whether there are at most MaxEndpoints endpoints, each good and none twice.
func CheckEndpoints(endpoints []string) error {
	if len(endpoints) > MaxEndpoints {
		return fmt.Errorf("%d endpoints are more than %d", len(endpoints), MaxEndpoints)
	}
	seen := make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		if err := CheckEndpoint(e); err != nil {
			return err
		}
		if seen[e] {
			return fmt.Errorf("endpoint %q is given twice", e)
		}
		seen[e] = true
	}
	return nil
}

// clip shortens what a stranger wrote, for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
