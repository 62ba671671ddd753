package main

const help = `meshnet-lxd - put the instances of LXD on meshnet networks

SYNOPSIS
    meshnet-lxd [--socket PATH] [--lxd-socket PATH] setup NETWORK [--name NAME]
    meshnet-lxd [--socket PATH] [--lxd-socket PATH] remove NETWORK
    meshnet-lxd [--socket PATH] [--lxd-socket PATH] run

DESCRIPTION
    setup makes a managed network of LXD for the meshnet network NETWORK, which
    this host is a member of, and has meshd use the bridge of that network. Then

        lxc launch IMAGE --network NETWORK

    makes an instance on the mesh. Nothing is configured in it: it gets its
    addresses by DHCP and router advertisements, as on any network.

    run is the daemon (meshnet-lxd.service). It tells meshd which instance has
    which interface, so that meshctl leases shows it by its name, and releases the
    addresses of instances that are deleted. Those that are stopped keep theirs.
    Nothing is lost while it, meshd or LXD is away: it compares when it is back.

    remove undoes setup.

    Instances need no network of LXD's to be on the mesh: with run alone, one whose
    NIC is in the network's bridge (meshctl network list shows it) is served alike:

        lxc config device add INSTANCE eth0 nic nictype=bridged parent=mesh0

    An instance is called by its name, and PROJECT_INSTANCE if it is in another
    project of LXD than default. Its interface is called as LXD calls the device.

    In a cluster run meshnet-lxd on each member, and setup once on each: the first
    makes the network for all, the others have their meshd use it. Each looks after
    the instances that are on its host. All members have to be online for the first
    setup, and for remove, which deletes the network everywhere.

ADDRESSES
    meshd chooses them. The owner of an instance can ask for some:

        lxc config device set INSTANCE DEVICE user.meshnet.ipv4.address=10.77.0.9
        lxc config device set INSTANCE DEVICE user.meshnet.ipv6.address=fd..::9

    or for no IPv4 address with "none". (A device of a profile is made the
    instance's own first: lxc config device override INSTANCE DEVICE.)
    LXD's own ipv4.address and ipv6.address do the same; but in a bridge in which
    LXD does not serve DHCP it allows them only with security.ipv4_filtering=true
    and security.ipv6_filtering=true, which drop what the instance sends to a DHCP
    server, too: then the addresses have to be configured in the instance.

    An address that cannot be had is logged, and tried again; meanwhile the
    instance has another one, or keeps what it had.

OPTIONS
    --name NAME        of LXD's network and its bridge (the name of the network)
    --socket PATH      of meshd ($MESHNET_SOCKET, /run/meshnet/meshd.sock)
    --lxd-socket PATH  of LXD (/var/snap/lxd/common/lxd/unix.socket if it is there,
                       else /var/lib/lxd/unix.socket)
    --version          print the version

EXIT STATUS
    0 done, also if it was before; 1 failed, nothing is changed; 2 wrong usage;
    3 meshd or LXD is not reachable. run ends with 0 at SIGTERM.

LICENSE
    This program contains parts of LXD, which is under the AGPL-3.0, and is under
    that licence as a whole. The rest of meshnet is not.

SEE ALSO
    meshctl --help, meshd --help, lxc --help
`
