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
    network   the meshnet network; may be left out when there is only one
    socket    of meshd (/run/meshnet/meshd.sock)
    mtu       of the interface, in bytes; at most the network's, which is the default
    ipv4      false: the container gets an IPv6 address only

    The container gets an IPv4 address of meshd's choice unless one is asked for: by
    the capability ips ("capabilities": {"ips": true}; podman run --ip), in
    args.cni.ips, or as IP=ADDRESS in CNI_ARGS.

    Keys that neither this list nor the CNI specification has are an error, and so is
    ipam: meshd gives the addresses. "cni-meshnet --version" prints the version.

EXIT STATUS
    0 done; 1 failed, with an error as JSON on standard output. Its code is
    4 wrong environment, 6 malformed configuration, 7 wrong configuration such as an
    unknown network or an address in use, 8 no such network namespace, 11 meshd is not
    reachable or out of addresses (try again), 50 STATUS: not able to attach, 100 the interface exists, 101 the
    interface could not be set up, 102 CHECK: not as it should be, 103 meshd refused.

EXAMPLE
    By hand, with the CNI project's cnitool:
        ip netns add c1
        CNI_PATH=/opt/cni/bin cnitool add homes /run/netns/c1
        CNI_PATH=/opt/cni/bin cnitool del homes /run/netns/c1

SEE ALSO
    meshd --help, meshctl --help, lxc-hook --help
`

func main() {
	cni.Program{
		Name: "cni-meshnet", Version: version, Help: help,
		Funcs: skel.CNIFuncs{Add: add, Del: del, Check: check, GC: gc, Status: status},
	}.Main()
}
