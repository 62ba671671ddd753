package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// An LXD instance gets its interface by lxc-hook, as raw.lxc lets it, keeps its addresses over a restart, and leaves nothing behind
// when LXD, meshd or the instance itself is killed.
//
//	a: LXD instance web ══ underlay ══ b: LXC container db
func TestLXD(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	daemon := a.StartLXD()
	web, db := a.LXD("web", ""), b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)
	addr4, addr6 := web.IPv4(), web.Addr()

	a.LXDCommand("restart", "-f", "web", "-q")
	web = a.RunningLXD("web")
	if web.IPv4() != addr4 || web.Addr() != addr6 {
		t.Errorf("addresses of web after a restart = %v and %v, were %v and %v", web.IPv4(), web.Addr(), addr4, addr6)
	}
	allReach(t, web, db)

	daemon.Signal(syscall.SIGKILL)
	<-daemon.Done()
	a.Meshd().Kill9()
	a.StartMeshd()
	meshed(t, a, b)
	db.Reaches(web, waitMesh)
	a.RestartLXD()
	allReach(t, a.RunningLXD("web"), db)

	web = a.RunningLXD("web")
	a.Output("kill", "-9", strings.Split(web.NetNS, "/")[2]) // its init: LXD runs post-stop then
	a.Within(time.Minute, "web is detached after its init was killed", func() bool { return len(leases(b)) == 1 }, func() string { return a.Output("meshctl", "leases") })
	a.LXDCommand("start", "web", "-q")
	web = a.RunningLXD("web")
	if web.IPv4() != addr4 {
		t.Errorf("address of web after its init was killed = %v, was %v", web.IPv4(), addr4)
	}
	a.LXDCommand("delete", "-f", "web", "-q")
	a.Within(time.Minute, "web is detached after its end", func() bool { return len(leases(b)) == 1 }, func() string { return a.Output("meshctl", "leases") })
	a.Output("meshctl", "ipam", "check")
}
