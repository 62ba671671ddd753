package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// heldBy returns the addresses that a host lists for a container.
func heldBy(h *lab.Host, container string) []netip.Addr {
	for _, l := range leases(h) {
		if l.Container == container {
			return l.Addresses
		}
	}
	return nil
}

// "meshctl lxc enable" puts a container that has an interface on the network with one more, or with no other; "meshctl lxc disable" leaves
// it as it was.
//
//	a: web, with eth0 in br0 ══ underlay ══ b: db
func TestLXCEnable(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a := hosts[0]
	mesh(t, "mesh", hosts...)
	db := hosts[1].LXC(lab.LXC{Name: "db"})
	a.Output("ip", "link", "add", "br0", "type", "bridge")
	a.Output("ip", "link", "set", "br0", "up")
	a.WriteLXC(lab.LXC{Name: "web", Hook: lab.HookNone, Bridge: "br0"})
	config := "/var/lib/lxc/web/config"
	before := a.Output("cat", config)

	start := func() (interfaces []string) {
		t.Helper()
		a.Output("lxc-start", "-n", "web")
		for _, line := range strings.Split(a.Output("lxc-attach", "-n", "web", "--", "ls", "/sys/class/net"), "\n") {
			interfaces = append(interfaces, strings.Fields(line)...)
		}
		return interfaces
	}
	has := func(when string, got []string, want ...string) {
		t.Helper()
		if slices.Sort(got); !slices.Equal(got, append(want, "lo")) {
			t.Errorf("%s: the container has %v, want %v", when, got, want)
		}
	}

	a.Output("meshctl", "lxc", "enable", "mesh", "web")
	has("beside another interface", start(), "eth0", "eth1")
	addrs := heldBy(a, "web")
	if len(addrs) != 2 {
		t.Fatalf("addresses of web: %v, want two", addrs)
	}
	for _, addr := range addrs {
		a.Within(waitMesh, "db reaches web", func() bool { _, err := db.Ping(addr, 100); return err == nil },
			func() string { return a.Try("lxc-attach", "-n", "web", "--", "ip", "addr").Stdout })
	}
	if ports := a.Output("ls", "/sys/class/net/br0/brif"); strings.TrimSpace(ports) == "" {
		t.Error("eth0 is not in br0 any more")
	}
	a.StopLXC("web")

	a.Output("meshctl", "lxc", "enable", "mesh", "web", "--only")
	has("alone", start(), "eth0")
	a.RunningLXC("web").Reaches(db, waitMesh)
	a.StopLXC("web")

	a.Output("meshctl", "lxc", "disable", "web")
	if after := a.Output("cat", config); after != before {
		t.Errorf("the configuration is\n%s\nwant\n%s", after, before)
	}
	has("disabled", start(), "eth0")
	a.Within(10*time.Second, "web has no address", func() bool { return heldBy(a, "web") == nil }, func() string { return a.Try("meshctl", "leases").Stdout })
}
