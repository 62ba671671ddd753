package e2e

import (
	"testing"
	"time"
)

// meshd dies while the plugin waits for it: before it takes the call (accept4), before each step to the disk (write, fsync), before
// the answer (write). An ADD that fails leaves no interface; after meshd's restart DEL leaves nothing at all.
//
//	a: live, and the victims, one after the other ══ underlay ══ b: db
func TestMeshdKilledAnywhere(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.WriteCNI("mesh", "1.1.0", "")
	}
	a := hosts[0]
	live, db := a.CNI("mesh", "live"), hosts[1].CNI("mesh", "db")
	k := killing{T: t, host: a, live: leaseOf(t, live), veths: veths(a)}
	before := live.Link()
	for _, command := range []string{"ADD", "DEL"} {
		for _, syscall := range []string{"accept4", "write", "fsync"} {
			points := 0
			for points < 8 && k.meshdKilled(command, syscall, points+1) {
				points++
			}
			t.Logf("meshd was killed before %d calls of %s during %s", points, syscall, command)
			if points == 0 {
				t.Errorf("meshd never called %s during %s", syscall, command)
			}
		}
	}
	if got := live.Link(); got != before {
		t.Errorf("the interface of live is now\n%swas\n%s", got, before)
	}
	meshed(t, hosts...)
	live.Reaches(db, waitMesh)
	db.Reaches(live, waitMesh)
	a.Output("meshctl", "ipam", "check")
}

// meshdKilled kills meshd before the n-th call of syscall while a plugin runs, starts it again and cleans up by DEL. It returns false
// if meshd did not make so many.
func (k killing) meshdKilled(command, syscall string, n int) bool {
	k.Helper()
	a := k.host
	a.Output("ip", "netns", "add", "victim")
	if command == "DEL" {
		if r := a.Plugin(plainInput, victim("ADD")...); r.Code != 0 {
			k.Fatalf("ADD before DEL: exit %d: %s", r.Code, r.Stdout)
		}
	}
	release := a.Meshd().KillAt(syscall, n)
	r := a.Plugin(plainInput, victim(command)...)
	release()
	killed := a.Meshd().Ended(200*time.Millisecond) || r.Code != 0 && a.Meshd().Ended(5*time.Second)
	if !killed && r.Code != 0 {
		k.Errorf("%s with meshd alive: exit %d: %s", command, r.Code, r.Stdout)
	}
	if killed {
		if command == "ADD" && r.Code != 0 && k.link() {
			k.Errorf("meshd killed before %s number %d: ADD failed and left the interface: %s", syscall, n, r.Stdout)
		}
		a.StartMeshd()
	}
	if r := a.Plugin(plainInput, victim("DEL")...); r.Code != 0 {
		k.Errorf("meshd killed before %s number %d of %s, then DEL: exit %d: %s", syscall, n, command, r.Code, r.Stdout)
	}
	k.onlyLive(command + ": meshd killed before " + syscall)
	a.Output("ip", "netns", "del", "victim")
	return killed
}

// link says whether the victim has its interface.
func (k killing) link() bool {
	k.Helper()
	return k.host.Try("ip", "netns", "exec", "victim", "ip", "link", "show", "eth0").Code == 0
}
