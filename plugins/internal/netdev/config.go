package netdev

import (
	"crypto/sha256"
	"encoding/base32"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Config says how the interface of a container has to be.
type Config struct {
	HostName string           // of the host's end; see HostName
	Alias    string           // that the host's end gets, at most 255 bytes; "": none
	Bridge   string           // of which the host's end is a port
	IfName   string           // of the container's end
	MTU      int              // bytes; of both ends
	MAC      net.HardwareAddr // of the container's end
	Addrs    []netip.Prefix   // of the container's end, each with the length of its subnet
	Later    []netip.Prefix   // of the same, but set by the runtime when it has adopted the veth
	Routes   []Route          // beside those of the subnets

	Ingress, Egress Rate // limits of what the container receives and sends; only of a veth that Add makes
}

// Route is a route of the container. What is 0 or nil is the kernel's choice.
type Route struct {
	Dst     netip.Prefix
	Gateway netip.Addr // invalid: Dst is on the link

	MTU, AdvMSS  int // bytes
	Priority     int
	Table, Scope *int // rtnetlink(7): RTA_TABLE, rtm_scope
}

// HostName returns the name of the host's end of an attachment's veth: "mn" and 65 bits of a hash, in 15 characters
// (IFNAMSIZ - 1, include/uapi/linux/if.h). It is the same each time, so that a second run finds what a first one made.
// The network is not part of it: a container has only one interface of a name, and whoever removes it need not know
// in which network it was.
func HostName(container, ifname string) string {
	sum := sha256.Sum256([]byte(container + "\x00" + ifname))
	return vethPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:13])
}

// connected says whether the kernel makes this route itself, from the subnet of an address.
func (c Config) connected(r Route) bool {
	if r.Gateway.IsValid() || r.MTU != 0 || r.AdvMSS != 0 || r.Priority != 0 || r.Table != nil {
		return false
	}
	same := func(a netip.Prefix) bool { return a.Masked() == r.Dst.Masked() }
	return slices.ContainsFunc(c.Addrs, same) || slices.ContainsFunc(c.Later, same)
}

// later says whether the gateway of a route will be reached through a subnet that is not there yet.
func (c Config) later(r Route) bool {
	return slices.ContainsFunc(c.Later, func(a netip.Prefix) bool { return a.Contains(r.Gateway) })
}

// hasIPv6 says whether there is an IPv6 address among Addrs.
func (c Config) hasIPv6() bool {
	return slices.ContainsFunc(c.Addrs, func(a netip.Prefix) bool { return a.Addr().Is6() })
}

// hasIPv4 says whether there is an IPv4 address among Addrs.
func (c Config) hasIPv4() bool {
	return slices.ContainsFunc(c.Addrs, func(a netip.Prefix) bool { return a.Addr().Is4() })
}
