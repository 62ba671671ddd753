// Package ipam gives every attachment of this node its addresses and remembers them.
//
// It has two halves that do not know each other. The pure half derives: the network's IPv6 prefix (ula.go), the interface
// identifier of an attachment (iid.go), its MAC and the gateway's (mac.go), all as hashes, so that no host has to ask another
// (docs/protocol.md, "Addresses"). The other half keeps leases: a table in memory (store.go) in front of an append-only
// journal (journal.go, record.go, compact.go) that reaches the disk only through the directory interface (disk.go).
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
// The journal is never started afresh behind the operator's back. What a crash can leave, one unfinished record at the very
// end, was never acknowledged: it is cut off and logged. Everything else that cannot be read stops Open with ErrCorrupt.
//
// # What it leaves to others
//
// Which attachments still exist, what other nodes hold, and setting the addresses on interfaces. An attachment with an empty
// container name is the host itself: its own address on the bridge beside the gateway's.
package ipam
