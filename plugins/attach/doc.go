// Package attach is the sequence that every plugin, and meshctl, runs to put a container on the overlay and to take it
// off again: ask meshd for the attachment, make the interface; remove the interface, tell meshd.
//
// The interface is made here and not by meshd, because the caller is where the container's network namespace is; meshd
// may be in another mount namespace, and needs no access to any container.
//
// Adds and Dels of the same interface of the same container take turns, by a lock in /run/meshnet/locks.
//
// An Add that fails leaves neither an interface nor, unless it was there before, an attachment.
package attach
