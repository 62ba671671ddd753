package lxcconf

import (
	"errors"
	"strings"
	"testing"
)

const hook = "/usr/local/bin/lxc-hook"

// What LXC's and Debian's default.conf, and people, write is kept; the network comes beside it, or in its place.
func TestEnable(t *testing.T) {
	const debian = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n"
	block := func(lines ...string) string { return begin + "\n" + strings.Join(lines, "\n") + "\n" + end + "\n" }
	hooks := func(args string) string {
		return "lxc.hook.start-host = " + hook + " --network prod" + args + "\nlxc.hook.post-stop = " + hook + " --network prod" + args
	}
	for _, test := range []struct {
		name, text   string
		mesh         Mesh
		want, ifname string
		err          error
	}{
		{"nothing", "", Mesh{}, block("lxc.net.0.type = empty", hooks("")), "eth0", nil},
		{"no interface", "lxc.uts.name = web", Mesh{}, "lxc.uts.name = web\n" + block("lxc.net.0.type = empty", hooks("")), "eth0", nil},
		{"an empty one", "lxc.net.0.type = empty\n", Mesh{}, "lxc.net.0.type = empty\n" + block(hooks("")), "eth0", nil},
		{"Debian's with lxc-net", debian, Mesh{}, debian + block(hooks(" --ifname eth1")), "eth1", nil},
		{"in its place", debian + "lxc.uts.name = web\n", Mesh{Only: true},
			off + "lxc.net.0.type = veth\n" + off + "lxc.net.0.link = lxcbr0\n" + off + "lxc.net.0.flags = up\nlxc.uts.name = web\n" +
				block("lxc.net.0.type = empty", hooks("")), "eth0", nil},
		{"named ones", "lxc.net.0.type = veth\nlxc.net.0.name = eth1\nlxc.net.1.type = macvlan\nlxc.net.2.type = phys\nlxc.net.2.name = lan\n", Mesh{},
			"lxc.net.0.type = veth\nlxc.net.0.name = eth1\nlxc.net.1.type = macvlan\nlxc.net.2.type = phys\nlxc.net.2.name = lan\n" +
				block(hooks(" --ifname eth2")), "eth2", nil},
		{"an address and a socket", "", Mesh{IPv4: "10.77.0.9", Socket: "/run/m.sock"},
			block("lxc.net.0.type = empty", hooks(" --ipv4 10.77.0.9 --socket /run/m.sock")), "eth0", nil},
		{"the host's network", "lxc.net.0.type = none\n", Mesh{}, "", "", ErrHostNetwork},
		{"the host's network, in its place", "lxc.net.0.type = none\n", Mesh{Only: true}, "", "", ErrHostNetwork},
		{"by hand", "lxc.hook.start-host = /opt/lxc-hook\n", Mesh{}, "", "", ErrByHand},
		{"by hand, but a comment", "# lxc.hook.start-host = /opt/lxc-hook\n", Mesh{},
			"# lxc.hook.start-host = /opt/lxc-hook\n" + block("lxc.net.0.type = empty", hooks("")), "eth0", nil},
	} {
		test.mesh.Hook, test.mesh.Network = hook, "prod"
		got, ifname, err := Enable(test.text, test.mesh)
		if !errors.Is(err, test.err) || got != test.want || ifname != test.ifname {
			t.Errorf("%s: Enable = %q, %s, %v\nwant %q, %s, %v", test.name, got, ifname, err, test.want, test.ifname, test.err)
			continue
		}
		if err != nil {
			continue
		}
		if again, _, err := Enable(got, test.mesh); again != got || err != nil {
			t.Errorf("%s: once more: %q, %v", test.name, again, err)
		}
		before := test.text
		if before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		if back, changed := Disable(got); back != before || !changed {
			t.Errorf("%s: Disable = %q, %v, want %q", test.name, back, changed, before)
		}
	}
	if text, changed := Disable(debian); text != debian || changed {
		t.Errorf("Disable of what was never enabled = %q, %v", text, changed)
	}
}

// LXC knows no quotation marks.
func TestEnableWhatCannotBeWritten(t *testing.T) {
	for _, m := range []Mesh{{Hook: "/opt/my tools/lxc-hook", Network: "prod"}, {Hook: hook}, {Hook: hook, Network: "a#b"}, {Hook: hook, Network: "p", Socket: "/run/\n"}} {
		if text, _, err := Enable("", m); err == nil {
			t.Errorf("Enable(%+v) = %q, want an error", m, text)
		}
	}
}

// Whatever was there is there again.
func FuzzEnable(f *testing.F) {
	f.Add("lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n", true)
	f.Add("lxc.net =\n\n# "+begin+"\n"+end, false)
	f.Fuzz(func(t *testing.T, text string, only bool) {
		clean, _ := Disable(text)
		got, ifname, err := Enable(text, Mesh{Hook: hook, Network: "prod", Only: only})
		if err != nil {
			return
		}
		if n := strings.Count(got, begin+"\n"); n < 1 || ifname == "" {
			t.Fatalf("Enable(%q) = %q", text, got)
		}
		if clean != "" && !strings.HasSuffix(clean, "\n") {
			clean += "\n"
		}
		if back, _ := Disable(got); back != clean {
			t.Errorf("Disable(Enable(%q)) = %q, want %q", text, back, clean)
		}
	})
}
