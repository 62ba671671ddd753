package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// Killing and restarting any meshd (kill -9 too) heals by itself without touching containers.
//
//	a: web (LXC) ══ underlay ══ b: db (CNI), c: nothing
func TestKillAnyDaemon(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	web := a.LXC(lab.LXC{Name: "web"})
	b.WriteCNI("mesh", "1.0.0", "")
	db := b.CNI("mesh", "db")
	web.Reaches(db, waitMesh)
	before := web.Link() + db.Link()
	known := []*lab.Container{web, dbLease(t, b, db)}

	for _, h := range hosts {
		for _, how := range []string{"kill -9", "SIGTERM"} {
			pings := web.Start("ping", "-6", "-i", "0.2", db.Addr().String())
			if how == "kill -9" {
				h.Meshd().Kill9()
			} else if code := h.Meshd().Stop(); code != 0 {
				t.Errorf("meshd on %s after SIGTERM: exit %d, want 0", h.Name, code)
			}
			began := time.Now()
			h.StartMeshd()
			web.Reaches(db, 20*time.Second)
			t.Logf("%s of %s: healed %v after the restart", how, h.Name, time.Since(began).Round(time.Millisecond))
			db.Reaches(web, waitMesh)
			pings.Signal(syscall.SIGKILL)
			if got := web.Link() + db.Link(); got != before {
				t.Errorf("%s of %s changed the containers' interfaces: now\n%swere\n%s", how, h.Name, got, before)
			}
		}
	}
	meshed(t, hosts...)
	lists(t, hosts, known...)
}

// Networks and membership survive a restart of meshd and of the host. The same attachment gets the same address after
// a crash.
//
//	a: web (LXC) ══ underlay ══ b: db (LXC); b loses power
func TestHostReboot(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	addrs := fmt.Sprint(db.Addrs())

	b.Reboot()
	b.StartMeshd()
	b.Until("the network is up again", func() bool {
		s := status(b)
		return len(s.Networks) == 1 && s.Networks[0].Name == "mesh" && s.Networks[0].State == api.NetworkUp
	}, func() string { return b.Output("meshctl", "status") })
	db = b.LXC(lab.LXC{Name: "db"})
	if got := fmt.Sprint(db.Addrs()); got != addrs {
		t.Errorf("addresses of db after the reboot = %v, were %v", got, addrs)
	}
	web.Reaches(db, waitMesh)
	db.Reaches(web, waitMesh)
}

// The same attachment gets the same address again: a container that is stopped and started is the same attachment.
//
//	a: web (LXC), alone
func TestContainerRestartKeepsAddress(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	addrs := fmt.Sprint(a.LXC(lab.LXC{Name: "web"}).Addrs())
	a.StopLXC("web")
	a.Until("the stopped container is detached", func() bool { return len(leases(a)) == 0 }, func() string {
		return a.Output("meshctl", "leases")
	})
	if got := fmt.Sprint(a.LXC(lab.LXC{Name: "web"}).Addrs()); got != addrs {
		t.Errorf("addresses after the restart of web = %v, were %v", got, addrs)
	}
}

// A member that vanishes is noticed, and seen again when it returns.
//
//	a ══ underlay ══ b
//	        ╳
//	        c, cut off for a while
func TestMemberVanishesAndReturns(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	mesh(t, "mesh", hosts...)
	l.Partition(hosts[2])
	for _, h := range hosts[:2] {
		l.Until(time.Minute, h.Name+" notices that c is gone", func() bool { return peerState(h, "c") == api.PeerDown }, func() string {
			return h.Output("meshctl", "peers")
		})
	}
	if got := peerState(hosts[0], "b"); got != api.PeerUp {
		t.Errorf("b is %s to a while c is cut off, want up", got)
	}
	l.Heal()
	for _, h := range hosts[:2] {
		l.Until(time.Minute, h.Name+" sees c again", func() bool { return peerState(h, "c") == api.PeerUp }, func() string {
			return h.Output("meshctl", "peers")
		})
	}
}

// A member that leaves is gone from the others' lists at once, or said to have left; the token still lets it return.
//
//	a ══ underlay ══ b, which leaves and joins again
func TestLeaveAndJoinAgain(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	token := mesh(t, "mesh", a, b)
	b.Output("meshctl", "network", "leave", "mesh")
	if got := status(b).Networks; len(got) != 0 {
		t.Errorf("networks of b after leaving = %+v, want none", got)
	}
	if r := b.Try("ip", "-o", "link", "show", "type", "bridge"); r.Stdout != "" {
		t.Errorf("b still has a bridge after leaving: %s", r.Stdout)
	}
	a.Until("b has left", func() bool { s := peerState(a, "b"); return s == "" || s == api.PeerLeft }, func() string {
		return a.Output("meshctl", "peers")
	})
	b.Output("meshctl", "network", "join", token)
	meshed(t, a, b)
}

// A network that is left takes its bridge along, whatever is still in it; containers stop and start as ever.
//
//	a: web, and a network that is left while web runs
func TestLeaveWithContainers(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	a.Output("meshctl", "network", "create", "mesh")
	a.LXC(lab.LXC{Name: "web"})
	a.Output("meshctl", "network", "leave", "mesh")
	if r := a.Try("ip", "-o", "link", "show", "type", "bridge"); r.Stdout != "" {
		t.Errorf("a still has a bridge after leaving: %s", r.Stdout)
	}
	a.StopLXC("web")
	a.Output("meshctl", "network", "create", "again")
	if n := status(a).Networks[0]; n.Bridge != "mesh0" {
		t.Errorf("bridge of the next network = %s, want mesh0", n.Bridge)
	}
	a.LXC(lab.LXC{Name: "web"})
}

// peerState returns the best state that h knows of a peer of that name: one that left and joined again is two.
func peerState(h *lab.Host, name string) api.PeerState {
	var state api.PeerState
	for _, p := range peers(h) {
		if p.Name == name && state != api.PeerUp {
			state = p.State
		}
	}
	return state
}
