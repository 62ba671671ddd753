// Package registry is the replicated state of one network's IPv4 address space: which node owns which block of which pool.
//
// It is pure. Commands go in, decisions come out; there is no disk, no network, no clock and no goroutine. An engine (raft,
// etcd) puts commands into one order, stamps them with its time and hands them to Apply with a Tx on the records; equal
// records and equal commands give equal records and equal results on every copy.
//
// # Words
//
// A pool is a prefix of the network; it is cut into blocks of equal size. A block is owned by one node, which leases its
// addresses to attachments without asking anybody. A claim is a single address outside its holder's own blocks. What is given back cools:
// it is nobody's until a time has passed. A reservation keeps addresses away from everybody.
//
// # Why no address is owned twice
//
// Everything that is decided about an address lies in one record: that of its block, with the block's owner and the claims of single
// addresses in it. A claim in a block that another node owns is made only by the owner (OpCarveOut), who stops leasing the address
// before it says so; every grant of a block names the addresses in it that are held by claims (Grant.Except).
//
// A node owns under an epoch, which the registry gives and only the registry ends: when the node is removed, when it was silent
// for DeadAfter and Grace, or when it asks to be admitted anew because it lost what it knew. What was owned under an ended epoch
// cools for Grace. A command under an ended epoch is refused (ErrFenced), as is one of an older start of the same node
// (ErrSuperseded), one of a node whose journal is older than the one last seen (ErrFenced: it was restored from a snapshot), and one
// that was overtaken by a later command of the same node (ErrLate).
//
// # Time
//
// Time comes in with the command. What counts towards deadlines is the time for which the registry was in use: the sum of the steps
// from one command to the next, without those longer than MaxStep. So a network that was switched off for a week does not remove all its nodes
// when the first of them is back; a clock that is wrong by a year ends no grace and, once it is right again, leaves nothing behind; and of clocks that are a little apart
// the later counts. No span of time is counted twice, whoever stamps the commands.
//
// # Repeats
//
// Each command may be applied more than once in a row and has the same effect as once; the answer to the repeat says the same, or as much as is
// needed to go on: a block whose grant got lost is named again by the next Claim. A repeat that comes after a later command of the same node is
// refused if the commands are numbered (Command.Seq).
//
// A node that got no answer, or was refused, undoes what it had prepared only after a later, numbered command of its own was answered: until then the
// first one may still arrive and take effect. So an owner keeps an address that it wanted to carve out unleased until a Refresh has told it that the
// address is not among Grant.Except; and it takes no notice of answers of an older Generation than it has accepted.
package registry
