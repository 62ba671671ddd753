package attach

import (
	"fmt"
	"net"
	"net/netip"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/netdev"
)

// Request names one container interface.
type Request struct {
	Network   string // "": the only one there is; for Del and Check, whichever has the container
	Container string // the runtime's ID or name of the container
	IfName    string // inside the container

	// The container's network namespace: its path or a PID, the path if both are given. Del needs neither.
	NetNS string
	PID   int

	Source     api.Source
	CNINetwork string   // name of the CNI network configuration; "": none
	MTU        int      // bytes; 0: the network's
	IPv4       string   // as in api.AttachOptions: "" for an address of meshd's choice, api.NoIPv4, or the address wanted
	NoIPv6     bool     // the container does not get the IPv6 address that it has in the mesh
	WantMAC    api.MAC  // of the container's end; zero: meshd's choice
	Aliases    []string // other names of the container

	// Gateways are routers in the subnets of the addresses, at most one of each family. Routes without a gateway get that of
	// their family. DefaultRoute is for default routes by them; without a gateway, here, of IPAM, or in a default route of
	// meshd's, it is an error.
	Gateways     []netip.Addr
	Routes       []netdev.Route
	DefaultRoute bool

	Ingress, Egress netdev.Rate // limits of what the container receives and sends

	IPAM IPAM // gives addresses beside those of meshd; nil: nobody does
	// Addressing is what IPAM has given, for Check; nil: nothing.
	Addressing *Addressing

	// RuntimeIPv4 is the IPv4 address that a runtime sets on the interface of HostLink itself, later; the zero Prefix if it
	// sets none. It is not set here then, because the runtime would fail on finding it, and Add fails if it is not that of
	// the attachment, with the length of its subnet.
	RuntimeIPv4 netip.Prefix

	// MAC is what Check expects of the container's end; nil: meshd's.
	MAC net.HardwareAddr

	// HostLink is the host's end of a veth that the runtime has made, to be used instead of a new one; "": make one.
	HostLink string

	// LockDir is where Add and Del find out about each other, the same for all; "": /run/meshnet/locks.
	LockDir string
}

// Result is what a container got. Addresses are those of its interface.
type Result struct {
	api.Attachment
	Gateways []netip.Addr   // at most one of each family
	Routes   []netdev.Route // beside those of the subnets
	HostName string         // of the interface's end on the host
	HostMAC  string         // of the same
}

// path returns the network namespace as it is shown to people.
func (r Request) path() string {
	if r.NetNS == "" && r.PID > 0 {
		return fmt.Sprintf("/proc/%d/ns/net", r.PID)
	}
	return r.NetNS
}

// configOf returns what the interface has to be.
func configOf(r Request, a api.Attachment) netdev.Config {
	c := netdev.Config{
		HostName: r.HostLink,
		Alias:    HostName(r.Container, r.IfName),
		Bridge:   a.Bridge,
		IfName:   r.IfName,
		MTU:      a.MTU,
		MAC:      a.MAC[:],
		Addrs:    a.Addresses,
		Ingress:  r.Ingress,
		Egress:   r.Egress,
	}
	if c.HostName == "" {
		c.HostName, c.Alias = c.Alias, ""
		if r.Source == api.SourceCNI {
			c.Alias = cniAlias(r.CNINetwork)
		}
	}
	if r.MTU != 0 {
		c.MTU = r.MTU
	}
	return c
}
