package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"meshnet/meshd/token"
	"meshnet/test/e2e/lab"
)

// What cannot be done leaves nothing behind: no bridge, no TAP, no files, and above all not those of another network.
//
//	a: a network "mesh", and several failures
func TestFailuresLeaveNothing(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	text := a.Output("meshctl", "network", "create", "mesh")
	before := a.Output("ip", "-o", "-br", "link")
	same := func(after string) {
		t.Helper()
		if links := a.Output("ip", "-o", "-br", "link"); links != before {
			t.Errorf("links after %s:\n%s\nwant as before:\n%s", after, links, before)
		}
		if got := a.Output("ls", "/var/lib/meshnet/networks"); got != "mesh" {
			t.Errorf("networks on disk after %s = %q, want mesh alone", after, got)
		}
	}
	renamed, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	renamed.Name = "other"
	fails(t, a, 1, []string{"mesh", "same ID"}, "meshctl", "network", "join", renamed.String())
	same("joining a network under another name")
	if r := a.Try("meshctl", "network", "create", "bad", "--ipv6", "fc00::/48"); r.Code == 0 {
		t.Error("a prefix in fc00::/8 is accepted")
	}
	same("a bad prefix")
	fails(t, a, 1, []string{"mesh0", "belongs to network mesh"}, "meshctl", "network", "create", "bad", "--bridge", "mesh0")
	same("a bridge of another network")
}

// A network whose files cannot be read is not overwritten by one of the same name.
//
//	a: a network whose network.json is damaged
func TestUnreadableNetworkIsKept(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	text := a.Output("meshctl", "network", "create", "mesh")
	a.LXC(lab.LXC{Name: "web"})
	a.Meshd().Stop()
	const file = "/var/lib/meshnet/networks/mesh/network.json"
	a.Write(file, "{")
	a.StartMeshd()
	if w := status(a).Warnings; len(w) != 1 || !strings.Contains(w[0], file) {
		t.Errorf("warnings = %q, want one that names %s", w, file)
	}
	fails(t, a, 1, []string{"cannot be read", "/var/lib/meshnet/networks/mesh"}, "meshctl", "network", "join", text)
	fails(t, a, 1, []string{"cannot be read"}, "meshctl", "network", "create", "mesh")
	if got := a.Output("cat", file); got != "{" {
		t.Errorf("%s = %q, want it untouched", file, got)
	}
	if got := a.Output("ls", "/var/lib/meshnet/networks/mesh/leases"); !strings.Contains(got, "leases.journal") {
		t.Errorf("files of the leases = %q, want the journal", got)
	}
}

// Networks may be made at once; each gets a bridge of its own.
//
//	a: eight networks
func TestConcurrentCreates(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if r := a.Try("meshctl", "network", "create", fmt.Sprintf("n%d", i)); r.Code != 0 {
				t.Errorf("create n%d: exit %d, %s", i, r.Code, r.Stderr)
			}
		})
	}
	wg.Wait()
	bridges := make(map[string]bool)
	for _, n := range status(a).Networks {
		bridges[n.Bridge] = true
	}
	if len(bridges) != 8 {
		t.Errorf("bridges = %v, want 8", bridges)
	}
}

// "join waits until a member answers, and changes nothing if none does", even if meshd is killed while it waits.
//
//	a, with a token of a host that is not there
func TestKillDuringJoin(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	text := a.Output("meshctl", "network", "create", "mesh", "--endpoint", "192.0.2.99:7000")
	a.Output("meshctl", "network", "leave", "mesh")
	before := a.Output("ip", "-o", "-br", "link")

	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Try("meshctl", "network", "join", text)
	}()
	a.Until("the join is under way", func() bool { return a.Try("ip", "link", "show", "mesh0").Code == 0 }, func() string { return a.Output("ip", "-br", "link") })
	a.Meshd().Kill9()
	<-done
	a.StartMeshd()
	if got := status(a).Networks; len(got) != 0 {
		t.Errorf("networks after the restart = %+v, want none", got)
	}
	if links := a.Output("ip", "-o", "-br", "link"); links != before {
		t.Errorf("links after the restart:\n%s\nwant:\n%s", links, before)
	}
}

// Whoever flushes a host's interfaces does not ask meshd first: what it made it mends.
//
//	a: web ══ underlay ══ b: db, whose TAP and bridge are tampered with
func TestTamperedLinksHeal(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	tap := status(b).Networks[0].TAP
	for _, tamper := range [][]string{
		{"ip", "link", "set", tap, "down"},
		{"ip", "link", "set", tap, "nomaster"},
		{"ip", "link", "set", "mesh0", "down"},
		{"ip", "link", "delete", tap},
	} {
		b.Output(tamper...)
		web.Reaches(db, 30*time.Second)
	}
}
