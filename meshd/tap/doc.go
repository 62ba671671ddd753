// Package tap is the daemon's edge to the containers: a Linux TAP device, read and written in batches of Ethernet
// frames without allocating, and the bridge that it is a port of.
//
// The device is persistent. When meshd ends it stays, with its place in the bridge, and the next meshd opens it again:
// containers see the mesh go silent for a moment, and keep their link.
//
// Everything happens in the network namespace of the calling thread. CAP_NET_ADMIN is needed to make and change
// devices.
package tap
