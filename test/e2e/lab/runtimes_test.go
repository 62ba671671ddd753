package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// hookStandIn does what lxc-hook does, without meshd: it plugs the container into br0. CNI calls it with a command.
const hookStandIn = `#!/bin/sh
set -e
if [ "$LXC_HOOK_TYPE" = up ]; then
	ip link set "$LXC_NET_PEER" master br0
elif [ "$LXC_HOOK_TYPE" = start-host ]; then
	ip link add vempty type veth peer name eth0 netns "$LXC_PID"
	ip link set vempty master br0 up
elif [ "$CNI_COMMAND" = ADD ]; then
	ip link add vcni type veth peer name eth0 netns "${CNI_NETNS##*/}"
	ip link set vcni master br0 up
	echo '{"cniVersion": "1.0.0"}'
elif [ "$CNI_COMMAND" = VERSION ]; then
	echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}'
fi
`

// lxc-start calls lxc-hook in both of its styles, and cnitool calls cni-meshnet, on a host and with its namespaces.
//
//	a: veth (LXC), empty (LXC), cni ── br0
func TestRuntimesCallPlugins(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"lxc-hook", "cni-meshnet"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(hookStandIn), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", bin+"/", "github.com/containernetworking/cni/cnitool").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l := New(t, bin)
	a := l.Hosts("a")[0]
	bridge(a)
	a.WriteCNI("mesh", "1.0.0", "")
	all := []*Container{
		a.LXC(LXC{Name: "veth", Version: 1}),
		a.LXC(LXC{Name: "empty", Hook: HookEmpty, Version: 1}),
		a.LXC(LXC{Name: "mine", Hook: HookLink, Bridge: "br0", Version: 1, Privileged: true}),
		a.CNI("mesh", "cni"),
	}
	for i, c := range all {
		address(c, fmt.Sprintf("fd00::%d", i+1))
	}
	for _, from := range all {
		for _, to := range all {
			if from != to {
				from.Reaches(to, 5*time.Second)
			}
		}
	}
}
