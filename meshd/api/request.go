package api

import (
	"fmt"
	"net/netip"

	"meshnet/meshd/token"
)

// CreateRequest asks for a new network.
type CreateRequest struct {
	Name string `json:"name"`
	// IPv6 is the overlay's prefix; none: the ULA /48 that follows from the network ID.
	IPv6 netip.Prefix `json:"ipv6,omitzero"`
	// MTU is the overlay's, in bytes; 0: token.DefaultMTU.
	MTU int `json:"mtu,omitzero"`
	// Bridge is an existing bridge to use; "": meshd makes one of its own.
	Bridge string `json:"bridge,omitempty"`
	// DHCP says whom this host answers it, as token.CheckDHCP has it; "": everybody in a bridge that meshd makes, nobody in another.
	DHCP string `json:"dhcp,omitempty"`
	// Egress says how this host's containers reach what is outside, as token.CheckEgress has it; "": not at all.
	Egress string `json:"egress,omitempty"`
	// PSK is the network's key, as in a PSK file: 64 hexadecimal digits, 43 or 44 base64 characters, or a passphrase;
	// "": a random one. The network ID follows from name and PSK.
	PSK string `json:"psk,omitempty"`
	// Endpoints are where others reach this host, "HOST:PORT", beside the addresses of its interfaces.
	Endpoints []string `json:"endpoints,omitempty"`
	// NodeName is this host's name in the network; "": meshd's own.
	NodeName string `json:"node_name,omitempty"`
	// Pools are the IPv4 addresses of which containers get theirs; none: token.DefaultPool, unless IPv4None is set.
	Pools []Pool `json:"pools,omitempty"`
	// IPv4None makes a network without IPv4.
	IPv4None bool `json:"ipv4_none,omitempty"`
	// IPAM says who decides which host owns which block of the pools, as token.ParseIPAM reads it, with absolute paths;
	// "": the members.
	IPAM string `json:"ipam,omitempty"`
	// DeadAfter is how long a host goes on leasing without the registry; a grace later it is removed. 0: 72h.
	DeadAfter Duration `json:"dead_after,omitzero"`
	// Force goes on although this host has addresses or routes in a pool.
	Force bool `json:"force,omitempty"`
}

// JoinRequest asks to become a member of a network. Joining it again with the same token changes nothing.
type JoinRequest struct {
	Token     string   `json:"token"`
	Bridge    string   `json:"bridge,omitempty"`    // as in CreateRequest
	DHCP      string   `json:"dhcp,omitempty"`      // as in CreateRequest
	Egress    string   `json:"egress,omitempty"`    // as in CreateRequest
	Endpoints []string `json:"endpoints,omitempty"` // as in CreateRequest
	NodeName  string   `json:"node_name,omitempty"` // as in CreateRequest
	// NoWait joins even if no member answers now. Otherwise the call waits for one, and changes nothing if none does.
	NoWait bool `json:"no_wait,omitempty"`
	// IPAM is the etcd of the token with what lets this host in: user, password, certificates. "": nothing is needed.
	IPAM  string `json:"ipam,omitempty"`
	Force bool   `json:"force,omitempty"` // as in CreateRequest
}

// AttachRequest asks for a container interface's place on the overlay. (Network, Container, IfName) is its key.
type AttachRequest struct {
	Network   string // "": the only one
	Container string // the runtime's ID or name of the container
	IfName    string // inside the container
	AttachOptions
}

// AttachOptions is the body of an attach.
type AttachOptions struct {
	MTU    int    `json:"mtu,omitzero"`     // bytes, at most the network's; 0: the network's
	Source Source `json:"source,omitempty"` // "": SourceManual
	NetNS  string `json:"netns,omitempty"`  // path of the container's network namespace; only shown to people
	// IPv4 is "" for an address of meshd's choice, NoIPv4 for none, or the address that is asked for. Attaching again with
	// another address than the container has is a Conflict.
	IPv4 string `json:"ipv4,omitempty"`
	// IPv6 is the address that is asked for, in the network's prefix; none: of meshd's choice.
	IPv6 netip.Addr `json:"ipv6,omitzero"`
	// MAC is the address of the interface; none: one that follows from the names. One that another container has, and
	// another one than the container has, is a Conflict; but what asked DHCP by it before it was attached is the same container.
	MAC MAC `json:"mac,omitzero"`
	// Former is the attachment of this host whose addresses and MAC this one takes over, as far as nothing else is asked for, because
	// it is the same interface by another name; or the attachment itself, to have other addresses or another MAC than it has.
	// Naming one that is not attached is no error.
	Former *AttachmentName `json:"former,omitempty"`
	// CNINetwork is the name of the CNI network configuration; only with SourceCNI and SourceCNIIPAM.
	CNINetwork string `json:"cni_network,omitempty"`
	// Aliases are other names of the container, as in DNS.
	Aliases []string `json:"aliases,omitempty"`
}

// AttachmentName names an attachment in its network.
type AttachmentName struct {
	Container string `json:"container"`
	IfName    string `json:"ifname"`
}

// UpdateRequest changes what a host said of itself when it became a member. What is nil stays.
type UpdateRequest struct {
	Network string  `json:"-"`
	Bridge  *string `json:"bridge,omitempty"` // as in CreateRequest
	DHCP    *string `json:"dhcp,omitempty"`   // as in CreateRequest
	Egress  *string `json:"egress,omitempty"` // as in CreateRequest
}

// DetachRequest says which container interface has gone.
type DetachRequest struct {
	Network   string // "": whichever holds the attachment
	Container string
	IfName    string
	Source    Source // of the attachment: one of another source stays; "": whichever
	// CNINetwork is the attachment's name of a CNI network configuration: one of another stays; "": whichever.
	CNINetwork string
}

// Limits of what a caller writes, in bytes.
const (
	MaxContainer = 256  // of a container ID
	MaxToken     = 4096 // of a token
	MaxPSK       = 2048 // of a passphrase: 512 characters in UTF-8
	maxPath      = 4096 // PATH_MAX, include/uapi/linux/limits.h

	MaxCNINetwork = 255 // of the name of a CNI network configuration
	MaxAliases    = 32  // aliases
	maxAlias      = 63  // of one (RFC 1035 §2.3.4)
)

func (r *CreateRequest) check() error {
	if err := token.CheckName(r.Name); err != nil {
		return err
	}
	if r.IPv6 != (netip.Prefix{}) {
		if err := token.CheckIPv6(r.IPv6); err != nil {
			return err
		}
	}
	if r.MTU != 0 {
		if err := token.CheckMTU(r.MTU); err != nil {
			return err
		}
	}
	if len(r.PSK) > MaxPSK {
		return fmt.Errorf("the PSK has %d bytes; at most %d are allowed", len(r.PSK), MaxPSK)
	}
	if err := r.checkIPv4(); err != nil {
		return err
	}
	return checkMember(r.Bridge, r.DHCP, r.Egress, r.NodeName, r.Endpoints)
}

func (r *JoinRequest) check() error {
	if r.Token == "" {
		return fmt.Errorf("the token is missing")
	}
	if len(r.Token) > MaxToken {
		return fmt.Errorf("the token has %d bytes; no token has more than %d", len(r.Token), MaxToken)
	}
	if err := checkIPAM(r.IPAM); err != nil {
		return err
	}
	return checkMember(r.Bridge, r.DHCP, r.Egress, r.NodeName, r.Endpoints)
}

// checkMember checks what a host says about itself as a member.
func checkMember(bridge, dhcp, egress, nodeName string, endpoints []string) error {
	if err := token.CheckDHCP(dhcp); err != nil {
		return fmt.Errorf("dhcp: %w", err)
	}
	if err := token.CheckEgress(egress); err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	if bridge != "" {
		if err := token.CheckIfName(bridge); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
	}
	if nodeName != "" {
		if err := token.CheckNodeName(nodeName); err != nil {
			return err
		}
	}
	return token.CheckEndpoints(endpoints)
}

func (r *AttachRequest) check() error {
	if err := checkAttachment(r.Network, r.Container, r.IfName); err != nil {
		return err
	}
	if r.MTU != 0 {
		if err := token.CheckMTU(r.MTU); err != nil {
			return err
		}
	}
	if err := checkSource(r.Source); err != nil {
		return err
	}
	if r.MAC[0]&1 != 0 {
		return fmt.Errorf("MAC address %v is a group's: its first byte must be even", r.MAC)
	}
	if err := r.checkLabels(); err != nil {
		return err
	}
	if len(r.NetNS) > maxPath {
		return fmt.Errorf("netns has %d bytes; no path has more than %d", len(r.NetNS), maxPath)
	}
	if err := r.checkIPv4(); err != nil {
		return err
	}
	if a := r.IPv6; a != (netip.Addr{}) && (!a.Is6() || a.Is4In6() || a.Zone() != "") {
		return fmt.Errorf("ipv6 %v is not an IPv6 address", a)
	}
	if r.MAC[0]&1 != 0 {
		return fmt.Errorf("mac %v is that of a group", r.MAC)
	}
	if f := r.Former; f != nil {
		if err := checkAttachment("", f.Container, f.IfName); err != nil {
			return fmt.Errorf("former: %w", err)
		}
	}
	return checkPrintable("netns", r.NetNS)
}

func (r *UpdateRequest) check() error {
	if err := token.CheckName(r.Network); err != nil {
		return err
	}
	var said [3]string
	for i, s := range []*string{r.Bridge, r.DHCP, r.Egress} {
		if s != nil {
			said[i] = *s
		}
	}
	return checkMember(said[0], said[1], said[2], "", nil)
}

func (r *DetachRequest) check() error {
	if r.Source != "" {
		if err := checkSource(r.Source); err != nil {
			return err
		}
	}
	if err := checkCNINetwork(r.CNINetwork); err != nil {
		return err
	}
	return checkAttachment(r.Network, r.Container, r.IfName)
}

func checkSource(s Source) error {
	switch s {
	case SourceCNI, SourceCNIIPAM, SourceLXC, SourceLXD, SourceManual:
		return nil
	}
	return fmt.Errorf("source %.20q is not %q, %q, %q, %q or %q", s, SourceCNI, SourceCNIIPAM, SourceLXC, SourceLXD, SourceManual)
}

// checkLabels checks what is only kept for others to read.
func (o *AttachOptions) checkLabels() error {
	if n := len(o.Aliases); n > MaxAliases {
		return fmt.Errorf("there are %d aliases; at most %d are allowed", n, MaxAliases)
	}
	for _, alias := range o.Aliases {
		if err := CheckAlias(alias); err != nil {
			return err
		}
	}
	return checkCNINetwork(o.CNINetwork)
}

func checkCNINetwork(name string) error {
	if n := len(name); n > MaxCNINetwork {
		return fmt.Errorf("cni_network has %d bytes; at most %d are allowed", n, MaxCNINetwork)
	}
	return checkPrintable("cni_network", name)
}

func checkAttachment(network, container, ifname string) error {
	if network != "" {
		if err := token.CheckName(network); err != nil {
			return err
		}
	}
	if err := CheckContainer(container); err != nil {
		return err
	}
	return token.CheckIfName(ifname)
}
