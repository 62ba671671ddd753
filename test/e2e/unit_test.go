package e2e

import (
	"os"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// The systemd unit takes away from meshd what it does not need, and nothing that it needs.
//
//	a: meshd with the capabilities of init/meshd.service ── web (LXC), db (CNI)
func TestCapabilitiesOfTheUnit(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a", "c")[0]
	unit, err := os.ReadFile("../../init/meshd.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(unit), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(rest, "\n")
	set := "-all"
	for _, name := range strings.Fields(line) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	d := a.LaunchMeshdUnder("setpriv", "--bounding-set="+set, "--inh-caps=-all", "--no-new-privs")
	d.WaitReady()
	a.Output("meshctl", "network", "create", "--egress", "nat", "mesh")
	a.WriteCNI("mesh", "1.0.0", "")
	web := a.LXC(lab.LXC{Name: "web"})
	allReach(t, web, a.CNI("mesh", "db"))
	pings(t, a, web.Enter(), "192.0.2.2")
	if n := status(a).Networks[0]; len(n.Warnings) > 0 {
		t.Errorf("warnings: %v", n.Warnings)
	}
	a.Output("meshctl", "network", "leave", "mesh")
	if code := d.Stop(); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0:\n%s", code, d.Log())
	}
}
