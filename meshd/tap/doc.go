// Package tap is the daemon's edge to the containers: a Linux TAP device, read and written in batches of Ethernet
// frames without allocating, and the bridge that it is a port of.
//
// The device is persistent. When meshd ends it stays, with its place in the bridge, and the next meshd opens it again:
// containers see the mesh go silent for a moment, and keep their link.
//
// A packet is an offload header (package offload) and a frame: the kernel hands over TCP and UDP of up to 64 KB as one frame, and
// takes them back so. A device may have several queues, between which the kernel shares out the flows.
//
// Everything happens in the network namespace of the calling thread. CAP_NET_ADMIN is needed to make and change
// devices.
package tap
