// Package reconcile frees the leases of containers that have gone without saying so: their runtime was killed, its hook
// never ran, meshd could not be reached, the host lost power.
//
// An address that is freed while a container uses it would be given to another, so everything here errs on keeping it.
//
//   - A lease is freed when its interface was missing in at least two observations, the first of them a grace ago, and in
//     all in between. A lease younger than the grace is therefore never touched.
//   - An observer that fails says nothing, and nothing is freed. One that cannot tell (Unsure) has seen nothing missing.
//   - Attaching again, even under the very same names, takes back whatever was found before it.
//   - No container outlives its host. The leases there are when meshd first starts after a boot are those of containers
//     that are no more; each is freed after the grace, unless it is attached again or its interface is seen.
//
// What exists is seen in the kernel: interfaces in the bridge, network namespaces, and the init of a container, which LXC's and LXD's
// have alike; beside that only libcni's results are read. So no runtime has to be asked, or to run.
//
// What is decided from observations is in core: no goroutine, no clock. Reconciler runs it, and Linux looks at the host.
// That a runtime later asks to detach what was freed does no harm: there is nothing to detach.
package reconcile
