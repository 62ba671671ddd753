package registry

import (
	"net/netip"
	"time"
)

// MaxCommand is the most bytes that an encoded Command may have.
const MaxCommand = 64 << 10

// MaxText is the most bytes that a name, comment, reason or attachment may have.
const MaxText = 255

// Op says what a Command asks for.
type Op uint8

// The operations. Behind each the fields it reads besides Op, Time and Registry; fields in brackets may be zero.
// "Caller" stands for Node, Instance, Epoch, [Seq] and Generation.
const (
	OpInit           Op = 1 + iota // Registry (required), Node (the creator), Pools, Timing: makes the registry; only on empty records, or a repeat
	OpRefresh                      // Caller, Name, Uses, Claims, [Journal]: node is alive and says what it has. Epoch 0: "admit me"
	OpClaim                        // Caller, Have, [Pool], [Block: a block that is welcome]: wants one more block
	OpClaimAddress                 // Caller, Addr, Attachment: wants one address outside its own blocks
	OpCarveOut                     // Caller (the owner of the block), Addr, To, ToEpoch, Attachment: has journaled that it will not lease Addr
	OpReleaseBlock                 // Caller, Block: has journaled that it will not lease from Block
	OpReleaseAddress               // Caller, Addr: has journaled that it does not use Addr
	OpRemoveNode                   // To (the node to be removed), [Comment: why]
	OpExpireNodes                  // nothing: by the leader every minute or so
	OpReserve                      // Range: keeps addresses from being leased or claimed from now on
	OpUnreserve                    // Range (Comment is not compared)
	OpAddPool                      // Pools: further ones; those that are there already are passed over
	OpRecover                      // Generation (the new one: the present one + 1)
	opEnd
)

// Command is one request to the registry. It is valid only as a whole: see the table of operations for the fields each reads;
// all others must be zero.
type Command struct {
	Op Op
	// Time is stamped by the engine when it puts the command into its order.
	Time time.Time
	// Registry is the registry that the caller means; zero is any (before the caller knows it).
	Registry ID

	// Node, Instance and Epoch say who calls: the identity, the start of the daemon (it grows with each), and the epoch
	// under which the node owns (0: none yet). Instance 0 is not checked.
	Node     NodeID
	Instance uint64
	Epoch    uint64
	// Seq numbers the commands of one instance of a node. A command with a lower number than one already applied is
	// refused with ErrLate, an equal number is a repeat. 0 is not checked: then a late repeat of a release or carve-out
	// can take away what was granted since.
	Seq uint64
	// Generation is that which the caller has accepted by its last Refresh.
	Generation uint64

	Name    string // of the node
	Uses    []BlockUse
	Claims  []AddressUse // single addresses that the node holds
	Journal uint64       // position in the node's journal, which only grows; 0: not told

	Pool       netip.Prefix   // zero: any pool, the first first
	Have       []netip.Prefix // blocks that the node knows it owns
	Block      netip.Prefix
	Addr       netip.Addr
	Attachment string // "container/ifname", for people
	To         NodeID
	ToEpoch    uint64

	Comment string
	Range   Reservation
	Pools   []Pool
	Timing  Timing
}

// BlockUse is one block as its owner sees it.
type BlockUse struct {
	Block  netip.Prefix
	Leased int // addresses of it that attachments hold
}

// AddressUse is one single address and who on the node has it.
type AddressUse struct {
	Addr       netip.Addr
	Attachment string
}
