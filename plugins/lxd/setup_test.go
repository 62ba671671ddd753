package main

import (
	"strings"
	"testing"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
)

// TestChoose: which network of LXD's is used or made, and that none is that is somebody else's. Every refusal names a way out.
func TestChoose(t *testing.T) {
	network := func(name string, managed bool, config ...string) lxdapi.Network {
		n := lxdapi.Network{Name: name, Type: "bridge", Managed: managed, Status: "Created"}
		n.Config = make(map[string]string)
		for _, kv := range config {
			k, v, _ := strings.Cut(kv, "=")
			n.Config[k] = v
		}
		return n
	}
	ours := func(name string, more ...string) lxdapi.Network {
		return network(name, true, append([]string{"ipv4.address=none", "ipv6.address=none", keyNetwork + "=prod", keyID + "=1234"}, more...)...)
	}
	pending := ours("prod")
	pending.Status = "Pending"
	rows := []struct {
		what   string
		mesh   string
		name   string
		known  []lxdapi.Network
		want   string
		exists bool
		says   string // the error
	}{
		{"nothing is there", "prod", "", nil, "prod", false, ""},
		{"another name", "prod", "mesh9", nil, "mesh9", false, ""},
		{"others are there", "prod", "", []lxdapi.Network{network("lxdbr0", true), network("eth0", false)}, "prod", false, ""},
		{"it is there", "prod", "", []lxdapi.Network{ours("prod")}, "prod", true, ""},
		{"it is there by another name", "prod", "", []lxdapi.Network{ours("mesh9")}, "mesh9", true, ""},
		{"it is there by that name", "prod", "mesh9", []lxdapi.Network{ours("mesh9")}, "mesh9", true, ""},
		{"it is there by another name than that", "prod", "mesh8", []lxdapi.Network{ours("mesh9")}, "", false, "meshnet-lxd remove prod first"},
		{"LXD has another of that name", "prod", "", []lxdapi.Network{network("prod", true)}, "", false, "say another --name (or delete that one"},
		{"an interface of the host", "prod", "eth0", []lxdapi.Network{network("eth0", false)}, "", false, "interface eth0, which is not LXD's: say another --name"},
		{"another meshnet network's", "prod", "test", []lxdapi.Network{network("test", true, keyNetwork+"=test")}, "", false, "the meshnet network test: say another --name"},
		{"too long", "production-network", "", nil, "", false, "say --name, with 2 to 15 characters"},
		{"too short", "p", "", nil, "", false, "say --name, with 2 to 15 characters"},
		{"of an earlier network of that name", "prod", "", []lxdapi.Network{ours("prod", keyID+"=9999")}, "", false, "meshnet-lxd remove prod, then setup again"},
		{"with addresses since", "prod", "", []lxdapi.Network{ours("prod", "ipv4.address=10.1.1.1/24")}, "", false, "lxc network set prod ipv4.address=none"},
		{"half made", "prod", "", []lxdapi.Network{pending}, "", false, "is pending: lxc network delete prod"},
	}
	for _, row := range rows {
		got, exists, err := choose(api.Network{Name: row.mesh, ID: "1234"}, row.name, row.known)
		if row.says != "" {
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%s: choose = %q, %v, want an error that says %q", row.what, got, err, row.says)
			}
			continue
		}
		if got != row.want || exists != row.exists || err != nil {
			t.Errorf("%s: choose = %q, %v, %v, want %q, %v", row.what, got, exists, err, row.want, row.exists)
		}
	}
}

func TestAre(t *testing.T) {
	for want, names := range map[string][]string{"a is": {"a"}, "a and b are": {"a", "b"}, "a, b and c are": {"a", "b", "c"}} {
		if got := are(names); got != want {
			t.Errorf("are(%v) = %q, want %q", names, got, want)
		}
	}
}
