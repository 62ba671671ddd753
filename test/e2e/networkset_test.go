package e2e

import (
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// "Change what this host said when it created or joined the network. Containers that are in the bridge go along into another one. A bridge
// that meshd made is removed." What cannot be is refused, and changes nothing.
//
//	a: web (LXC) ── mesh0, then other, then br0, which is there already ══ underlay ══ b: db (LXC)
func TestNetworkSet(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	a.Output("meshctl", "network", "create", "second", "--pool", "10.99.0.0/16")
	a.Output("ip", "link", "add", "br0", "type", "bridge")
	web, db := a.LXC(lab.LXC{Name: "web", HookArgs: "--network mesh"}), b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)
	link := web.Link()

	refused := func(code int, says string, args ...string) {
		t.Helper()
		before := a.Output("meshctl", "network", "list")
		r := a.Try(append([]string{"meshctl", "network", "set", "mesh"}, args...)...)
		if r.Code != code || !strings.Contains(r.Stderr, says) {
			t.Errorf("network set %v: exit %d, %q; want %d, %q", args, r.Code, r.Stderr, code, says)
		}
		if after := a.Output("meshctl", "network", "list"); after != before {
			t.Errorf("network set %v, which was refused, has changed\n%s\nto\n%s", args, before, after)
		}
	}
	refused(1, "eth0 is not a bridge", "--bridge", "eth0")
	refused(1, "bridge mesh1 belongs to network second", "--bridge", "mesh1")
	refused(1, "egress nat needs a bridge that meshd makes", "--bridge", "br0", "--egress", "nat")
	refused(2, "--dhcp: ", "--dhcp", "perhaps")
	refused(2, "say what to change")

	for _, step := range []struct{ bridge, want string }{
		{"other", "mesh: bridge other, dhcp open, egress none"},
		{"br0", "mesh: bridge br0, dhcp off, egress none"},
		{"", "mesh: bridge mesh0, dhcp open, egress none"},
		{"", "mesh: bridge mesh0, dhcp open, egress none"}, // changes nothing
	} {
		if out := a.Output("meshctl", "network", "set", "mesh", "--bridge", step.bridge); out != step.want {
			t.Errorf("network set --bridge %q says %q, want %q", step.bridge, out, step.want)
		}
		meshed(t, hosts...)
		allReach(t, web, db)
	}
	if now := web.Link(); now != link {
		t.Errorf("the interface of web is\n%swas\n%s", now, link)
	}
	links := a.Output("ip", "-o", "link")
	if strings.Contains(links, " other: ") || !strings.Contains(links, " br0: ") {
		t.Errorf("after the changes the host has\n%s\nwant br0, which others made, and not other", links)
	}
	a.Output("meshctl", "network", "set", "mesh", "--bridge", "br0", "--dhcp", "open", "--egress", "nat")
	a.Meshd().Kill9()
	a.StartMeshd()
	if out := a.Output("meshctl", "network", "set", "mesh", "--dhcp", "open"); out != "mesh: bridge br0, dhcp open, egress nat" {
		t.Errorf("after a restart: %q", out)
	}
	meshed(t, hosts...)
	allReach(t, web, db)
}

// What a configuration file says is changed there.
//
//	a: meshd --config
func TestNetworkSetOfADeclaredNetwork(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd("--config", writeConfig(a, a.Output("meshctl", "genkey"), true))
	name := status(a).Networks[0].Name
	r := a.Try("meshctl", "network", "set", name, "--egress", "nat")
	if r.Code != 1 || !strings.Contains(r.Stderr, `is in the configuration file, so bridge, dhcp and egress are said there: bridge = "`) {
		t.Errorf("network set: exit %d, %q", r.Code, r.Stderr)
	}
	if n := status(a).Networks[0]; n.Egress != "none" {
		t.Errorf("egress is %s after a change that was refused", n.Egress)
	}
}
