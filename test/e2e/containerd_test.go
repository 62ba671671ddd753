package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// Pods of Debian's containerd on two hosts reach each other over both families, and their end leaves nothing behind.
//
//	a: pod web ══ underlay ══ b: pod db
func TestContainerd(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	var pods []*lab.Pod
	for i, h := range hosts {
		h.WriteCNI("mesh", "1.0.0", "")
		c := h.StartContainerd()
		pod := c.Pod([]string{"web", "db"}[i])
		if got, want := fmt.Sprint(pod.IPs), fmt.Sprint(pod.Addrs()); got != want {
			t.Errorf("addresses that CRI tells = %v, the pod has %v", got, want)
		}
		pods = append(pods, pod)
	}
	web, db := pods[0], pods[1]
	allReach(t, web.Container, db.Container)
	container := web.StartContainer()
	for _, addr := range db.Addrs() {
		if r, err := web.Exec(container, "ping", "-c", "1", "-W", "5", addr.String()); err != nil || r.Code != 0 {
			t.Errorf("ping of %v from a container of pod web: %+v, %v", addr, r, err)
		}
	}
	lists(t, hosts, web.Container, db.Container)

	for _, pod := range pods {
		for _, step := range []func() error{pod.Stop, pod.Stop, pod.Remove, pod.Remove} { // each has nothing to do the second time
			if err := step(); err != nil {
				t.Errorf("ending a pod: %v", err)
			}
		}
	}
	for _, h := range hosts {
		nothingLeft(t, h)
	}
}

// nothingLeft fails if a host still has something of a container: a lease, a veth, a network namespace, a result of ADD.
func nothingLeft(t *testing.T, h *lab.Host) {
	t.Helper()
	onlyLeft(t, h, 0)
}

// onlyLeft fails unless a host has that many attachments, and nothing of any others.
func onlyLeft(t *testing.T, h *lab.Host, n int) {
	t.Helper()
	var own []string
	for _, l := range leases(h) {
		if l.Node == h.Name {
			own = append(own, l.Container)
		}
	}
	veths := lines(h.Output("ip", "-o", "link", "show", "type", "veth"))
	veths = slices.DeleteFunc(veths, func(line string) bool { return strings.Contains(line, ": eth0@") }) // to the underlay
	namespaces := lines(h.Output("ls", "/run/netns"))
	results := lines(h.Output("find", "/var/lib/cni", "-type", "f", "-name", "*eth*"))
	for what, left := range map[string][]string{"leases": own, "veths": veths, "network namespaces": namespaces, "results of ADD": results} {
		if len(left) != n {
			t.Errorf("%s has %d %s, want %d:\n%s", h.Name, len(left), what, n, strings.Join(left, "\n"))
		}
	}
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
