package main

import (
	"github.com/containernetworking/cni/pkg/skel"

	"meshnet/plugins/internal/cni"
)

// version is set by the build (-ldflags -X).
var version = "devel"

const help = `cni-meshnet-ipam - CNI IPAM plugin that gives addresses of a meshnet network

SYNOPSIS
    CNI_COMMAND=ADD|DEL|CHECK|GC|STATUS|VERSION CNI_CONTAINERID=ID CNI_NETNS=PATH
    CNI_IFNAME=eth0 CNI_PATH=DIR cni-meshnet-ipam < configuration

DESCRIPTION
    Other CNI plugins (bridge, ptp, macvlan) run this program, when it is the type of
    their ipam; it is of no use by hand. Their containers get addresses that no other
    container in the mesh has. To put containers on the mesh itself, use cni-meshnet.

        "ipam": {"type": "cni-meshnet-ipam", "network": "homes"}

    meshd runs on the same host and is a member of the network.

CONFIGURATION
    network   the meshnet network; may be left out when there is only one
    socket    of meshd (/run/meshnet/meshd.sock)
    ipv4      false: no IPv4 address
    ipv6      false: no IPv6 address
    gateway   one address, or one of each family; passed on. Default: those that the
              network keeps for gateways; [] for none
    routes    [{"dst": PREFIX, "gw": ADDRESS}, ...]; passed on
    dns       {"nameservers": [...], "search": [...]}; passed on

    An IPv4 address is asked for by the capability ips, in args.cni.ips, or as
    IP=ADDRESS in CNI_ARGS.

EXIT STATUS
    0 done; 1 failed, with an error as JSON on standard output. Its codes are those of
    cni-meshnet (cni-meshnet --help).

EXAMPLE
    {"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "bridge",
     "bridge": "br0", "isGateway": true, "ipMasq": true,
     "ipam": {"type": "cni-meshnet-ipam", "ipv6": false,
              "routes": [{"dst": "0.0.0.0/0"}]}}]}

SEE ALSO
    cni-meshnet --help, meshd --help, meshctl --help
`

func main() {
	cni.Program{
		Name: "cni-meshnet-ipam", Version: version, Help: help,
		Funcs: skel.CNIFuncs{Add: add, Del: del, Check: check, GC: gc, Status: status},
	}.Main()
}
