// Package ipam gives every attachment of this node its addresses and remembers them.
//
// It has three parts. One derives: the network's IPv6 prefix (ula.go), the interface identifier of an attachment (iid.go), its
// MAC and the gateway's (mac.go), all as hashes, so that no host has to ask another (docs/protocol.md, "Addresses"). One keeps
// leases: a table in memory (store.go, table.go) in front of an append-only journal (journal.go, record.go, entry.go,
// compact.go) that reaches the disk only through the directory interface (disk.go). IPv4 is in the same table and the same
// record of a lease: what this node owns and has done with it (holdings.go), and the choice of an address (choose.go, gate.go), are
// functions of what the journal says. The third, the Manager (manager.go, keeper.go, ownership.go), speaks to the BlockStore and
// writes into the journal which blocks are this node's.
//
// # What holds
//
// A lease is on disk before anyone hears of it: Lease and Release return after the fsync of the record, and Leases lists only
// what is on disk. Callers that arrive while an fsync is under way share the next one.
//
// The same attachment keeps its address until it is released, through crash and restart. After a release it gets the same
// address again, as the address is a hash, unless another attachment has taken it in the meantime.
//
// A lease names its holder, who made the attachment and in which namespace, so that after a restart people see whose it is, and
// whoever cleans up can tell which leases are theirs. An attachment that asks with another holder keeps its lease; the new
// holder is as durable as the lease.
//
// No two attachments of this node share an address or a MAC; that none in the network do follows from the 64 bits of the
// identifier (a million attachments collide with a chance of 3e-8) and from the caller's view of the other nodes, which it
// hands to Lease.
//
// # Why no two attachments share an IPv4 address
//
// On one node the table gives an address to one attachment at a time, and the journal has each change before anyone hears of it.
// Between nodes it takes three things. First, the block store gives each address to one node at a time, as package registry
// argues. Second, a node leases only what its journal says it owns; a block is in the journal before an address of it is leased,
// and out of the journal before the block store hears that it is given back, left to another or lost. What an answer to a
// command does not say, because it got lost, the next Refresh says; the answers are taken in the order of the commands, and the
// registry refuses a command that comes after a later one. Third, a node notices when the block store has taken from it
// what it owned:
//
//   - A removed node has an epoch that has ended. The first answer says so; then the journal drops all blocks and each lease in
//     them is Lost, that is, withdrawn, and never renewed with that address unless the address is this node's once more.
//   - A node that cannot reach the block store stops leasing when the Refresh that was answered last was sent longer than
//     Timing.DeadAfter ago, by whichever of its clocks says longer. The block store does not remove it before DeadAfter and Grace,
//     and gives nothing of a removed node to others before Grace has passed once more.
//   - A node restored from a snapshot may own less than its journal says. It was started by another start of the kernel, and then
//     leases nothing before the block store has answered; that refuses a journal which is behind what it has seen.
//   - A clone is a later start of the same node: the block store answers only the later one, and the earlier gives up all it has.
//
// What nobody can know is not promised. A node that is removed by hand while it runs and is cut off keeps the addresses that its
// attachments have, and until DeadAfter leases more from its blocks; others get these after Grace. A snapshot that is
// restored, and a clone, keep the addresses their attachments had until they reach the block store. A state directory put back by
// hand under a running kernel, and memory that is restored with its processes, look like no restart at all until then.
//
// # What a partition may do
//
// Attachments keep their addresses, and get new ones while own blocks have some; addresses of other nodes cannot be had. When
// the blocks are used up, or after DeadAfter, or after a reboot, a new attachment gets an error that says which, and IPv6 goes on. A
// partition never makes an address serve twice, unless it outlasts DeadAfter and twice Grace: then the blocks of the hosts
// that are cut off go to others, and what still runs on those hosts keeps addresses that are not theirs until they are back and told so.
//
// An address that is released is kept from other attachments for a cooldown and then the one that was released first is leased
// first; the attachment that had it gets it back at once.
//
// # The journal
//
// The journal is never started afresh behind the operator's back. What a crash can leave, one unfinished record at the very
// end, was never acknowledged: it is cut off and logged. Everything else that cannot be read stops Open with ErrCorrupt.
//
// # What it leaves to others
//
// Which attachments still exist, what other nodes hold, and setting the addresses on interfaces. An attachment with an empty
// container name is the host itself: its own address on the bridge beside the gateway's.
package ipam
