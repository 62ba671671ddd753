// Package lab simulates hosts on one Linux machine, for tests and the demo: everything in it is the real thing
// (kernel, meshd, lxc-start, containerd, podman, cnitool), only the machines are namespaces.
//
//	      ┌────────────── the underlay: a bridge in a namespace of its own ─────────────┐
//	      │ 192.0.2.0/24, 2001:db8::/64 (RFC 5737, RFC 3849)    Capture  Lose  Partition │
//	      └──────┬────────────────────────────┬────────────────────────────┬────────────┘
//	           eth0 .1                      eth0 .2                      eth0 .3
//	┌─ host a: net, mount, uts, pid ─┐  ┌─ host b ─────────┐        ┌─ host c ─────────┐
//	│ own /run /var/lib /etc /opt    │  │                  │        │                  │
//	│ meshd, LXC and CNI containers  │  │                  │        │                  │
//	└────────────────────────────────┘  └──────────────────┘        └──────────────────┘
//
// A host is a set of namespaces held by a shell that is its process 1 and reads from a pipe. When the Lab closes, or
// the program that made it dies in whatever way, the pipe ends, process 1 kills the host's processes, removes the
// host's cgroups and goes: the kernel then takes the interfaces and mounts. Nothing is ever looked up by its name.
//
// Runtimes get one image, which the lab makes; no registry is asked for anything. What Debian does not have is built from the Go
// module proxy, once, into the user's cache (BuildContainerd).
//
// Making hosts needs root.
package lab
