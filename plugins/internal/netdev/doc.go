// Package netdev makes, adopts, checks and removes the interface of a container: a veth pair whose one end is a port of
// the network's bridge on the host, and whose other end is inside the container's network namespace.
//
// It knows nothing of meshd: callers say in a Config how the interface has to be. It works with rtnetlink alone and
// starts no other program. All functions need CAP_NET_ADMIN in both namespaces; "the host" is the network namespace of
// the calling thread.
//
// Duplicate address detection is off for the addresses of a Config (IFA_F_NODAD, include/uapi/linux/if_addr.h), and IPv4
// addresses are not probed for (RFC 5227): the mesh has made sure that they are unique, and the second that RFC 4862
// waits would be most of a container's start. IPv4 addresses are announced.
package netdev
