package e2e

import (
	"fmt"
	"strings"
	"testing"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// One binary for lxc.net.0.script.up/down (veth with or without link) and for lxc.hook.start-host/post-stop with
// lxc.net.0.type = empty; hook versions 0 and 1.
//
//	a: one LXC container of each style ── bridge mesh0 ── CNI container
func TestEveryWayToAttachLXC(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	a.Output("meshctl", "network", "create", "mesh", "--bridge", "mesh0")
	a.WriteCNI("mesh", "1.0.0", "")
	db := a.CNI("mesh", "db")

	styles := []lab.LXC{
		{Hook: lab.HookVeth},
		{Hook: lab.HookVeth, Version: 1},
		{Hook: lab.HookVeth, Version: 1, Privileged: true},
		{Hook: lab.HookLink, Bridge: "mesh0"},
		{Hook: lab.HookLink, Bridge: "mesh0", Version: 1, Privileged: true},
		{Hook: lab.HookEmpty},
		{Hook: lab.HookEmpty, Version: 1},
		{Hook: lab.HookEmpty, Version: 1, Privileged: true},
		{Hook: lab.HookPostStop},
		{Hook: lab.HookPostStop, Version: 1, Privileged: true},
		{Hook: lab.HookEmpty, Defaults: true},    // the lines of the README, appended
		{Hook: lab.HookPostStop, Defaults: true}, // and the other ones of docs/operations.md
		{Hook: lab.HookVeth, HookArgs: "--network mesh"},
		{Hook: lab.HookEmpty, HookArgs: "--socket " + lab.Socket + " --network mesh"},
	}
	for i, style := range styles {
		style.Name = fmt.Sprintf("c%d", i)
		t.Run(fmt.Sprintf("%+v", style), func(t *testing.T) {
			c := a.LXC(style)
			c.Reaches(db, waitMesh)
			db.Reaches(c, waitMesh)
			a.StopLXC(c.Name)
			a.Until(c.Name+" is detached after its stop", func() bool {
				for _, lease := range leases(a) {
					if lease.Container == c.Name {
						return false
					}
				}
				return true
			}, func() string { return a.Output("meshctl", "leases") })
		})
	}
	if ports := strings.Count(a.Output("ip", "-o", "link", "show", "master", "mesh0"), "\n") + 1; ports != 2 {
		t.Errorf("ports of mesh0 after all LXC containers have stopped = %d, want 2 (the TAP and db):\n%s", ports, a.Output("ip", "-o", "link"))
	}
}

// ADD, DEL, CHECK, VERSION for CNI 0.4.0 to 1.1.0. DEL is idempotent.
//
//	a: a CNI container of each version
func TestEveryCNIVersion(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	var first *lab.Container
	for _, version := range []string{"0.4.0", "1.0.0", "1.1.0"} {
		name := "v" + strings.ReplaceAll(version, ".", "")
		a.WriteCNI(name, version, `, "network": "mesh"`)
		c := a.CNI(name, name)
		if first == nil {
			first = c
		}
		addrs := fmt.Sprint(c.Addrs())
		for _, command := range []string{"check", "del", "del", "add"} {
			if r := a.TryCNI(command, name, name); r.Code != 0 {
				t.Errorf("cnitool %s with version %s: exit %d: %s", command, version, r.Code, r.Stdout+r.Stderr)
			}
		}
		if got := fmt.Sprint(c.Addrs()); got != addrs {
			t.Errorf("addresses after del and add = %v, were %v", got, addrs)
		}
		if c != first {
			c.Reaches(first, waitMesh)
		}
	}
	if got := len(leases(a)); got != 3 {
		t.Errorf("leases = %d, want 3:\n%s", got, a.Output("meshctl", "leases"))
	}
}

// attach --netns PATH | --pid PID: any other runtime's containers; detach likewise.
//
//	a: two plain network namespaces, one known by its path, one by a process
func TestAttachByHand(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	for _, name := range []string{"one", "two"} {
		a.Output("ip", "netns", "add", name)
	}
	a.Output("meshctl", "attach", "--netns", "/run/netns/one", "--container", "one", "mesh")
	a.Output("ip", "netns", "exec", "two", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! >/run/two.pid")
	pid := a.Output("cat", "/run/two.pid")
	a.Output("meshctl", "attach", "--pid", pid, "--container", "two", "--ifname", "eth0")
	one, two := a.NetNS("one"), a.NetNS("two")
	allReach(t, one, two)
	before := one.Link()
	a.Try("meshctl", "attach", "--netns", "/run/netns/one", "--container", "one", "mesh")
	if got := one.Link(); got != before {
		t.Errorf("a second attach changed the interface: now\n%swas\n%s", got, before)
	}
	for range 2 { // the second has nothing to do
		a.Output("meshctl", "detach", "--netns", "/run/netns/one", "--container", "one", "mesh")
	}
	if r := one.Try("ip", "link", "show", "eth0"); r.Code == 0 {
		t.Errorf("eth0 is still there after detach: %s", r.Stdout)
	}
	a.Output("meshctl", "detach", "--pid", pid, "--container", "two")
	if got := leases(a); len(got) != 0 {
		t.Errorf("leases after detach = %+v, want none", got)
	}
}

// A host may be in several networks; they share nothing but the UDP port.
//
//	a: red1, blue1 ══ underlay ══ b: red2, blue2
func TestTwoNetworks(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "red", a, b)
	b.Output("meshctl", "network", "create", "blue", "--bridge", "blue0")
	a.Output("meshctl", "network", "join", b.Output("meshctl", "network", "token", "blue"))
	var all []*lab.Container
	for i, h := range hosts {
		for _, network := range []string{"red", "blue"} {
			all = append(all, h.LXC(lab.LXC{Name: fmt.Sprint(network, i+1), HookArgs: "--network " + network}))
		}
	}
	red1, blue1, red2, blue2 := all[0], all[1], all[2], all[3]
	red1.Reaches(red2, waitMesh)
	blue2.Reaches(blue1, waitMesh)
	if _, err := red1.Ping(blue1.Addr(), 56); err == nil {
		t.Error("red1 reaches blue1 on the same host")
	}
	if _, err := red1.Ping(blue2.Addr(), 56); err == nil {
		t.Error("red1 reaches blue2")
	}
	a.WriteLXC(lab.LXC{Name: "which"})
	if r := a.Try("lxc-start", "-n", "which"); r.Code == 0 {
		t.Error("a container without --network started on a host with two networks")
	}
	for _, h := range hosts {
		h.Until("both networks are up with two containers each", func() bool {
			all := status(h).Networks
			for _, n := range all {
				if n.State != api.NetworkUp || n.Leases != 2 {
					return false
				}
			}
			return len(all) == 2
		}, func() string { return h.Output("meshctl", "status") })
	}
}
