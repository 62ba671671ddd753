// Command bench measures meshnet beside its peers: other VPNs, and the kernel without any encryption. Every number of a
// run comes from the same machine in the same minutes, the peers taking turns, so what the machine does besides hurts
// all of them alike. It writes docs/benchmarks.md and docs/benchmarks.svg, and leaves nothing else behind.
//
//	┌─ host a ────────────────────┐            ┌────────────────────── host b ─┐
//	│ container ─ bridge ─ peer ─ eth0 ─ cable ─ eth0 ─ peer ─ bridge ─ container │
//	└─────────────────────────────┘            └───────────────────────────────┘
//
// The hosts are those of test/e2e/lab. The cable is a veth pair, or for delay a pair of TAPs that this program shuttles
// frames between. A peer of layer 3 has no port on the bridge: the containers' subnets are routed through it.
//
// What a peer needs is installed from Debian, or built by `go install` into a cache directory. A peer that cannot be
// had or does not carry frames is in the tables with the reason.
package main
