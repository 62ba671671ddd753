package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// Docker knows no CNI. Its containers come into the mesh by the network's bridge, with addresses that the mesh leaves to them.
//
//	a: docker container web ── mesh0 ══ underlay ══ mesh0 ── docker container db, CNI container api: b
func TestDocker(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	hosts[0].Output("meshctl", "ipam", "reserve", "10.77.252.0/23", "--comment", "docker")
	var containers []*lab.Container
	for i, h := range hosts {
		h.StartDocker()
		own := fmt.Sprintf("10.77.%d", 252+i)
		h.Output("docker", "network", "create", "--driver", "bridge", "--subnet", "10.77.0.0/16", "--ip-range", own+".0/24",
			"--gateway", own+".254", "--opt", "com.docker.network.bridge.name=mesh0", "mesh")
		c := h.Docker([]string{"web", "db"}[i], "--network", "mesh")
		if got := c.IPv4(); !netip.MustParsePrefix(own + ".0/24").Contains(got) {
			t.Errorf("address of %s = %v, want one of %s.0/24", c.Name, got, own)
		}
		containers = append(containers, c)
	}
	hosts[1].WriteCNI("mesh", "1.0.0", "")
	api := hosts[1].CNI("mesh", "api")
	for _, from := range append(containers, api) {
		for _, to := range append(containers, api) {
			if from != to {
				if _, err := pingUntil(from, to.IPv4(), waitMesh); err != nil {
					t.Error(err)
				}
			}
		}
	}
	before := api.Link()
	for i, h := range hosts {
		h.Output("docker", "rm", "-f", containers[i].Name)
		h.Output("docker", "network", "rm", "mesh")
	}
	// Docker does not remove a bridge that it has not made.
	if got := api.Link(); got != before {
		t.Errorf("the end of docker's network changed the interface of api: now\n%swas\n%s", got, before)
	}
	hosts[0].WriteCNI("mesh", "1.0.0", "")
	allReach(t, api, hosts[0].CNI("mesh", "late"))
}

// pingUntil pings until an answer comes, or the last error when the time is over.
func pingUntil(from *lab.Container, to netip.Addr, within time.Duration) (rtt time.Duration, err error) {
	for deadline := time.Now().Add(within); ; {
		if rtt, err = from.Ping(to, 56); err == nil || time.Now().After(deadline) {
			return rtt, err
		}
	}
}
