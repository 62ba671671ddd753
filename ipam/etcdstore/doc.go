// Package etcdstore is the block store in an etcd v3 cluster, for those who run one already or have thousands of hosts. Every
// node is a client; etcd decides whose transaction counts.
//
// # Keys
//
// All keys lie below <prefix>/<network ID in hex>/, so networks do not meet, and one role with readwrite on that range is enough:
//
//	record/<key>   one record of the registry each (ipam/registry)
//	mark/<node>    the number of this node's newest commit: random text
//
// # One command
//
// Each node mirrors the network's keys: it reads them once and follows a watch. Do applies the command to the mirror and sends
// what would be written as one transaction, on condition that no key that the outcome depends on has been written since. If one
// has, the refusal brings everything that was written since, and the next attempt starts from there. So a command costs one round
// trip, and one more for each node that was quicker at the same keys. A refusal by the registry ("exhausted", "fenced") is
// confirmed by a read before anybody hears of it: a mirror that lags never decides.
//
// If the answer gets lost, with a member that is killed or a connection that breaks, the command may have been applied or not.
// Each transaction writes a fresh number to the node's mark and compares the mark's revision as well: so of all attempts at one
// command at most one counts, and by the mark the node learns which.
//
// # Time
//
// etcd has no time to offer, so a command is stamped by the node that sends it: with the registry's own time, moved on by the
// node's monotonic clock since it heard of it. The wall clock counts only where it is ahead, at the first command and then once a
// day at most; the registry takes such a step for registry.MaxStep, however long it is. So a clock that is wrong or jumps
// moves deadlines by minutes at most.
//
// # What can go wrong
//
// Without a majority of etcd's members, without a connection, with a wrong certificate or password or a full database, Do fails
// with ipam.ErrNoStore and says which; nodes go on leasing from the blocks they own. A watch that etcd has compacted away begins
// again with a read.
//
// An etcd that is put back to a backup has forgotten blocks that nodes lease from. Nodes that were running notice (the revision
// or the number of keys is lower than it was, or the cluster has another ID) and refuse every command but registry.OpRecover,
// after which all nodes have to say what they own before anything new is given out. A node that was not running, or was cut off
// since before the backup, cannot notice: run `meshctl ipam recover` after every restore.
package etcdstore
