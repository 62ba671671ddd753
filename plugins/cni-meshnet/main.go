package main

import (
	"github.com/containernetworking/cni/pkg/skel"

	"meshnet/plugins/internal/cni"
)

// version is set by the build (-ldflags -X).
var version = "devel"

const help = `cni-meshnet - CNI plugin that puts containers on a meshnet network

SYNOPSIS
    CNI_COMMAND=ADD|DEL|CHECK|GC|STATUS|VERSION CNI_CONTAINERID=ID CNI_NETNS=PATH
    CNI_IFNAME=eth0 CNI_PATH=DIR cni-meshnet < configuration

DESCRIPTION
    Container runtimes (containerd, CRI-O, podman, Nomad) run this program; it is
    of no use by hand. Put it into the runtime's plugin directory (/opt/cni/bin)
    and a file like this into its configuration directory (/etc/cni/net.d):

        {
          "cniVersion": "1.0.0",
          "name": "homes",
          "plugins": [{"type": "cni-meshnet", "network": "homes"}]
        }

    Each container then gets an interface in that network. meshd runs on the same
    host and is a member of the network (meshctl network create, meshctl network
    join). containerd 1 and podman 4 want cniVersion 1.0.0 or earlier.

CONFIGURATION
    network    the meshnet network; may be left out when there is only one
    socket     of meshd (/run/meshnet/meshd.sock)
    mtu        of the interface, in bytes; at most the network's, which is the default
    ipv4, ipv6 false: no address of that family
    mac        of the interface
    gateway    one address, or one of each family
    isDefaultGateway   true: default routes by the gateways
    routes     [{"dst": PREFIX, "gw": ADDRESS, "mtu": N, "priority": N}, ...]
    aliases    other names of the container
    bandwidth  {"ingressRate": BIT/S, "ingressBurst": BIT, "egressRate", "egressBurst"}
    dns        {"nameservers": [...], "search": [...]}, for the result
    ipam       {"type": PLUGIN, ...}: that plugin gives the addresses instead of meshd

    Capabilities are ips, mac, aliases, bandwidth and dns. An IPv4 address or a MAC
    can also be asked for in args.cni (ips, mac) or CNI_ARGS (IP, MAC).

    Keys that neither this list nor the CNI specification has are an error.
    "meshctl cni config" writes a configuration; "cni-meshnet --version" prints the
    version.

EXIT STATUS
    0 done; 1 failed, with an error as JSON on standard output. Its code is
    1 unknown CNI version, 4 wrong environment, 5 and 6 unreadable configuration,
    7 wrong configuration such as an unknown network or an address in use, 8 no such
    network namespace, 11 meshd is not reachable or out of addresses (try again),
    50 STATUS: not able to attach, 51 STATUS: no other host is reached, 100 the
    interface exists, 101 the interface could not be set up, 102 CHECK: not as it
    should be, 103 meshd refused, 104 GC: could not remove all that is dead.

EXAMPLE
    By hand, with the CNI project's cnitool:
        ip netns add c1
        CNI_PATH=/opt/cni/bin cnitool add homes /run/netns/c1
        CNI_PATH=/opt/cni/bin cnitool del homes /run/netns/c1

SEE ALSO
    cni-meshnet-ipam --help, meshctl cni --help, meshd --help
`

func main() {
	cni.Program{
		Name: "cni-meshnet", Version: version, Help: help,
		Funcs: skel.CNIFuncs{Add: add, Del: del, Check: check, GC: gc, Status: status},
	}.Main()
}
