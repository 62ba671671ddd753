// Meshnet-lxd puts the instances of LXD on meshnet networks.
//
// LXD makes the interfaces, and meshd answers what instances ask (DHCP, router solicitations). What is between them is here: whose
// interface has which MAC, under which name, with which address if its owner asks for one, and when an instance is no more.
//
//   - setup and remove (setup.go) make a managed network of LXD and have meshd put its TAP into the bridge that LXD makes for it.
//   - run (run.go) compares what LXD says of instances with what meshd says of attachments, whenever one of them has changed, and now
//     and then besides, and changes what differs.
//   - What is to be changed is decided by functions without clock, socket or goroutine: instance.go reads LXD's instances, plan.go
//     compares.
//
// There is no state on disk: LXD knows the instances, and meshd the attachments. So it does not matter which of the three is restarted, and
// for how long one of them was away.
//
// This program links github.com/canonical/lxd/client, which is under the AGPL-3.0; so the binary, and no other, is under that licence.
package main
