package attach

import "meshnet/plugins/internal/netdev"

// HostName returns the name of the host's end of an attachment's veth; of one that a runtime has made and named, its
// alias. Whoever lists the host's devices can tell by it which attachments have their interface.
func HostName(container, ifname string) string { return netdev.HostName(container, ifname) }
