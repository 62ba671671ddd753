package attach

import (
	"strings"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// checkIfName says whether an interface can have that name in a container. Beside what the kernel says itself
// (token.CheckIfName), "all" and "default" are those of directories in /proc/sys/net/ipv6/conf, and '%' is where it puts
// a number (dev_alloc_name, net/core/dev.c), so that the interface would have another name.
func checkIfName(name string) error {
	if err := token.CheckIfName(name); err != nil {
		return api.Errorf(api.Invalid, "%w", err)
	}
	if name == "all" || name == "default" {
		return api.Errorf(api.Invalid, "the kernel keeps the interface name %q for itself; choose another", name)
	}
	if strings.Contains(name, "%") {
		return api.Errorf(api.Invalid, "interface name %q has the character '%%', where the kernel would put a number; choose another", name)
	}
	return nil
}
