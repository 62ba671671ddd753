package main

const help = `lxc-hook - hook of LXC that puts a container on a meshnet network

SYNOPSIS
    lxc-hook [--socket PATH] [--network NAME] [--ifname NAME] [--ipv4 ADDRESS|none]

DESCRIPTION
    LXC runs this program; its command line is the value of a key in a container's
    configuration (lxc.container.conf(5)), where LXC appends what it has to say. It
    works with lxc.hook.version 0 and 1 (LXC 3.2 or later), for containers that root
    starts, privileged or with lxc.idmap. There are two ways.

    The simplest, and the fastest: LXC makes no interface, the hook makes it.

        lxc.net.0.type = empty
        lxc.hook.start-host = /usr/local/bin/lxc-hook --network homes
        lxc.hook.post-stop = /usr/local/bin/lxc-hook --network homes

    Or LXC makes the veth, and the hook puts it on the network.

        lxc.net.0.type = veth
        lxc.net.0.flags = up
        lxc.net.0.name = eth0
        lxc.net.0.script.up = /usr/local/bin/lxc-hook --network homes
        lxc.hook.post-stop = /usr/local/bin/lxc-hook --network homes

    lxc.net.0.script.down can take the place of lxc.hook.post-stop; but LXC does not
    run it when a start fails, nor tells it that the container is only rebooting.

    In the second way lxc.net.0.link may be left out, or be the network's bridge;
    another bridge is refused. lxc.net.0.ipv6.* and further ipv4.* work beside the hook.
    Leave lxc.net.0.hwaddr out: LXC would set it after the hook, and the container
    would not have the MAC address that meshctl leases shows.

    The container gets an IPv4 address of meshd's choice unless one is asked for: by
    --ipv4 in the first way, where LXC fails on an address in the configuration; in
    the second also by

        lxc.net.0.ipv4.address = 10.77.0.9/16

    The length is that of the network's pool. Of several addresses the first counts.
    Files that the configuration includes are not read.

OPTIONS
    --network NAME  the network; may be left out when there is only one
    --ifname NAME   the interface in the container (eth0). The first way calls it so;
                    in the second, say what lxc.net.0.name says
    --ipv4 ADDRESS  the IPv4 address, whatever the configuration says; none: IPv6 only
    --socket PATH   of meshd (/run/meshnet/meshd.sock)
    --version       print the version

ERRORS
    A container that cannot be attached does not start. LXC throws away what hooks
    print, so the reason, one line, goes to the standard error of the lxc-start that
    waits, to the system's log (journalctl -t lxc-hook), and to the container's log
    at level DEBUG (lxc-start -l DEBUG -o FILE).

    A container always stops, even when meshd is not reachable; its lease is then
    freed some minutes after meshd sees that the container has gone.
    At a reboot of the container lxc.hook.post-stop keeps the lease.

EXIT STATUS
    0 done, or stopping; 1 the container could not be attached; 2 wrong usage.

SEE ALSO
    meshd --help, meshctl --help, cni-meshnet --help, lxc.container.conf(5)
`
