package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// cnitool add, check, status, gc, del, as CNI 1.1.0 has them.
//
//	a: one, two ══ underlay ══ b: db
func TestCNITool(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.WriteCNI("mesh", "1.1.0", "")
	}
	one, two, db := a.CNI("mesh", "one"), a.CNI("mesh", "two"), b.CNI("mesh", "db")
	allReach(t, one, two, db)
	must := func(command string, c *lab.Container) {
		t.Helper()
		if r := c.Host.TryCNI(command, "mesh", c.Name); r.Code != 0 {
			t.Errorf("cnitool %s of %s: exit %d: %s", command, c.Name, r.Code, r.Stdout+r.Stderr)
		}
	}
	must("check", one)
	must("status", one)
	a.Output("ip", "netns", "exec", "two", "ip", "addr", "del", two.IPv4().String()+"/16", "dev", "eth0")
	if r := a.TryCNI("check", "mesh", "two"); r.Code == 0 {
		t.Error("cnitool check passes while the container lacks its address")
	}

	// cnitool gc knows nobody's attachments to be valid: it calls DEL for those that it remembers, and GC without a list, which is
	// not an empty list. The attachment of three is not remembered.
	three := a.CNI("mesh", "three")
	id := leaseOf(t, three)
	a.Output("sh", "-c", "rm /var/lib/cni/results/*"+id+"*")
	must("gc", one)
	onlyLease(t, a, three)
	for _, c := range []*lab.Container{one, two} {
		if r := c.Try("ip", "link", "show", "eth0"); r.Code == 0 {
			t.Errorf("%s has its interface after gc: %s", c.Name, r.Stdout)
		}
	}
	allReach(t, three, db)
	for range 2 {
		must("del", three)
	}
	must("del", db)
	for _, name := range []string{"one", "two", "three"} {
		a.Output("ip", "netns", "del", name)
	}
	b.Output("ip", "netns", "del", "db")
	for _, h := range hosts {
		nothingLeft(t, h)
	}

	a.Meshd().Stop()
	if r := a.TryCNI("status", "mesh", "one"); r.Code == 0 {
		t.Error("cnitool status passes without meshd")
	}
}

// GC removes what is not on the runtime's list, of this CNI network on this host and of nothing else.
//
//	a: live and lost in CNI network mesh; other in CNI network other, and hand (meshctl attach), all in one mesh ══ b: db
func TestGCRemovesExactlyWhatIsDead(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.WriteCNI("mesh", "1.1.0", "")
	}
	a.WriteCNI("other", "1.1.0", `, "network": "mesh"`)
	live, lost, gone := a.CNI("mesh", "live"), a.CNI("mesh", "lost"), a.CNI("mesh", "gone")
	other, db := a.CNI("other", "other"), b.CNI("mesh", "db")
	a.Output("ip", "netns", "add", "hand")
	a.Output("meshctl", "attach", "--netns", "/run/netns/hand", "--container", "hand", "mesh")
	hand := a.NetNS("hand")
	alive := []*lab.Container{live, other, hand, db}
	allReach(t, alive...)
	before := live.Link() + other.Link() + hand.Link()
	dead := []string{leaseOf(t, lost), leaseOf(t, gone)}
	a.Output("ip", "netns", "del", "gone") // and no DEL for it
	for range 2 {
		if r := collect(a, leaseOf(t, live)); r.Code != 0 {
			t.Fatalf("GC: exit %d: %s", r.Code, r.Stdout)
		}
	}
	b.Until("knows that they are gone", func() bool {
		return !slices.ContainsFunc(leases(b), func(l api.Lease) bool { return slices.Contains(dead, l.Container) })
	}, func() string { return b.Output("meshctl", "leases") })
	if got := len(leases(a)); got != len(alive) {
		t.Errorf("leases after GC = %d, want %d:\n%s", got, len(alive), a.Output("meshctl", "leases"))
	}
	if r := lost.Try("ip", "link", "show", "eth0"); r.Code == 0 {
		t.Errorf("lost has its interface after GC: %s", r.Stdout)
	}
	if got := live.Link() + other.Link() + hand.Link(); got != before {
		t.Errorf("GC changed interfaces of the living: now\n%swere\n%s", got, before)
	}
	allReach(t, alive...)
}

// collect calls the plugin's GC for CNI network mesh, as libcni does: the attachments of these containers are valid.
func collect(h *lab.Host, valid ...string) lab.Result {
	return h.Plugin(gcInput(valid...), "CNI_COMMAND=GC")
}

// gcInput is what libcni writes to the plugin: the list under the key of the specification, and under the one of its first drafts.
func gcInput(valid ...string) string {
	list := make([]map[string]string, 0, len(valid))
	for _, id := range valid {
		list = append(list, map[string]string{"containerID": id, "ifname": "eth0"})
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings can be encoded
	}
	return fmt.Sprintf(`{"cniVersion": "1.1.0", "name": "mesh", "type": "cni-meshnet",
		"cni.dev/valid-attachments": %s, "cni.dev/attachments": %[1]s}`, text)
}

// leaseOf returns the container ID under which meshd knows a container.
func leaseOf(t *testing.T, c *lab.Container) string {
	t.Helper()
	addrs := c.Addrs()
	var held []api.Lease
	for _, l := range leases(c.Host) {
		for _, addr := range l.Addresses {
			if len(addrs) > 0 && addr == addrs[0] {
				held = append(held, l)
			}
		}
	}
	if len(held) != 1 {
		t.Fatalf("leases of %s with address %v = %+v, want one", c.Name, addrs, held)
	}
	return held[0].Container
}

// onlyLease fails unless the container's lease is the only one of its host.
func onlyLease(t *testing.T, h *lab.Host, c *lab.Container) {
	t.Helper()
	want, got := leaseOf(t, c), []string{}
	for _, l := range leases(h) {
		if l.Node == h.Name {
			got = append(got, l.Container)
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("leases of %s = %v, want %s", h.Name, got, want)
	}
}
