package e2e

import (
	"fmt"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"meshnet/test/e2e/lab"
)

// stalling is a cni-meshnet that tells when it is called, and waits until it may go on.
const stalling = `#!/bin/sh
if [ "$CNI_COMMAND" = ADD ]; then
	: > /run/called
	while [ -e /run/called ]; do sleep 0.02; done
fi
exec /run/real/cni-meshnet
`

// kill -9 of containerd: its pods stay in the mesh, and are stopped by the next containerd. What it was about to attach does not run
// then; GC, with the list of what runs, frees exactly that, and containerd can remove it all the same.
//
//	a: pods web, api; lost, during whose ADD containerd dies ══ underlay ══ b: pod db
func TestContainerdKilled(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.WriteCNI("mesh", "1.0.0", "")
	}
	c := a.StartContainerd()
	web, api, db := c.Pod("web"), c.Pod("api"), b.StartContainerd().Pod("db")
	alive := []*lab.Container{web.Container, api.Container, db.Container}
	allReach(t, alive...)
	before := web.Link() + api.Link()

	a.Output("sh", "-c", "mkdir /run/real && mv /opt/cni/bin/cni-meshnet /run/real/")
	a.Write("/opt/cni/bin/cni-meshnet", stalling)
	a.Output("chmod", "755", "/opt/cni/bin/cni-meshnet")
	failed := make(chan error)
	go func() {
		_, err := c.TryPod("lost")
		failed <- err
	}()
	a.Until("the plugin is called", func() bool { return a.Try("test", "-e", "/run/called").Code == 0 }, nil)
	c.Kill9()
	if err := <-failed; err == nil {
		t.Error("RunPodSandbox succeeds although containerd was killed")
	}
	a.Output("rm", "/run/called") // the plugin, which nobody has told, attaches
	a.Until("the orphan is attached", func() bool { return len(leases(a)) == 4 }, func() string { return a.Output("meshctl", "leases") })
	a.Output("mv", "/run/real/cni-meshnet", "/opt/cni/bin/")
	a.Meshd().Kill9()
	a.StartMeshd()
	meshed(t, hosts...)
	c.Restart()
	if got := web.Link() + api.Link(); got != before {
		t.Errorf("kill -9 changed the interfaces of pods: now\n%swere\n%s", got, before)
	}
	if r := collect(a, sandboxes(t, c, cri.PodSandboxState_SANDBOX_READY)...); r.Code != 0 {
		t.Errorf("GC: exit %d: %s", r.Code, r.Stdout)
	}
	lists(t, hosts, alive...)
	allReach(t, alive...)

	web.End()
	api.End()
	if r := collect(a); r.Code != 0 { // an empty list is a list
		t.Errorf("GC: exit %d: %s", r.Code, r.Stdout)
	}
	for _, id := range sandboxes(t, c, cri.PodSandboxState_SANDBOX_NOTREADY) {
		c.Of(&lab.Pod{ID: id}).End()
	}
	nothingLeft(t, a)
	onlyLeft(t, b, 1)
}

// dying is a cni-meshnet whose ADD is killed before the n-th message to the kernel.
const dying = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exec /run/real/cni-meshnet
exec strace --follow-forks --quiet=all -o /dev/null -e trace=sendto -e inject=sendto:signal=KILL:when=%d /run/real/cni-meshnet
`

// A plugin that dies in the middle of ADD: containerd gives the pod up, and nothing of it is left without anybody's help.
//
//	a: pods web, which are never complete, and live ══ underlay ══ b
func TestPluginKilledUnderContainerd(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a := hosts[0]
	mesh(t, "mesh", hosts...)
	a.WriteCNI("mesh", "1.0.0", "")
	c := a.StartContainerd()
	live := c.Pod("live")
	before := live.Link()
	a.Output("sh", "-c", "mkdir /run/real && mv /opt/cni/bin/cni-meshnet /run/real/")
	for _, n := range []int{1, 4, 7, 10} {
		a.Write("/opt/cni/bin/cni-meshnet", fmt.Sprintf(dying, n))
		a.Output("chmod", "755", "/opt/cni/bin/cni-meshnet")
		if _, err := c.TryPod("web"); err == nil {
			t.Errorf("RunPodSandbox succeeds although the plugin dies before message %d", n)
		}
		onlyLeft(t, a, 1)
	}
	a.Output("mv", "/run/real/cni-meshnet", "/opt/cni/bin/")
	web := c.Pod("web")
	allReach(t, web.Container, live.Container)
	if got := live.Link(); got != before {
		t.Errorf("the interface of live is now\n%swas\n%s", got, before)
	}
	web.End()
	live.End()
	nothingLeft(t, a)
}

// A power cut: pods and network namespaces are gone, while meshd, libcni and containerd remember them. CHECK says that nothing is
// left; DEL frees what containerd still knows, GC what it does not, and neither touches a pod that was attached since.
//
//	a: pods web, api and the CNI container tool, before; pod late, after ══ underlay ══ b: pod db
func TestPodsAfterReboot(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	b.WriteCNI("mesh", "1.0.0", "")
	a.WriteCNI("mesh", "1.0.0", "")
	c := a.StartContainerd()
	web, api, db := c.Pod("web"), c.Pod("api"), b.StartContainerd().Pod("db")
	tool := a.CNI("mesh", "tool")
	allReach(t, web.Container, api.Container, tool, db.Container)

	a.Reboot()
	a.StartMeshd()
	meshed(t, hosts...)
	if got := len(leases(a)); got != 4 {
		t.Errorf("leases right after the reboot = %d, want 4:\n%s", got, a.Output("meshctl", "leases"))
	}
	if r := a.TryCNI("check", "mesh", "tool"); r.Code == 0 {
		t.Error("cnitool check passes after the reboot")
	}
	a.Output("ip", "netns", "add", "tool") // a namespace of that name is there, as runtimes make it, but no interface in it
	if r := a.TryCNI("check", "mesh", "tool"); r.Code == 0 {
		t.Error("cnitool check passes in an empty network namespace")
	}

	c = a.StartContainerd()
	late := c.Pod("late")
	before := late.Link()
	for _, pod := range []*lab.Pod{web, api} {
		if err := c.Of(pod).Stop(); err != nil {
			t.Errorf("stopping a pod of before the reboot: %v", err)
		}
	}
	onlyLeases(t, a, 2) // late, and tool, of which nobody says that it is gone
	if r := collect(a, late.ID); r.Code != 0 {
		t.Errorf("GC: exit %d: %s", r.Code, r.Stdout)
	}
	onlyLeases(t, a, 1)
	if got := late.Link(); got != before {
		t.Errorf("what was freed after the reboot changed the interface of late: now\n%swas\n%s", got, before)
	}
	allReach(t, late.Container, db.Container)
	c.Of(web).End()
	c.Of(api).End()
	late.End()
	if r := a.TryCNI("del", "mesh", "tool"); r.Code != 0 {
		t.Errorf("cnitool del of what GC has freed: exit %d: %s", r.Code, r.Stdout)
	}
	a.Output("ip", "netns", "del", "tool")
	nothingLeft(t, a)
}

// sandboxes returns the IDs of containerd's pod sandboxes in a state.
func sandboxes(t *testing.T, c *lab.Containerd, state cri.PodSandboxState) []string {
	t.Helper()
	list, err := c.CRI.ListPodSandbox(t.Context(), &cri.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range list.Items {
		if s.State == state {
			ids = append(ids, s.Id)
		}
	}
	return ids
}

// onlyLeases fails unless the host holds that many leases.
func onlyLeases(t *testing.T, h *lab.Host, want int) {
	t.Helper()
	got := 0
	for _, l := range leases(h) {
		if l.Node == h.Name {
			got++
		}
	}
	if got != want {
		t.Errorf("leases of %s = %d, want %d:\n%s", h.Name, got, want, h.Output("meshctl", "leases"))
	}
}
