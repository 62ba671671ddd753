package api

import (
	"net/netip"
	"time"
)

// Status is the state of the daemon and its networks.
type Status struct {
	Version  string            `json:"version"`
	Instance uint64            `json:"instance,string"`    // of this start of meshd; larger at every start
	Started  time.Time         `json:"started"`            //
	NodeName string            `json:"node_name"`          // this host's name, as other members see it
	Listen   []netip.AddrPort  `json:"listen"`             // UDP sockets
	Offloads []Offload         `json:"offloads"`           // of the UDP sockets and of the CPU
	Networks []Network         `json:"networks"`           // by name
	Counters map[string]uint64 `json:"counters,omitempty"` // of the sockets: datagrams, and those that were lost, by reason
	Warnings []string          `json:"warnings"`           // what the operator should look at, one sentence each
}

// Network is one network as this host sees it.
type Network struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`                 // 32 hexadecimal digits
	State       NetworkState      `json:"state"`              //
	Error       string            `json:"error,omitempty"`    // why State is NetworkFailed
	NodeID      string            `json:"node_id"`            // this host's identity in the network, 64 hexadecimal digits
	NodeName    string            `json:"node_name"`          //
	Bridge      string            `json:"bridge"`             // containers are put into it
	BridgeOwned bool              `json:"bridge_owned"`       // meshd made the bridge and removes it
	DHCP        string            `json:"dhcp"`               // whom this host answers it: "open", "closed" or "off"
	Egress      string            `json:"egress"`             // how containers of this host reach what is outside: "nat" or "none"
	DNS         DNS               `json:"dns"`                // how names are answered
	TAP         string            `json:"tap"`                // the mesh's port of the bridge
	Offloads    []Offload         `json:"offloads"`           // of the TAP
	MTU         int               `json:"mtu"`                // bytes; of the overlay
	IPv6        netip.Prefix      `json:"ipv6"`               // the overlay's prefix
	Pools       []Pool            `json:"pools"`              // of IPv4 addresses; none: the network has no IPv4
	IPAM        string            `json:"ipam,omitempty"`     // "raft" or "etcd://…" without password; "" without IPv4
	Created     bool              `json:"created"`            // this host created the network
	Endpoints   []netip.AddrPort  `json:"endpoints"`          // at which others are told to reach this host
	Peers       PeerCount         `json:"peers"`              //
	Attachments int               `json:"attachments"`        // of this host
	Leases      int               `json:"leases"`             // attachments of all hosts
	RXBytes     uint64            `json:"rx_bytes"`           // received from peers, UDP payload
	TXBytes     uint64            `json:"tx_bytes"`           // sent to peers, UDP payload
	Counters    map[string]uint64 `json:"counters,omitempty"` // frames and messages, and what was dropped, by reason
	Warnings    []string          `json:"warnings"`           // one sentence each
}

// DNS is how a host answers its containers what names in a network mean.
type DNS struct {
	Domain    string           `json:"domain"`        // the names end with it
	Servers   []netip.Addr     `json:"servers"`       // that containers of this host ask; none: nobody is answered
	Off       string           `json:"off,omitempty"` // why nobody is answered
	Resolvers []netip.AddrPort `json:"resolvers"`     // that are asked about all other names
}

// Zone is the names of a network.
type Zone struct {
	Network string `json:"network"`
	DNS
	Records []Record `json:"records"` // by name and address
}

// Record is one address of a name.
type Record struct {
	Name      string     `json:"name"`
	Address   netip.Addr `json:"address"`
	Container string     `json:"container,omitempty"` // "": the host itself
	Node      string     `json:"node"`                // name of the container's host
	Alias     bool       `json:"alias,omitempty"`     // it is another name of the container, which this host alone answers
	Local     bool       `json:"local"`               // the container is on this host
}

// ZoneList answers GET …/dns.
type ZoneList struct {
	Zones []Zone `json:"zones"` // by network
}

// Offload is something that the kernel or the CPU does for whole bursts of frames or datagrams.
type Offload struct {
	Name string `json:"name"` // as for meshd --without
	On   bool   `json:"on"`
	Why  string `json:"why,omitempty"` // not, if it is off
}

// NetworkState says how far a network is.
type NetworkState string

// The states of a network.
const (
	NetworkUp       NetworkState = "up"       // containers can be attached
	NetworkStarting NetworkState = "starting" //
	NetworkFailed   NetworkState = "failed"   // Network.Error says why
)

// PeerCount counts the other members of a network.
type PeerCount struct {
	Up    int `json:"up"`    // with whom there is a session
	Total int `json:"total"` // that have not left
}

// Peer is another member of a network.
type Peer struct {
	Network      string           `json:"network"`
	Name         string           `json:"name"`                   // of the member's host
	ID           string           `json:"id"`                     // identity, 64 hexadecimal digits
	State        PeerState        `json:"state"`                  //
	Since        time.Time        `json:"since,omitzero"`         // when State began
	Path         string           `json:"path,omitempty"`         // "direct", or "via" and the name of the member that relays; none without a session
	Endpoint     netip.AddrPort   `json:"endpoint,omitzero"`      // where its datagrams come from; none without a direct session
	Endpoints    []netip.AddrPort `json:"endpoints"`              // where it says it can be reached
	PathMTU      int              `json:"path_mtu,omitempty"`     // bytes of the IP packets that carry frames there; none: not probed yet
	PathCut      bool             `json:"path_cut,omitempty"`     // not even these pass whole: IP cuts them on the way
	Lanes        int              `json:"lanes,omitempty"`        // pairs of UDP ports that frames go there by; more than one while long frames do
	Established  time.Time        `json:"established,omitzero"`   // when the session began
	LastReceived time.Time        `json:"last_received,omitzero"` // when it was last heard
	Instance     uint64           `json:"instance,string"`        // of the start of its meshd
	RXBytes      uint64           `json:"rx_bytes"`               // UDP payload of this session
	TXBytes      uint64           `json:"tx_bytes"`               //
	RXDatagrams  uint64           `json:"rx_datagrams"`           //
	TXDatagrams  uint64           `json:"tx_datagrams"`           //
	Attachments  int              `json:"attachments"`            // of that host
	Created      bool             `json:"created_network"`        // that host created the network
	Warnings     []string         `json:"warnings,omitempty"`     // one sentence each
}

// PeerState says what we know of a peer.
type PeerState string

// The states of a peer.
const (
	PeerUp         PeerState = "up"         // there is a session
	PeerConnecting PeerState = "connecting" // a member, without a session yet
	PeerDown       PeerState = "down"       // nobody hears it
	PeerLeft       PeerState = "left"       // it left the network
)

// Lease is one container interface of a network, on any host: a row of the neighbour table.
type Lease struct {
	Network   string       `json:"network"`
	Container string       `json:"container"`
	IfName    string       `json:"ifname"`
	MAC       MAC          `json:"mac"`
	Addresses []netip.Addr `json:"addresses"` // at most one of each family
	Node      string       `json:"node"`      // name of the container's host
	NodeID    string       `json:"node_id"`   // its identity
	State     PeerState    `json:"state"`     // of that host; PeerUp for this one
	Local     bool         `json:"local"`     // on this host
}

// Attachment is one container interface on this host.
type Attachment struct {
	Network   string         `json:"network"`
	Container string         `json:"container"`
	IfName    string         `json:"ifname"`          // inside the container
	Bridge    string         `json:"bridge"`          // where the host's end of the interface belongs
	MTU       int            `json:"mtu"`             // bytes
	MAC       MAC            `json:"mac"`             //
	Addresses []netip.Prefix `json:"addresses"`       // each with the length of its subnet; at most one of each family
	Routes    []Route        `json:"routes"`          // beside those of the subnets
	Lost      netip.Addr     `json:"lost,omitzero"`   // IPv4 address that it had and that is this host's no more; attaching anew gives another
	Source    Source         `json:"source"`          //
	NetNS     string         `json:"netns,omitempty"` // as the caller named it

	CNINetwork string   `json:"cni_network,omitempty"` // name of the CNI network configuration, if Source is CNI's
	Aliases    []string `json:"aliases,omitempty"`     // other names of the container

	Created time.Time `json:"created,omitzero"` // when it was first attached
}

// Route is a route that a container gets.
type Route struct {
	Dst     netip.Prefix `json:"dst"`
	Gateway netip.Addr   `json:"gateway,omitzero"` // none: dst is on the link
}

// Source says who attached a container.
type Source string

// The sources.
const (
	SourceCNI     Source = "cni"
	SourceCNIIPAM Source = "cni-ipam" // the addresses alone: the interface is another CNI plugin's business
	SourceLXC     Source = "lxc"
	SourceLXD     Source = "lxd"    // meshnet-lxd; an attachment lasts as long as the instance, running or not
	SourceManual  Source = "manual" // meshctl attach, or another program
	SourceHost    Source = "host"   // meshd, for the host itself
	SourceDHCP    Source = "dhcp"   // nobody: it asked for addresses itself
)

// Readiness says whether containers can be attached to a network now, and reach those of other hosts.
type Readiness struct {
	Network string       `json:"network"`
	State   NetworkState `json:"state"`
	Error   string       `json:"error,omitempty"` // why State is not NetworkUp
	NoIPv4  string       `json:"no_ipv4"`         // why no IPv4 address can be leased now; "": one can, or the network has no IPv4
	Peers   PeerCount    `json:"peers"`
}

// NetworkList answers GET /v1/networks.
type NetworkList struct {
	Networks []Network `json:"networks"` // by name
}

// PeerList answers GET …/peers.
type PeerList struct {
	Peers []Peer `json:"peers"` // by network, name, ID
}

// LeaseList answers GET …/leases.
type LeaseList struct {
	Leases []Lease `json:"leases"` // by network, node, container, interface
}

// AttachmentList answers GET …/attachments.
type AttachmentList struct {
	Attachments []Attachment `json:"attachments"` // by network, container, interface
}

// Created answers POST /v1/networks.
type Created struct {
	Network Network `json:"network"`
	Token   string  `json:"token"` // secret: it lets a host join
}

// TokenText answers GET …/token.
type TokenText struct {
	Token string `json:"token"` // secret
}

// Left answers DELETE /v1/networks/{name}.
type Left struct {
	Left bool `json:"left"` // true
}

// Detached answers DELETE …/attachments/{container}/{ifname}.
type Detached struct {
	Detached bool `json:"detached"` // false: there was nothing to detach
}
