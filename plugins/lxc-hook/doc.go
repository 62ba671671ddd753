// Command lxc-hook is a hook of LXC that puts a container on a meshnet network: see --help for the two ways to write it
// into a container's configuration. It implements what lxc.container.conf(5) says of lxc.hook.version 0 and 1, and what
// LXC 5.0.2 was seen to pass.
//
// The attachment's container ID in meshd is LXC_NAME. A start fails when the container cannot be attached; a stop never
// does: what meshd could not be told, it finds out itself some minutes later.
package main
