package e2e

import (
	"slices"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// What podman has beside a plain run: an address and a MAC address of one's own, a published port, and networks that come and go
// while the container runs.
//
//	a: podman container web in mesh, for a while also in blue ══ underlay ══ b: db (CNI) in mesh, sky (CNI) in blue
func TestPodman(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	b.Output("meshctl", "network", "create", "blue", "--pool", "10.78.0.0/16")
	a.Output("meshctl", "network", "join", b.Output("meshctl", "network", "token", "blue"))
	for _, h := range hosts {
		h.Write("/etc/cni/net.d/mesh.conflist", podmanNetwork("mesh"))
		h.Write("/etc/cni/net.d/blue.conflist", podmanNetwork("blue"))
	}
	a.PodmanCNI()
	a.InstallPodman()
	db, sky := b.CNI("mesh", "db"), b.CNI("blue", "sky")

	plain := a.Podman("plain", "--network", "mesh")
	allReach(t, plain, db)
	a.Output("meshctl", "ipam", "reserve", "10.77.0.2", "mesh", "--comment", "host a")
	a.Output("ip", "addr", "add", "10.77.0.2/16", "dev", "mesh0") // portmap looks for the way from the host to the container
	const ip, mac = "10.77.200.7", "02:11:22:33:44:55"
	web := a.Podman("web", "--network", "mesh", "--ip", ip, "--mac-address", mac, "-p", "127.0.0.1:8080:80")
	if got := web.IPv4().String(); got != ip {
		t.Errorf("address of a container with --ip %s = %s", ip, got)
	}
	if got := web.Link(); !strings.Contains(got, mac) {
		t.Errorf("interface of a container with --mac-address %s:\n%s", mac, got)
	}
	allReach(t, web, db, plain)
	published(t, a, web)

	a.Output("podman", "network", "connect", "blue", "web")
	if r := web.Try("busybox", "ping", "-c", "1", "-W", "5", sky.Addr().String()); r.Code != 0 {
		t.Errorf("web does not reach sky after network connect: %s", r.Stdout+r.Stderr)
	}
	web.Reaches(db, waitMesh)
	before := web.Link()
	a.Output("podman", "network", "disconnect", "blue", "web")
	if r := web.Try("ip", "link", "show", "eth1"); r.Code == 0 {
		t.Errorf("eth1 is still there after network disconnect: %s", r.Stdout)
	}
	if got := web.Link(); got != before {
		t.Errorf("network disconnect of blue changed the interface in mesh: now\n%swas\n%s", got, before)
	}
	web.Reaches(db, waitMesh)
	onlyLeft(t, a, 2)

	a.Output("podman", "restart", "-t", "0", "web")
	if got := a.RunningPodman("web").IPv4().String(); got != ip {
		t.Errorf("address after podman restart = %s, was %s", got, ip)
	}
	a.Output("podman", "rm", "-f", "-t", "0", "web", "plain")
	nothingLeft(t, a)
	if rules := a.Output("iptables-save", "-t", "nat"); strings.Contains(rules, ip) {
		t.Errorf("rules for a published port are left:\n%s", rules)
	}
}

// podmanNetwork is a configuration with what podman's options ask for.
func podmanNetwork(name string) string {
	return `{"cniVersion": "1.0.0", "name": "` + name + `", "plugins": [
		{"type": "cni-meshnet", "network": "` + name + `", "capabilities": {"ips": true, "mac": true}},
		{"type": "portmap", "capabilities": {"portMappings": true}}]}`
}

// published fetches what web serves on its port 80 from the port 8080 of the host.
func published(t *testing.T, h *lab.Host, web *lab.Container) {
	t.Helper()
	listener := web.Start("busybox", "nc", "-l", "-p", "80", "-e", "/bin/echo", "hello")
	h.Until("the published port answers", func() bool {
		return slices.Contains(lines(h.Try("busybox", "nc", "-w", "2", "127.0.0.1", "8080").Stdout), "hello")
	}, func() string { return listener.Err.String() + h.Output("iptables-save", "-t", "nat") })
}
