package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// "Projects and clusters handled": the first setup makes the network for all members, and each member's meshnet-lxd looks after the instances
// that are there. One that is moved to another member keeps its addresses. While a member is offline LXD makes no network, and setup says so.
//
//	a, b: members of one cluster of LXD, and of one network
func TestLXDCluster(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	daemons := l.LXDCluster(hosts...)
	for _, h := range hosts {
		follow(t, h)
	}
	if out := a.Output("meshnet-lxd", "setup", "mesh"); !strings.Contains(out, "made on cluster members a, b") {
		t.Errorf("setup on the first member says %q", out)
	}
	if out := b.Output("meshnet-lxd", "setup", "mesh"); !strings.Contains(out, "LXD has the network mesh already") || !strings.Contains(out, "instead of mesh0") {
		t.Errorf("setup on the second member says %q", out)
	}
	meshed(t, hosts...)
	a.LXDCommand("launch", "dhcp", "web", "--network", "mesh", "--target", "a", "-q")
	a.LXDCommand("launch", "dhcp", "db", "--network", "mesh", "--target", "b", "-q")
	web, db := a.RunningLXD("web"), b.RunningLXD("db")
	named(t, b, web, "web")
	named(t, a, db, "db")
	allReach(t, web, db)
	for _, h := range hosts {
		for _, l := range leases(h) {
			if want := map[string]string{"web": "a", "db": "b"}[l.Container]; l.Node != want {
				t.Errorf("%s says that %s is on %s, want %s", h.Name, l.Container, l.Node, want)
			}
		}
	}
	had := web.Addrs()
	a.LXDCommand("stop", "-f", "web", "-q")
	a.LXDCommand("move", "web", "--target", "b", "-q")
	a.LXDCommand("start", "web", "-q")
	web = b.RunningLXD("web")
	named(t, a, web, "web")
	if !slices.Equal(web.Addrs(), had) {
		t.Errorf("addresses of web after its move = %v, were %v", web.Addrs(), had)
	}
	allReach(t, web, db)
	a.LXDCommand("delete", "-f", "web", "db", "-q")
	if out := a.Output("meshnet-lxd", "remove", "mesh"); !strings.Contains(out, "meshnet-lxd remove mesh there, too") {
		t.Errorf("remove says %q", out)
	}
	if out := b.Output("meshnet-lxd", "remove", "mesh"); !strings.Contains(out, "uses the bridge mesh0 instead of mesh") {
		t.Errorf("remove on the second member says %q", out)
	}
	a.Output("meshctl", "ipam", "check")

	a.LXDCommand("config", "set", "cluster.offline_threshold=11") // seconds; the least
	daemons[1].Signal(syscall.SIGKILL)
	<-daemons[1].Done()
	list := func() string { return a.LXDCommand("cluster", "list", "--format", "csv") }
	a.Within(time.Minute, "member b is offline", func() bool { return strings.Contains(lineOf(list(), "b,"), ",OFFLINE,") }, list)
	if r := a.Try("meshnet-lxd", "setup", "mesh"); r.Code != 1 || !strings.Contains(r.Stderr, "b is offline") || r.Stdout != "" {
		t.Errorf("setup while a member is offline: exit %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	if out := a.LXDCommand("network", "list", "--format", "csv"); strings.Contains(out, "\nmesh,") || strings.HasPrefix(out, "mesh,") {
		t.Errorf("lxc network list after setup was refused = %q", out)
	}
}

// lineOf returns the line of text that begins with start.
func lineOf(text, start string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, start) {
			return line
		}
	}
	return ""
}
