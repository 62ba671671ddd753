package e2e

import (
	"strings"
	"testing"
	"time"
)

// "meshctl doctor" says that all is well, and, when a firewall keeps the other host out, that, which chain it may be, and what helps.
func TestDoctor(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	if r := hosts[0].Try("meshctl", "doctor"); r.Code != 1 || !strings.Contains(r.Stdout, "FAIL  meshd: meshd is not reachable") {
		t.Errorf("before meshd runs: exit %d\n%s", r.Code, r.Stdout)
	}
	mesh(t, "mesh", hosts...)
	healthy := func() bool {
		r := hosts[0].Try("meshctl", "doctor")
		return r.Code == 0 && strings.Contains(r.Stdout, "ok    network mesh: all of its 1 other hosts are reached")
	}
	hosts[0].Within(10*time.Second, "nothing is FAIL", healthy, func() string { return hosts[0].Try("meshctl", "doctor").Stdout })

	const firewall = `table inet guard {
	chain incoming {
		type filter hook input priority 0; policy drop;
	}
}
`
	for _, h := range hosts {
		if r := h.TryInput(firewall, "nft", "-f", "-"); r.Code != 0 {
			t.Fatalf("nft: %s", r.Stderr)
		}
	}
	hosts[1].Meshd().Kill9()
	hosts[1].StartMeshd()
	var out string
	hosts[1].Within(30*time.Second, "it says that the firewall is in the way", func() bool {
		r := hosts[1].Try("meshctl", "doctor")
		out = r.Stdout
		return r.Code == 1 && strings.Contains(out, "FAIL  network mesh: no other host was heard of") &&
			strings.Contains(out, "warn  firewall: chain incoming of table guard drops") && strings.Contains(out, "accepts UDP to port 7000")
	}, func() string { return out })
}
