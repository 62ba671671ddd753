// Package gateway gives a host its own place in a network: the gateway that its containers reach everything else through, which is the
// same on every host, and an address of its own, which containers of all hosts reach it by (docs/architecture.md, "Gateway").
//
//	containers ── bridge ─┬─ port ══ veth ══ device: the gateway's MAC and addresses
//	                      └─ the bridge itself: the host's own address, the routes to the containers
//
// Two interfaces, because what concerns the gateway's MAC does not cross the mesh, and the host's own has to. On the way out packets
// get an address of the host (nftables, a table of its own), since nobody outside knows the containers'.
//
// It is an edge: Linux, by netlink and nftables. Which addresses there are is said by its caller. All of it is idempotent.
package gateway
