package e2e

import (
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// containerd 2 speaks CNI 1.1.0: what STATUS says decides whether a kubelet gets a ready node.
//
//	a: pod web, containerd 2 ══ underlay ══ b: pod db, Debian's containerd 1
func TestContainerd2(t *testing.T) {
	l := newLab(t)
	bin, err := lab.BuildContainerd()
	if err != nil {
		t.Fatal(err)
	}
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.Output("meshctl", "cni", "config", "mesh") // one file for both
	}
	c := a.StartContainerd2(bin)
	web, db := c.Pod("web"), b.StartContainerd().Pod("db")
	allReach(t, web.Container, db.Container)
	if ready, message := c.NetworkReady(); !ready {
		t.Errorf("NetworkReady is false with meshd up: %s", message)
	}

	a.Meshd().Kill9()
	if ready, message := c.NetworkReady(); ready || !strings.Contains(message, "meshd") {
		t.Errorf("NetworkReady = %v, %q with meshd down; want false, and a message that names meshd", ready, message)
	}
	if _, err := c.TryPod("early"); err == nil || !strings.Contains(err.Error(), "meshd") {
		t.Errorf("RunPodSandbox with meshd down = %v, want an error that names meshd", err)
	}
	if err := web.Stop(); err == nil {
		t.Error("StopPodSandbox succeeds although the lease cannot be released")
	}
	a.StartMeshd()
	meshed(t, hosts...)
	if ready, message := c.NetworkReady(); !ready {
		t.Errorf("NetworkReady is false with meshd up again: %s", message)
	}
	web.End() // the kubelet tries again until it works
	db.End()
	c.Pod("early").End()
	for _, h := range hosts {
		nothingLeft(t, h)
	}
}
