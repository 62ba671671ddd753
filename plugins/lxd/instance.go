package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// Keys of a NIC by which its owner asks for addresses. LXD lets ipv4.address and ipv6.address be set in a bridge without DHCP of its own
// only together with the filter of that family, which also drops the instance's DHCP; the other two keys it leaves alone.
const (
	keyIPv4    = "ipv4.address"
	keyIPv6    = "ipv6.address"
	keyOwnIPv4 = "user.meshnet.ipv4.address"
	keyOwnIPv6 = "user.meshnet.ipv6.address"
)

// defaultProject is the project of instances that were not put into another.
const defaultProject = "default"

// bridges says which bridge of the host a NIC of LXD is in.
type bridges struct {
	managed  map[string]bool // LXD's managed networks of type bridge; each bridge is called as its network
	separate map[string]bool // projects that have networks of their own, so that they do not see these
}

// nic is one interface of an instance that is in a bridge, whether the instance runs or not.
type nic struct {
	key    api.AttachmentName
	bridge string
	mac    api.MAC
	want   wish
	trouble
}

// wish is the addresses that the owner of an interface asks for.
type wish struct {
	ipv4 string     // as api.AttachOptions has it
	ipv6 netip.Addr // none: any
}

// trouble is what is wrong with what the owner asks for; "": nothing.
type trouble string

// readInstances returns the interfaces of those instances that are on the cluster member here, in the order of their keys. here is "" on
// a host that is in no cluster.
func readInstances(instances []lxdapi.Instance, b bridges, here string) []nic {
	var nics []nic
	for _, i := range instances {
		if here != "" && i.Location != here {
			continue
		}
		for device, config := range i.ExpandedDevices {
			if n, ok := readNIC(i, device, config, b); ok {
				nics = append(nics, n)
			}
		}
	}
	slices.SortFunc(nics, func(a, b nic) int { return compareNames(a.key, b.key) })
	return nics
}

// readNIC returns a device, if it is an interface in a bridge that has a MAC already.
func readNIC(i lxdapi.Instance, device string, config map[string]string, b bridges) (nic, bool) {
	bridge := b.of(i.Project, config)
	if bridge == "" {
		return nic{}, false
	}
	n := nic{key: api.AttachmentName{Container: containerID(i.Project, i.Name), IfName: interfaceName(device)}, bridge: bridge}
	if err := n.mac.UnmarshalText([]byte(cmp.Or(config["hwaddr"], i.Config["volatile."+device+".hwaddr"]))); err != nil {
		return nic{}, false // it gets one before it starts first
	}
	n.want, n.trouble = readWish(config)
	return n, true
}

// of returns the bridge that a device is in, "" if it is no interface or in none.
func (b bridges) of(project string, config map[string]string) string {
	network := config["network"]
	switch {
	case config["type"] != "nic":
		return ""
	case network == "" && config["nictype"] == "bridged":
		return config["parent"]
	case network != "" && b.managed[network] && !b.separate[project]:
		return network
	}
	return ""
}

// readWish returns which addresses a NIC asks for.
func readWish(config map[string]string) (w wish, t trouble) {
	ipv4 := cmp.Or(config[keyOwnIPv4], config[keyIPv4])
	if a, err := netip.ParseAddr(ipv4); ipv4 == "" || ipv4 == api.NoIPv4 || err == nil && a.Is4() {
		w.ipv4 = ipv4
	} else {
		t = trouble(fmt.Sprintf("%.40q is neither an IPv4 address nor %q", ipv4, api.NoIPv4))
	}
	ipv6 := cmp.Or(config[keyOwnIPv6], config[keyIPv6])
	if a, err := netip.ParseAddr(ipv6); err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" {
		w.ipv6 = a
	} else if ipv6 != "" && ipv6 != "none" { // every attachment has an IPv6 address
		t = trouble(fmt.Sprintf("%.40q is not an IPv6 address", ipv6))
	}
	return w, t
}

// containerID returns the name of an instance in the mesh: its own in LXD's default project, and else PROJECT_INSTANCE, which LXD itself
// calls it. Neither name has '_' in LXD. Names of projects may have characters that those of containers have not: these are written as in a
// URL, and a name that is too long ends in a hash.
func containerID(project, instance string) string {
	id := instance
	if project != "" && project != defaultProject {
		id = project + "_" + instance
	}
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '/' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	id = b.String()
	if id != "" && api.CheckContainer(id[:1]) != nil { // none may begin with that
		id = "_" + id
	}
	return shorten(id, api.MaxContainer)
}

// interfaceName returns the name of a device as that of an interface. What an instance calls the interface inside may change, and is not
// known of a virtual machine, so it is LXD's name of the device, which is eth0 for most.
func interfaceName(device string) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' {
			return '_'
		}
		return r
	}, device)
	if name != device || token.CheckIfName(name) != nil {
		name = hashed(name, device, token.MaxIfName)
	}
	return name
}

// shorten returns s if it has at most limit bytes, and else its beginning and a hash.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return hashed(s, s, limit)
}

// hashed returns the beginning of s and a hash of what, limit bytes at most.
func hashed(s, what string, limit int) string {
	sum := sha256.Sum256([]byte(what))
	return s[:min(len(s), limit-7)] + "-" + hex.EncodeToString(sum[:3])
}

func compareNames(a, b api.AttachmentName) int {
	return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.IfName, b.IfName))
}
