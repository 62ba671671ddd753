package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// lxdHost starts a host's LXD and meshnet-lxd.
func lxdHost(t *testing.T, h *lab.Host) (lxd, follower *lab.Process) {
	t.Helper()
	return h.StartLXD(), follow(t, h)
}

// follow starts meshnet-lxd as its unit does: as root without any capability.
func follow(t *testing.T, h *lab.Host) *lab.Process {
	t.Helper()
	p := h.Start("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "meshnet-lxd", "run")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("meshnet-lxd on %s:\n%s", h.Name, p.Err.String())
		}
	})
	return p
}

// named waits until the host lists a container of that name, on whichever host, with exactly the addresses that c has, one of each family.
func named(t *testing.T, h *lab.Host, c *lab.Container, name string) {
	t.Helper()
	h.Within(waitLXD, fmt.Sprintf("lists %s with the addresses that it has", name), func() bool {
		return len(c.Addrs()) == 2 && slices.Equal(leaseNamed(h, name), c.Addrs())
	}, func() string { return fmt.Sprintf("it has %v\n%s", c.Addrs(), h.Output("meshctl", "leases")) })
}

// waitLXD is how long it may take until an instance that was started has the addresses that it is to have, on a busy machine.
const waitLXD = 45 * time.Second

// leaseNamed returns the addresses that a host lists for a container.
func leaseNamed(h *lab.Host, name string) []netip.Addr {
	for _, l := range leases(h) {
		if l.Container == name {
			slices.SortFunc(l.Addresses, netip.Addr.Compare)
			return l.Addresses
		}
	}
	return nil
}

// unlisted waits until no host lists a container.
func unlisted(t *testing.T, name string, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.Until("no longer lists "+name, func() bool { return leaseNamed(h, name) == nil }, func() string { return h.Output("meshctl", "leases") })
	}
}

// "meshnet-lxd setup creates the managed network, lxc launch uses it": instances of an image that knows nothing of meshnet get their
// addresses by DHCP, have their names in the mesh, reach each other, and keep what they have whatever is restarted.
//
//	a: web ── LXD's network mesh ══ underlay ══ b: db ── LXD's network mesh
func TestLXDNetwork(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	lxd, follower := lxdHost(t, a)
	lxdHost(t, b)
	for _, h := range hosts {
		if out := h.Output("meshnet-lxd", "setup", "mesh"); !strings.Contains(out, "uses the bridge mesh instead of mesh0") {
			t.Errorf("setup says %q", out)
		}
		if out := h.Output("meshnet-lxd", "setup", "mesh"); strings.Count(out, "already") != 2 {
			t.Errorf("setup once more says %q, want that all is done already", out)
		}
		if out := h.LXDCommand("network", "list", "--format", "csv"); !strings.Contains(out, "mesh,bridge,YES,none,none,meshnet network mesh,0,CREATED") {
			t.Errorf("lxc network list = %q", out)
		}
	}
	meshed(t, hosts...)
	web, db := a.LaunchLXD("web", "--network", "mesh"), b.LaunchLXD("db", "--network", "mesh")
	for _, h := range hosts {
		named(t, h, web, "web")
		named(t, h, db, "db")
	}
	allReach(t, web, db)
	had := web.Addrs()
	attachments, err := a.Client().Attachments(t.Context(), "mesh")
	if err != nil || len(attachments) != 1 {
		t.Errorf("attachments = %v, %v, want one", attachments, err)
	}
	for _, attachment := range attachments {
		if attachment.Source != api.SourceLXD || attachment.Container != "web" || attachment.IfName != "eth0" {
			t.Errorf("attachment = %+v, want that of web/eth0, by LXD", attachment)
		}
	}

	lxd.Signal(syscall.SIGKILL)
	<-lxd.Done()
	follower.Signal(syscall.SIGKILL)
	<-follower.Done()
	a.Meshd().Kill9()
	a.StartMeshd()
	meshed(t, hosts...)
	db.Reaches(web, waitMesh)
	a.RestartLXD()
	new := a.LaunchLXD("new", "--network", "mesh") // nobody tells meshd who that is
	a.Within(waitLXD, "new has addresses", func() bool { return len(new.Addrs()) == 2 }, func() string { return a.Output("meshctl", "leases") })
	addrs := new.Addrs()
	follow(t, a)
	named(t, b, new, "new") // by the very addresses that it has
	if !slices.Equal(new.Addrs(), addrs) {
		t.Errorf("addresses of new = %v, were %v before it had a name", new.Addrs(), addrs)
	}
	allReach(t, web, db, new)

	a.LXDCommand("stop", "-f", "web", "-q")
	a.LXDCommand("rename", "web", "www")
	a.LXDCommand("copy", "www", "copy", "-q")
	for _, h := range hosts {
		h.Until("lists www and copy", func() bool {
			return slices.Equal(leaseNamed(h, "www"), had) && len(leaseNamed(h, "copy")) == 2 && leaseNamed(h, "web") == nil
		}, func() string { return fmt.Sprintf("web had %v\n%s", had, h.Output("meshctl", "leases")) })
	}
	a.LXDCommand("start", "www", "copy", "-q")
	www, copied := a.RunningLXD("www"), a.RunningLXD("copy")
	named(t, b, www, "www")
	named(t, b, copied, "copy")
	if !slices.Equal(www.Addrs(), had) {
		t.Errorf("addresses of www = %v, those of web were %v", www.Addrs(), had)
	}
	allReach(t, www, copied, db)

	for _, name := range []string{"www", "copy", "new"} {
		a.LXDCommand("delete", "-f", name, "-q")
		unlisted(t, name, hosts...)
	}
	if r := b.Try("meshnet-lxd", "remove", "mesh"); r.Code != 1 || !strings.Contains(r.Stderr, "is used by instances/db") {
		t.Errorf("remove of a network that is used: exit %d, %q", r.Code, r.Stderr)
	}
	b.LXDCommand("delete", "-f", "db", "-q")
	for _, h := range hosts {
		if out := h.Output("meshnet-lxd", "remove", "mesh"); !strings.Contains(out, "uses the bridge mesh0 instead of mesh") {
			t.Errorf("remove says %q", out)
		}
		h.Output("meshnet-lxd", "remove", "mesh") // there is nothing to do
		if out := h.LXDCommand("network", "list", "--format", "csv"); strings.Contains(out, "mesh,") {
			t.Errorf("lxc network list after remove = %q", out)
		}
	}
	meshed(t, hosts...)
	allReach(t, a.LXC(lab.LXC{Name: "c1"}), b.LXC(lab.LXC{Name: "c2"})) // in the bridges that meshd has made again
	a.Output("meshctl", "ipam", "check")
}

// "Keeps it in after LXD restarts and boot order surprises": after a boot meshd may be there before LXD has made the bridge. Containers that
// were in meshd's own bridge at setup go along, and the host remains their way out.
//
//	a: c1 (LXC), web (LXD) ── LXD's network mesh, egress nat ══ underlay ══ b: c2 (LXC)
func TestLXDMakesTheBridgeLater(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	if out := a.Output("meshctl", "network", "set", "mesh", "--egress", "nat"); out != "mesh: bridge mesh0, dhcp open, egress nat" {
		t.Errorf("meshctl network set says %q", out)
	}
	lxd, _ := lxdHost(t, a)
	c1, c2 := a.LXC(lab.LXC{Name: "c1"}), b.LXC(lab.LXC{Name: "c2"})
	meshed(t, hosts...)
	allReach(t, c1, c2)
	self := leaseNamed(b, "@a")
	before := c1.Link()
	a.Output("meshnet-lxd", "setup", "mesh")
	meshed(t, hosts...)
	allReach(t, c1, c2)
	if after := c1.Link(); after != before {
		t.Errorf("the interface of c1 after setup:\n%swas:\n%s", after, before)
	}
	web := a.LaunchLXD("web", "--network", "mesh")
	named(t, b, web, "web")
	had := web.Addrs()
	a.Until("web reaches its host", func() bool { _, err := web.Ping(self[0], 56); return err == nil },
		func() string { return fmt.Sprintf("the host has %v\n%s", self, a.Output("meshctl", "leases")) })
	if now := leaseNamed(b, "@a"); !slices.Equal(now, self) {
		t.Errorf("the host's own addresses are %v, were %v in the other bridge", now, self)
	}

	a.LXDCommand("stop", "-f", "web", "-q")
	a.Meshd().Stop()
	lxd.Signal(syscall.SIGTERM)
	<-lxd.Done()
	a.Output("ip", "link", "del", "mesh")
	a.StartMeshd()
	a.Until("waits for the bridge", func() bool { return strings.Contains(a.Output("meshctl", "status"), "there is no bridge mesh") },
		func() string { return a.Output("meshctl", "status") })
	a.RestartLXD()
	meshed(t, hosts...)
	a.LXDCommand("start", "web", "-q")
	web = a.RunningLXD("web")
	named(t, b, web, "web")
	if !slices.Equal(web.Addrs(), had) {
		t.Errorf("addresses of web = %v, were %v before", web.Addrs(), had)
	}
	later := a.LaunchLXD("later", "--network", "mesh") // meshnet-lxd has found LXD and meshd again
	named(t, b, later, "later")
	allReach(t, web, later, c2)

	a.LXDCommand("delete", "-f", "web", "later", "-q")
	a.LXDCommand("network", "rename", "mesh", "lx") // and the bridge is renamed
	if out := a.Output("meshnet-lxd", "setup", "mesh"); !strings.Contains(out, "uses the bridge lx instead of mesh") {
		t.Errorf("setup after LXD's network was renamed says %q", out)
	}
	meshed(t, hosts...)
	renamed := a.LaunchLXD("renamed", "--network", "lx")
	named(t, b, renamed, "renamed")
	allReach(t, renamed, c2)
}

// "ipv4.address and ipv6.address set by the user on the NIC are honoured"; instances of other projects, and those in a bridge that LXD does
// not manage, are on the mesh alike; one that is moved to another host takes its addresses along.
//
//	a: instances ── bridge mesh0 of meshd ══ underlay ══ b: instances ── LXD's network lx
func TestLXDInstances(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		lxdHost(t, h)
	}
	b.Output("meshnet-lxd", "setup", "mesh", "--name", "lx")
	meshed(t, hosts...)
	refusesSetup(t, a, b)

	plain := launchInBridge(a, "plain", "mesh0")
	a.LXDCommand("project", "create", "blue", "-c", "features.images=false", "-c", "features.profiles=false")
	blue := launchInBridge(a, "web", "mesh0", "--project", "blue")
	named(t, b, plain, "plain")
	named(t, b, blue, "blue_web")

	prefix := netip.PrefixFrom(plain.Addr(), 64).Masked().Addr().As16()
	prefix[15] = 9
	want6 := netip.AddrFrom16(prefix)
	asks := func(name string, device ...string) {
		b.LXDCommand("init", "dhcp", name, "--network", "lx", "-q")
		b.LXDCommand(append([]string{"config", "device", "set", name, "eth0"}, device...)...)
		b.LXDCommand("start", name, "-q")
	}
	asks("asks", "user.meshnet.ipv4.address=10.77.0.200", "user.meshnet.ipv6.address="+want6.String())
	chosen := b.RunningLXD("asks")
	named(t, a, chosen, "asks")
	if got := chosen.Addrs(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.77.0.200"), want6}) {
		t.Errorf("addresses of asks = %v, want 10.77.0.200 and %v", got, want6)
	}
	asks("filtered", "ipv4.address=10.77.0.201", "security.ipv4_filtering=true") // which also drops its DHCP
	filtered := b.RunningLXD("filtered")
	b.Output("nsenter", "--net="+filtered.NetNS, "ip", "addr", "add", "10.77.0.201/16", "dev", "eth0")
	named(t, a, filtered, "filtered")
	allReach(t, plain, blue, chosen, filtered)

	b.LXDCommand("config", "device", "set", "asks", "eth0", "user.meshnet.ipv4.address=10.77.0.210") // while it runs
	a.Until("lists asks with its new address", func() bool {
		return slices.Equal(leaseNamed(a, "asks"), []netip.Addr{netip.MustParseAddr("10.77.0.210"), want6})
	}, func() string { return a.Output("meshctl", "leases") })
	b.LXDCommand("restart", "-f", "asks", "-q")
	chosen = b.RunningLXD("asks")
	named(t, a, chosen, "asks")
	allReach(t, plain, chosen)

	had := plain.Addrs()
	moved := move(t, a, b, "plain")
	named(t, a, moved, "plain")
	if !slices.Equal(moved.Addrs(), had) {
		t.Errorf("addresses of plain after its move = %v, were %v", moved.Addrs(), had)
	}
	allReach(t, moved, blue)
	a.Output("meshctl", "ipam", "check")
}

// launchInBridge launches an instance as one does in a bridge that LXD does not manage.
func launchInBridge(h *lab.Host, name, bridge string, args ...string) *lab.Container {
	h.LXDCommand(append([]string{"init", "dhcp", name, "-q"}, args...)...)
	h.LXDCommand(append([]string{"config", "device", "add", name, "eth0", "nic", "nictype=bridged", "parent=" + bridge, "name=eth0", "-q"}, args...)...)
	h.LXDCommand(append([]string{"start", name, "-q"}, args...)...)
	return h.RunningLXD(name, args...)
}

// move takes an instance to another host, as LXD does it between servers that know each other: with its volatile keys, to which its MAC
// belongs. It runs there before it is deleted here.
func move(t *testing.T, from, to *lab.Host, name string) *lab.Container {
	t.Helper()
	mac := from.LXDCommand("config", "get", name, "volatile.eth0.hwaddr")
	from.LXDCommand("stop", "-f", name, "-q")
	to.LXDCommand("init", "dhcp", name, "--network", "lx", "-c", "volatile.eth0.hwaddr="+mac, "-q")
	to.LXDCommand("start", name, "-q")
	from.LXDCommand("delete", name, "-q")
	return to.RunningLXD(name)
}

// refusesSetup looks for what meshnet-lxd has to refuse: each with a line that says the way out, and nothing changed.
func refusesSetup(t *testing.T, a, b *lab.Host) {
	t.Helper()
	a.LXDCommand("network", "create", "lxdbr0", "ipv4.address=none", "ipv6.address=none")
	defer a.LXDCommand("network", "delete", "lxdbr0")
	launchInBridge(a, "user", "mesh0")
	defer a.LXDCommand("delete", "-f", "user", "-q")
	before := a.LXDCommand("network", "list", "--format", "csv") + a.Output("meshctl", "network", "list")
	for _, row := range []struct {
		host *lab.Host
		line string
		code int
		says string
	}{
		{a, "setup nope", 1, `there is no network "nope" on this host, only mesh`},
		{a, "setup mesh --name lxdbr0", 1, "meshnet-lxd did not make: say another --name"},
		{a, "setup mesh --name eth0", 1, "an interface eth0, which is not LXD's: say another --name"},
		{a, "setup mesh --name mesh0", 1, "an interface mesh0, which is not LXD's: say another --name"},
		{a, "setup mesh", 1, "user/eth0 is in the bridge mesh0, which setup would remove"},
		{a, "setup mesh --lxd-socket /run/none", 3, "LXD is not reachable: there is no socket /run/none"},
		{a, "setup mesh --socket /run/none", 3, "meshd is not reachable"},
		{a, "remove nope", 1, `there is no network "nope"`},
		{b, "setup mesh --name other", 1, "LXD's network lx already"},
	} {
		r := row.host.Try(append([]string{"meshnet-lxd"}, strings.Fields(row.line)...)...)
		if r.Code != row.code || !strings.Contains(r.Stderr, row.says) || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("meshnet-lxd %s: exit %d, %q, %q; want %d, %q", row.line, r.Code, r.Stdout, r.Stderr, row.code, row.says)
		}
	}
	if after := a.LXDCommand("network", "list", "--format", "csv") + a.Output("meshctl", "network", "list"); after != before {
		t.Errorf("after what was refused:\n%s\nbefore:\n%s", after, before)
	}
}
