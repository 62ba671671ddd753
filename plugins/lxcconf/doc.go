// Package lxcconf reads and edits the configuration of an LXC container (lxc.container.conf(5)), as far as a network is concerned. It
// is text in, text out; files that a configuration includes are not read.
package lxcconf
