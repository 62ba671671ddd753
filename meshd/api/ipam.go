package api

import (
	"net/netip"
	"time"

	"meshnet/meshd/token"
)

// Pool is IPv4 addresses of which containers get theirs.
type Pool = token.Pool

// Duration is a time.Duration. Its JSON is text: "72h", "1h30m".
type Duration = token.Duration

// Range is the IPv4 addresses from one to another. Its JSON is "PREFIX", "ADDRESS" or "FIRST-LAST".
type Range = token.Range

// IPAM is the state of a network's IPv4 addresses as this host's view of the block registry has it, which may lag.
type IPAM struct {
	Network      string         `json:"network"`
	Engine       string         `json:"engine"`                // "raft", "etcd"; "none": the network has no IPv4
	Role         IPAMRole       `json:"role"`                  // of this host
	Leader       string         `json:"leader,omitempty"`      // name of the host, or the etcd endpoint; "": none is known
	Voters       []string       `json:"voters"`                // names of hosts; with etcd its endpoints
	Copies       []string       `json:"copies"`                // names of hosts that keep the registry without a vote
	LastContact  time.Time      `json:"last_contact,omitzero"` // when the registry last answered this host
	Error        string         `json:"error,omitempty"`       // why it does not answer now
	Registry     string         `json:"registry"`              // its ID, 32 hexadecimal digits; "": not known yet
	Created      time.Time      `json:"created,omitzero"`      // when the registry was made
	Creator      string         `json:"creator"`               // name of the host that made it
	Generation   uint64         `json:"generation"`            // how often the registry was recovered from a lost majority
	DeadAfter    Duration       `json:"dead_after,omitzero"`   // how long a host goes on leasing without the registry
	Refusal      string         `json:"refusal,omitempty"`     // why this host leases no IPv4 addresses now
	Pools        []PoolUse      `json:"pools"`                 // as they were given
	Nodes        []NodeUse      `json:"nodes"`                 // by name
	Blocks       []BlockUse     `json:"blocks"`                // that are not simply free; by address
	Claims       []AddressClaim `json:"claims"`                // addresses that a host holds outside its blocks; by address
	Lost         []Lease        `json:"lost"`                  // containers of this host whose IPv4 address is not theirs any more
	Reservations []Reservation  `json:"reservations"`          // by address
}

// IPAMRole says what part a host has in keeping the block registry.
type IPAMRole string

// The roles.
const (
	IPAMVoter  IPAMRole = "voter"  // it keeps the registry and has a vote in it
	IPAMCopy   IPAMRole = "copy"   // it keeps the registry, to replace a voter
	IPAMClient IPAMRole = "client" // it asks those that keep it
	IPAMNone   IPAMRole = "none"   // the network has no IPv4
)

// PoolUse says how much of a pool is used. Leased is part of Owned, and Owned of Addresses; what is in neither free nor
// owned nor cooling blocks cannot be leased by anybody.
type PoolUse struct {
	Pool
	Addresses int `json:"addresses"` // that can be leased at all: not network, broadcast, gateway, excluded or reserved
	Owned     int `json:"owned"`     // of those, in blocks of hosts or claimed one by one
	Leased    int `json:"leased"`    // held by containers, as their hosts last said
	Reserved  int `json:"reserved"`  // reserved or excluded

	Blocks        int `json:"blocks"`         // into which the pool is cut
	OwnedBlocks   int `json:"owned_blocks"`   //
	CoolingBlocks int `json:"cooling_blocks"` // of hosts that gave them back or were removed, to be free after a grace
	FreeBlocks    int `json:"free_blocks"`    // that any host can claim
}

// NodeUse says what a host has of the pools.
type NodeUse struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`                 // identity, 64 hexadecimal digits
	Local     bool      `json:"local"`              // this host
	State     PeerState `json:"state"`              // as in Peer; PeerUp for this host
	Epoch     uint64    `json:"epoch"`              // fencing token: what it claimed under another is not its own
	Refreshed time.Time `json:"refreshed,omitzero"` // when the registry last heard it
	Removed   bool      `json:"removed"`            // what it had cools
	Blocks    int       `json:"blocks"`             //
	Addresses int       `json:"addresses"`          // that it can lease: in its blocks, and claimed one by one
	Leased    int       `json:"leased"`             // of those, as it last said
}

// BlockUse is a block that has an owner or waits for one.
type BlockUse struct {
	Prefix    netip.Prefix `json:"prefix"`
	Pool      netip.Prefix `json:"pool"`
	State     BlockState   `json:"state"`
	Node      string       `json:"node"`           // name of the owner, or of the last one
	NodeID    string       `json:"node_id"`        // its identity
	Epoch     uint64       `json:"epoch"`          // of the owner, when it claimed the block
	Since     time.Time    `json:"since,omitzero"` // when State began
	Until     time.Time    `json:"until,omitzero"` // when a block that cools is free
	Addresses int          `json:"addresses"`      // in it that can be leased
	Leased    int          `json:"leased"`         // of those, as the owner last said
}

// BlockState says what a block is.
type BlockState string

// The states of a block.
const (
	BlockOwned   BlockState = "owned"
	BlockCooling BlockState = "cooling" // its owner is gone; free from Until
)

// AddressClaim is an address that a host holds outside its own blocks, because a container asked for it.
type AddressClaim struct {
	Address    netip.Addr `json:"address"`
	Node       string     `json:"node"`           // name of the holder
	NodeID     string     `json:"node_id"`        // its identity
	Attachment string     `json:"attachment"`     // "CONTAINER/IFNAME"
	Until      time.Time  `json:"until,omitzero"` // when an address whose holder is gone is free
}

// Reservation is addresses that nobody leases.
type Reservation struct {
	Addresses Range  `json:"addresses"`
	Comment   string `json:"comment,omitempty"`
}

// IPAMList answers GET …/ipam.
type IPAMList struct {
	IPAM []IPAM `json:"ipam"` // by network
}

// IPAMCheck answers GET …/ipam/check: what was compared, and what contradicts the promise that no two container
// interfaces hold the same address.
type IPAMCheck struct {
	Network string `json:"network"`
	Pools   int    `json:"pools"`
	Nodes   int    `json:"nodes"`
	Blocks  int    `json:"blocks"`
	Leases  int    `json:"leases"` // of all hosts, from the neighbour table

	Violations []Violation `json:"violations"`
	Skipped    []string    `json:"skipped"` // what could not be compared now, and why; one sentence each
}

// Violation is one broken rule.
type Violation struct {
	Rule string `json:"rule"` // a short name for programs, such as "block-overlap"
	Text string `json:"text"` // one sentence, which names the addresses and hosts
}

// Released answers DELETE …/ipam/reserve.
type Released struct {
	Released bool `json:"released"` // false: there was no such reservation
}

// Recovered answers POST …/ipam/recover.
type Recovered struct {
	Generation uint64   `json:"generation"` // of the registry from now on
	Lost       []string `json:"lost"`       // names of the voters that were given up
	// Until is when new blocks are given out again at the earliest, and Waiting names the hosts that have to be heard or removed before.
	Until   time.Time `json:"until,omitzero"`
	Waiting []string  `json:"waiting"`
}

// Adopted answers POST …/ipam/adopt.
type Adopted struct {
	Adopted  bool    `json:"adopted"`  // false: this host was in the oldest registry already
	Registry string  `json:"registry"` // ID of the registry that this host is in now
	Creator  string  `json:"creator"`  // name of the host that made it
	Lost     []Lease `json:"lost"`     // containers of this host whose IPv4 address is not theirs any more
}

// Removed answers DELETE …/nodes/{node}.
type Removed struct {
	Name   string    `json:"name"`
	ID     string    `json:"id"`             // identity, 64 hexadecimal digits
	Blocks int       `json:"blocks"`         // that it had
	Until  time.Time `json:"until,omitzero"` // when they are free; not set if it had none
}
