// Package neighbour is the neighbour table: every attachment's name, MAC, addresses and node, known to all nodes. It
// implements docs/protocol.md, section "Neighbour table": the bytes of its messages, and the state, which has no
// socket, goroutine or clock. How messages travel is the business of package control.
//
// # Who owns what
//
// Each node owns a table of its own attachments and alone changes it. A table has an epoch, which is the owner's
// instance, so that a restart begins a new table, and a version, which counts the changes (ops) made in this epoch. All
// others hold copies. Ops are gossiped and may arrive in any order: a copy applies each at once, and knows up to which
// version it is complete. One that stays behind is fetched as a whole, from its owner or from any complete copy.
//
// A new epoch does not make the entries of the last one vanish: they stay visible until the copy of the new table is
// complete, because a host that restarts its meshd still has its containers.
//
// # What a malicious member could do
//
// Members of a network are one trust domain: they share its PSK, and each could put any frame onto the segment. Copies
// are relayed and fetched from others and carry no signature, so a member could lie about another's table; Tables only
// refuses what concerns the node itself. What stands against a broken or hostile member are bounds: on the size of each
// field, the entries of a table (MaxEntries), the tables and entries in all (maxTables, maxTotal), the ops held ahead of
// a gap (maxAhead), and the time that a table outlives its owner (Retention).
package neighbour
