// Command cni-meshnet-ipam is a CNI IPAM plugin: other plugins (bridge, ptp, macvlan, ...) delegate to it and get addresses that
// no other container in the mesh has (https://github.com/containernetworking/cni/blob/main/SPEC.md, version 1.1.0, section 4).
//
//	{
//	  "cniVersion": "1.0.0",
//	  "name": "lan",
//	  "plugins": [{
//	    "type": "bridge", "bridge": "br0", "isGateway": true,
//	    "ipam": {"type": "cni-meshnet-ipam", "network": "homes", "ipv6": false, "routes": [{"dst": "0.0.0.0/0"}]}
//	  }]
//	}
//
// Keys of ipam, all optional:
//
//	network  the meshnet network; the only one of this host if left out
//	socket   of meshd; /run/meshnet/meshd.sock if left out
//	ipv4     false: no IPv4 address
//	ipv6     false: no IPv6 address
//	gateway  one address, or a list with one of each family, in the subnets of the network: passed on in the result. If left
//	         out, those that the network keeps for gateways (10.77.0.1 in 10.77.0.0/16); [] for none
//	routes   passed on in the result
//	dns      passed on in the result
//
// A certain IPv4 address is asked for as cni-meshnet's is: in runtimeConfig.ips, else in args.cni.ips, else as IP in CNI_ARGS.
//
// A lease belongs to (CNI_CONTAINERID, CNI_IFNAME): ADD again answers the same, DEL releases it, CHECK compares prevResult with
// it. One that cni-meshnet, LXC or meshctl has made under that name is a conflict for ADD, and is not touched by DEL. GC
// releases the leases of its CNI network that are not alive; STATUS is that of cni-meshnet. meshd frees a lease when the
// network namespace has gone.
package main
