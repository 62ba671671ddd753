package registry

import (
	"net/netip"
	"time"
)

// Code says what became of a Command. Err turns it into an error.
type Code uint8

const (
	OK               Code = iota
	Invalid               // the command is not well formed: Comment says why
	Corrupt               // a record cannot be read: Comment says which and why
	Empty                 // there is no registry yet: OpInit has to come first
	OtherRegistry         // the caller means another registry than this: Registry, Creator and CreatedAt are of this
	StaleRegistry         // the caller has accepted a newer generation than this registry has: this is an old copy
	StaleGeneration       // the caller has to Refresh under Generation first
	RefreshFirst          // the registry has not seen this start of the node yet
	Fenced                // the epoch has ended (Comment says why): nothing that was owned under it is the node's
	Superseded            // a later start of the same identity is registered
	Late                  // overtaken by a later command of the node
	UnknownNode           // no such node: Holder
	Exhausted             // no free block: Pool (zero: any), Usage
	Recovering            // nothing new is given out after a recovery until Until, nor before the nodes in Usage have refreshed or were removed
	HeldByBlock           // Addr is in Block, which Holder owns: it can carve it out
	HeldByClaim           // Addr is Holder's, for Attachment
	Cooling               // Addr, Block is free from Until on
	Reserved              // Addr is reserved: Comment
	Outside               // Addr or Block is in no pool, or no block of it
	NetworkAddress        // Addr is the network address of Pool
	BroadcastAddress      // Addr is the broadcast address of Pool
	GatewayAddress        // Addr is the gateway of Pool
	Excluded              // Addr is excluded from Pool
	NotOwner              // Addr, Block is not the caller's
	Overlap               // Pool overlaps Block, another pool
	NotReserved           // no such reservation
	codeEnd
)

// Result is the registry's answer. Registry, Creator, CreatedAt, Generation, Time and Timing are set in all answers of a registry
// that has been made; what else is set depends on the Code and the operation.
type Result struct {
	Code       Code
	Registry   ID
	Creator    NodeID
	CreatedAt  time.Time
	Generation uint64
	Time       time.Time // of the state, for people
	Timing     Timing

	// Epoch is the caller's present epoch, under which it owns.
	Epoch uint64
	// Blocks are, for OpRefresh, all that the caller owns; for OpClaim, those that are not in Have.
	Blocks []Grant
	// Claims are, for OpRefresh, all single addresses that the caller holds; for OpClaimAddress, the one.
	Claims []AddressUse
	// Lost are blocks that the caller named (Uses, Have) and does not own: it must not lease from them.
	Lost []netip.Prefix
	// LostClaims are likewise single addresses that the caller named and does not hold.
	LostClaims []netip.Addr
	// Pools (OpRefresh) and Reserved (OpRefresh and OpClaim) are those of the registry.
	Pools    []Pool
	Reserved []Reservation

	// The rest explains a refusal.
	Pool       netip.Prefix
	Block      netip.Prefix
	Addr       netip.Addr
	Holder     NodeID
	HolderName string
	Attachment string
	Comment    string
	Until      time.Time
	Usage      []NodeUse
	Removed    []NodeID // OpExpireNodes: the nodes that it removed
}

// Grant is a block and the addresses in it that its owner must not lease, because they are single claims, or cool after one.
type Grant struct {
	Block  netip.Prefix
	Except []netip.Addr
}

// NodeUse is how much one node owns.
type NodeUse struct {
	Node   NodeID
	Name   string
	Blocks int
	Leased int // addresses, as the node last said
}
