package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// instance is one of LXD's, with a device.
func instance(project, name, device string, config map[string]string, volatile ...string) lxdapi.Instance {
	i := lxdapi.Instance{Name: name, Project: project, Location: "none", ExpandedDevices: map[string]map[string]string{
		"root": {"type": "disk", "path": "/", "pool": "default"}, device: config,
	}}
	i.Config = map[string]string{"volatile." + device + ".hwaddr": strings.Join(volatile, "")}
	return i
}

// TestReadInstances: which interfaces are in which bridge, with which MAC and wishes.
func TestReadInstances(t *testing.T) {
	const mac = "00:16:3e:01:02:03"
	nicOf := func(more ...string) map[string]string {
		m := map[string]string{"type": "nic"}
		for _, kv := range more {
			k, v, _ := strings.Cut(kv, "=")
			m[k] = v
		}
		return m
	}
	b := bridges{managed: map[string]bool{"prod": true, "macvlan0": false}, separate: map[string]bool{"own": true}}
	rows := []struct {
		name string
		i    lxdapi.Instance
		want string // key, bridge, MAC, wishes; "": no interface of ours
		bad  string // trouble
	}{
		{"managed network", instance("default", "web", "eth0", nicOf("network=prod", "name=eth0"), mac), "web/eth0 prod " + mac, ""},
		{"a bridge of the host", instance("default", "web", "eth0", nicOf("nictype=bridged", "parent=mesh0"), mac), "web/eth0 mesh0 " + mac, ""},
		{"a MAC of the owner's", instance("default", "web", "eth0", nicOf("network=prod", "hwaddr=00:16:3e:ff:ff:ff"), mac), "web/eth0 prod 00:16:3e:ff:ff:ff", ""},
		{"another project", instance("blue", "web", "eth0", nicOf("network=prod"), mac), "blue_web/eth0 prod " + mac, ""},
		{"a project with networks of its own", instance("own", "web", "eth0", nicOf("network=prod"), mac), "", ""},
		{"but the host's bridges are there, too", instance("own", "web", "eth0", nicOf("nictype=bridged", "parent=mesh0"), mac), "own_web/eth0 mesh0 " + mac, ""},
		{"a device called otherwise", instance("default", "web", "prod", nicOf("network=prod", "name=eth1"), mac), "web/prod prod " + mac, ""},
		{"addresses", instance("default", "web", "eth0", nicOf("network=prod", "ipv4.address=10.77.0.9", "ipv6.address=fd00::9"), mac), "web/eth0 prod " + mac + " 10.77.0.9 fd00::9", ""},
		{"addresses by our keys, which go first", instance("default", "web", "eth0", nicOf("network=prod", "ipv4.address=10.77.0.8",
			"user.meshnet.ipv4.address=10.77.0.9", "user.meshnet.ipv6.address=fd00::9"), mac), "web/eth0 prod " + mac + " 10.77.0.9 fd00::9", ""},
		{"none", instance("default", "web", "eth0", nicOf("network=prod", "ipv4.address=none", "ipv6.address=none"), mac), "web/eth0 prod " + mac + " none", ""},
		{"no address", instance("default", "web", "eth0", nicOf("network=prod", "user.meshnet.ipv4.address=10.77.0.0/24"), mac), "web/eth0 prod " + mac, `"10.77.0.0/24" is neither`},
		{"IPv6 for IPv4", instance("default", "web", "eth0", nicOf("network=prod", "user.meshnet.ipv4.address=fd00::9"), mac), "web/eth0 prod " + mac, "neither an IPv4"},
		{"IPv4 for IPv6", instance("default", "web", "eth0", nicOf("network=prod", "user.meshnet.ipv6.address=10.77.0.9"), mac), "web/eth0 prod " + mac, "not an IPv6"},
		{"no MAC yet", instance("default", "web", "eth0", nicOf("network=prod")), "", ""},
		{"no bridge", instance("default", "web", "eth0", nicOf("network=macvlan0"), mac), "", ""},
		{"an unknown network", instance("default", "web", "eth0", nicOf("network=x"), mac), "", ""},
		{"another kind of interface", instance("default", "web", "eth0", nicOf("nictype=macvlan", "parent=mesh0"), mac), "", ""},
		{"masked", instance("default", "web", "eth0", map[string]string{"type": "none"}, mac), "", ""},
		{"no device of the network", instance("default", "web", "gpu", map[string]string{"type": "gpu"}, mac), "", ""},
	}
	for _, row := range rows {
		got, trouble := "", ""
		for _, n := range readInstances([]lxdapi.Instance{row.i}, b, "") {
			got = fmt.Sprintf("%s/%s %s %v", n.key.Container, n.key.IfName, n.bridge, n.mac)
			if n.want.ipv4 != "" {
				got += " " + n.want.ipv4
			}
			if n.want.ipv6 != (netip.Addr{}) {
				got += " " + n.want.ipv6.String()
			}
			trouble = string(n.trouble)
		}
		if got != row.want || row.bad == "" && trouble != "" || !strings.Contains(trouble, row.bad) {
			t.Errorf("%s: readInstances = %q, trouble %q; want %q, %q", row.name, got, trouble, row.want, row.bad)
		}
	}
}

// "Each looks after the instances that are on its host."
func TestReadInstancesOfACluster(t *testing.T) {
	a := instance("default", "a", "eth0", map[string]string{"type": "nic", "nictype": "bridged", "parent": "mesh0"}, "00:16:3e:00:00:01")
	b := instance("default", "b", "eth0", map[string]string{"type": "nic", "nictype": "bridged", "parent": "mesh0"}, "00:16:3e:00:00:02")
	a.Location, b.Location = "one", "two"
	nics := readInstances([]lxdapi.Instance{a, b}, bridges{}, "two")
	if len(nics) != 1 || nics[0].key.Container != "b" {
		t.Errorf("readInstances on member two = %v, want b's", nics)
	}
}

// "An instance is called by its name, and PROJECT_INSTANCE if it is in another project": LXD allows in the name of a project what a
// container's may not have.
func TestContainerID(t *testing.T) {
	long := strings.Repeat("p", 300)
	rows := []struct{ project, instance, want string }{
		{"default", "web", "web"},
		{"", "web", "web"},
		{"blue", "web", "blue_web"},
		{"p.x+1@z", "web", "p.x+1@z_web"},
		{"üx", "web", "_%C3%BCx_web"},
		{"p%x", "web", "p%25x_web"},
		{".p", "web", "_.p_web"},
		{"-p", "web", "_-p_web"},
		{long, "web", long[:api.MaxContainer-7] + "-"},
	}
	seen := make(map[string]bool)
	for _, row := range rows {
		got := containerID(row.project, row.instance)
		if !strings.HasPrefix(got, row.want) || len(row.want) < 200 && got != row.want {
			t.Errorf("containerID(%.20q, %q) = %q, want %q", row.project, row.instance, got, row.want)
		}
		if err := api.CheckContainer(got); err != nil {
			t.Errorf("containerID(%.20q, %q) = %q: %v", row.project, row.instance, got, err)
		}
		if seen[got] && row.project != "" {
			t.Errorf("containerID(%.20q, %q) = %q is another's, too", row.project, row.instance, got)
		}
		seen[got] = true
	}
}

// Whatever LXD calls project, instance and device: the names are ones that meshd takes, and no two instances of LXD have the same.
func FuzzNames(f *testing.F) {
	f.Add("default", "web", "eth0", "blue", "web", "eth0")
	f.Add("üx", "web", "a very long name of a device", "%C3%BCx", "web", "..")
	f.Add("-p", "a", "all", ".p", "a", "default")
	f.Fuzz(func(t *testing.T, project1, instance1, device1, project2, instance2, device2 string) {
		lxd := func(project, instance, device string) bool { // what LXD allows
			return project != "" && !strings.ContainsAny(project, "_ /'\"*") && instance != "" && device != "" &&
				strings.Trim(instance, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == "" && instance[0] != '-' && len(instance) < 64
		}
		if !lxd(project1, instance1, device1) || !lxd(project2, instance2, device2) {
			return
		}
		id1, id2 := containerID(project1, instance1), containerID(project2, instance2)
		if err := api.CheckContainer(id1); err != nil {
			t.Errorf("containerID(%q, %q): %v", project1, instance1, err)
		}
		if id1 == id2 && (project1 != project2 || instance1 != instance2) {
			t.Errorf("%q %q and %q %q are both called %q", project1, instance1, project2, instance2, id1)
		}
		name1, name2 := interfaceName(device1), interfaceName(device2)
		if err := token.CheckIfName(name1); err != nil {
			t.Errorf("interfaceName(%q): %v", device1, err)
		}
		if name1 == name2 && device1 != device2 {
			t.Errorf("%q and %q are both called %q", device1, device2, name1)
		}
	})
}
