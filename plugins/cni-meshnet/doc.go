// Command cni-meshnet is a CNI plugin that puts a container on a meshnet network. It implements ADD, DEL, CHECK, GC, STATUS
// and VERSION of the CNI specification 1.1.0, and of 0.1.0 to 1.0.0 what those have
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
//	network           the meshnet network; the only one of this host if left out
//	socket            of meshd; /run/meshnet/meshd.sock if left out
//	mtu               of the interface, in bytes, at most the network's; the network's if left out
//	ipv4              false: no IPv4 address
//	ipv6              false: no IPv6 address
//	mac               of the interface; meshd's choice if left out
//	gateway           one address, or a list with one of each family, in the subnets of the container's addresses
//	isDefaultGateway  true: default routes by the gateways. There being no gateway is an error
//	routes            further routes, as in a result: dst, gw, mtu, advmss, priority, table, scope. Without gw it is the gateway of
//	                  the family, if there is one, or else the link
//	aliases           other names of the container, a list
//	bandwidth         ingressRate, ingressBurst, egressRate, egressBurst: bits per second and bits, as seen from the container
//	dns               for the result
//	ipam              another plugin that gives the addresses (see below)
//
// Runtimes fill in runtimeConfig if the configuration declares the capability: ips, mac, aliases, bandwidth, dns. What is there
// comes before args.cni (ips, mac), this before CNI_ARGS (IP, MAC), and this before the keys above. CNI_ARGS that nobody knows
// are an error without IgnoreUnknown=1. The container gets an IPv4 address of meshd's choice unless one is asked for; an IPv6
// address cannot be chosen, it follows from the container's name.
//
// Other keys are accepted if the specification defines them, without effect. What nobody defines is refused; DEL alone takes
// everything.
//
// The attachment's container ID in meshd is CNI_CONTAINERID, at most 256 bytes, its interface name CNI_IFNAME.
//
// ADD fails if the container has an interface of that name. After any error there is neither interface nor lease. Its result has
// the two ends of the veth, with MAC and MTU, the addresses, which belong to the container's end, routes and DNS; chained after
// other plugins, it adds these to theirs.
//
// DEL succeeds if there is nothing to remove, with and without a network namespace and prevResult. If meshd cannot be reached it
// removes the interface and fails with code 11: the lease must be released, and the runtime calls DEL again. What LXC or
// meshctl has attached keeps its lease.
//
// CHECK compares the interface with meshd's attachment and with prevResult: both ends, bridge, MTU, addresses, routes, limits
// of the rate. The MAC address is taken from prevResult if that names the interface, since a chained plugin may change it.
//
// GC removes the attachments on this host that were made for the CNI network called name and are not among
// cni.dev/valid-attachments (or cni.dev/attachments, as libcni also writes it): interface, lease, limits. Attachments of other
// CNI networks, of LXC and of meshctl are not touched. It goes on after an error. Without a list, or with null, it does nothing.
//
// STATUS fails with code 50 if meshd cannot be reached, the network is missing or not up, or no IPv4 address can be leased,
// though the configuration wants one; with 51 if the network has several other members and none of them is reached.
//
// ipam names a plugin as elsewhere ({"type": "host-local", …}). The container then has the addresses, gateways and routes that
// plugin gives, and none of the mesh's, unless ipv6 is true, which adds the mesh's IPv6 address. Whether these addresses are
// unique in the mesh is that plugin's business. It is asked for ADD, DEL, CHECK, GC and STATUS too; whatever fails in ADD, it
// gets a DEL, but it is not asked at all if the container has the interface.
//
// Errors, as JSON on standard output; package meshnet/plugins/internal/cni has the numbers:
//
//	  1 the version is none of these
//	  4 the environment is wrong (CNI_IFNAME, CNI_CONTAINERID, CNI_ARGS)
//	  5 standard input cannot be read
//	  6 the configuration is not JSON of the right types, or too large, or prevResult cannot be read
//	  7 the configuration is wrong: unknown network (with the list of those there are), unknown key, MTU, an address that
//	    cannot be had (in use, outside the pools), no gateway, no such IPAM plugin, ...
//	  8 the network namespace is gone, none, or the host's own
//	 11 meshd cannot be reached or is not ready, or there is no free address; try again later
//	 50 STATUS: ADD would fail
//	 51 STATUS: the same, or containers reach no other host
//	100 the container has an interface of that name already
//	101 the interface could not be set up
//	102 CHECK: the interface or the attachment is not as it should be
//	103 meshd refused or failed
//	104 GC: something that is dead could not be removed
//
// An error of an IPAM plugin keeps that plugin's code.
package main
