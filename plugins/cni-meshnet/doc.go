// Command cni-meshnet is a CNI plugin that puts a container on a meshnet network. It implements ADD, DEL, CHECK, STATUS
// and VERSION of the CNI specification 1.1.0, and of 0.3.1, 0.4.0 and 1.0.0 what those have
// (https://github.com/containernetworking/cni/blob/main/SPEC.md).
//
//	{
//	  "cniVersion": "1.0.0",
//	  "name": "homes",
//	  "plugins": [{"type": "cni-meshnet", "network": "homes"}]
//	}
//
// Keys of the plugin, all optional:
//
//	network  the meshnet network; the only one of this host if left out
//	socket   of meshd; /run/meshnet/meshd.sock if left out
//	mtu      of the interface, in bytes, at most the network's; the network's if left out
//	ipv4     false: the container gets an IPv6 address only
//
// The container gets an IPv4 address of meshd's choice unless one is asked for: in runtimeConfig.ips (the capability ips,
// "capabilities": {"ips": true}), else in args.cni.ips, else as IP in CNI_ARGS.
//
// Other keys are accepted if the specification defines them, without effect. ipam is refused, as this version delegates to no
// IPAM plugin, and so is what nobody defines; DEL alone takes everything.
//
// The attachment's container ID in meshd is CNI_CONTAINERID, its interface name CNI_IFNAME.
//
// ADD fails if the container has an interface of that name. Its result has the two ends of the veth, the addresses, which
// belong to the container's end, and routes; chained after other plugins, it adds these to theirs.
//
// DEL succeeds if there is nothing to remove, with and without a network namespace. If meshd cannot be reached it
// removes the interface and fails with code 11: the lease must be released, and the runtime calls DEL again.
//
// CHECK compares the interface with meshd's attachment: both ends, bridge, MTU, addresses, routes. The MAC address is
// taken from prevResult if that names the interface, since a chained plugin may change it.
//
// STATUS fails with code 50 if meshd cannot be reached or the network is missing or not up. GC is not implemented: what
// it collects are attachments whose DEL was lost, and calling DEL for these is what libcni does before it calls GC.
//
// Errors, as JSON on standard output:
//
//	 4  the environment is wrong (CNI_IFNAME, CNI_CONTAINERID)
//	 6  the configuration is not JSON of the right types, or prevResult cannot be read
//	 7  the configuration is wrong: unknown network (with the list of those there are), unknown key, MTU, an address that
//	    cannot be had (in use, outside the pools), ...
//	 8  the network namespace is gone, none, or the host's own
//	11  meshd cannot be reached or is not ready, or there is no free address; try again later
//	50  STATUS: ADD would fail
//	100 the container has an interface of that name already
//	101 the interface could not be set up
//	102 CHECK: the interface or the attachment is not as it should be
//	103 meshd refused or failed
package main
