package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// refuses waits for a meshd that cannot work: it ends with exit 1 or 2, and its last line has all of words, so that an
// operator knows what and where.
func refuses(t *testing.T, d *lab.Daemon, words ...string) {
	t.Helper()
	if !d.Ended(10 * time.Second) {
		t.Fatalf("meshd runs where it cannot:\n%s", d.Log())
	}
	if d.Code() != 1 && d.Code() != 2 {
		t.Errorf("exit code of meshd = %d, want 1 or 2:\n%s", d.Code(), d.Log())
	}
	wantLine(t, "the last line of meshd", lastLine(d.Log()), words...)
}

// fails runs a command that cannot work: it ends with code, and one line on standard error has all of words.
func fails(t *testing.T, h *lab.Host, code int, words []string, args ...string) {
	t.Helper()
	r := h.Try(args...)
	if r.Code != code {
		t.Errorf("%s: exit %d, want %d; stdout %q, stderr %q", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	message := strings.TrimSpace(r.Stderr)
	if strings.Contains(message, "\n") && code != 2 {
		t.Errorf("%s: more than one line on stderr:\n%s", strings.Join(args, " "), message)
	}
	wantLine(t, strings.Join(args, " "), message, words...)
}

func wantLine(t *testing.T, what, line string, words ...string) {
	t.Helper()
	t.Logf("%s: %s", what, line)
	for _, w := range words {
		if !strings.Contains(strings.ToLower(line), strings.ToLower(w)) {
			t.Errorf("%s says %q, which does not name %q", what, line, w)
		}
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// The port in use.
//
//	a: another program on UDP port 7000
func TestPortInUse(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 7000))
	refuses(t, a.LaunchMeshd(), "7000", "in use")

	a.StartMeshd("--listen", ":7001")
	refuses(t, a.LaunchMeshd("--listen", ":7002"), "meshd") // a second daemon on the same state and socket
	a.Output("meshctl", "status")
}

// No /dev/net/tun.
//
//	a: an empty /dev/net
func TestNoTUN(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.Output("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
	a.StartMeshd()
	fails(t, a, 1, []string{"/dev/net/tun"}, "meshctl", "network", "create", "mesh")
	if got := status(a).Networks; len(got) != 0 {
		t.Errorf("networks after a failed create = %+v, want none", got)
	}
	if links := a.Output("ip", "-o", "link", "show", "type", "bridge"); links != "" {
		t.Errorf("a failed create left a bridge: %s", links)
	}
	a.Output("umount", "/dev/net")
	a.Output("meshctl", "network", "create", "mesh")
}

// Not root.
//
//	a: nobody starts meshd, and calls meshctl
func TestNotRoot(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	refuses(t, a.LaunchMeshdUnder(nobody...), "root")

	mesh(t, "mesh", a)
	fails(t, a, 3, []string{"permission denied"}, append(nobody, "meshctl", "status")...)
}

// State directory not writable.
//
//	a: /var/lib/meshnet is mounted read-only
func TestStateReadOnly(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.Output("mount", "-o", "remount,bind,ro", "/var/lib/meshnet")
	d := a.LaunchMeshd()
	refuses(t, d, "/var/lib/meshnet", "read-only")
}

// Full disk.
//
//	a: 1 MB for /var/lib/meshnet, filled to the last byte while meshd runs
func TestFullDisk(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.Output("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/var/lib/meshnet")
	a.StartMeshd()
	a.Output("meshctl", "network", "create", "mesh")
	a.Output("ip", "netns", "add", "c")
	attach := []string{"meshctl", "attach", "--netns", "/run/netns/c", "--container", "c", "mesh", "--ifname"}
	a.Output(append(attach, "first")...) // so the host has a block, and needs no registry, which a full disk stops for half a minute
	a.Try("dd", "if=/dev/zero", "of=/var/lib/meshnet/ballast", "bs=4k")

	// A lease is small, so the journal may have room for a few in its last page.
	granted, full := 0, lab.Result{}
	for full.Code == 0 && granted < 200 {
		full = a.Try(append(attach, fmt.Sprint("e", granted))...)
		if full.Code == 0 {
			granted++
		}
	}
	if full.Code != 1 {
		t.Errorf("attach on a full disk: exit %d, want 1: %s", full.Code, full.Stderr)
	}
	wantLine(t, "attach on a full disk", strings.TrimSpace(full.Stderr), "no space")
	fails(t, a, 1, []string{"no space"}, "meshctl", "network", "create", "other")

	a.Output("rm", "/var/lib/meshnet/ballast")
	a.Output(append(attach, "eth0")...)
	addr := a.NetNS("c").Addr()
	a.Meshd().Kill9()
	a.StartMeshd()
	found := false
	for _, lease := range leases(a) {
		found = found || lease.IfName == "eth0" && slices.Contains(lease.Addresses, addr)
	}
	if got := len(leases(a)); !found || got != granted+2 {
		t.Errorf("leases after a full disk and kill -9 = %d, want %d, with eth0 at %v:\n%s", got, granted+2, addr, a.Output("meshctl", "leases"))
	}
}

// Corrupt journal: refuse with the way out, never silently start afresh.
//
//	a: a byte of each file with leases is flipped while meshd is down
func TestCorruptJournal(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	addrs := map[string]bool{}
	for _, name := range []string{"one", "two", "three"} {
		a.Output("ip", "netns", "add", name)
		a.Output("meshctl", "attach", "--netns", "/run/netns/"+name, "--container", name)
		addrs[fmt.Sprint(a.NetNS(name).Addrs())] = true
	}
	a.Meshd().Stop()
	files := flip(t, a)
	a.StartMeshd()
	var n api.Network
	for _, n = range status(a).Networks {
		if n.State != api.NetworkFailed || !strings.Contains(n.Error, files[0]) && !strings.Contains(n.Error, "/var/lib/meshnet") {
			t.Errorf("network with a corrupt journal is %s: %q, want failed and the file's name", n.State, n.Error)
		}
	}
	t.Logf("status: %s", n.Error)
	a.Output("ip", "netns", "add", "four")
	fails(t, a, 1, nil, "meshctl", "attach", "--netns", "/run/netns/four", "--container", "four", "mesh")
	a.Meshd().Stop()

	flip(t, a) // back
	a.StartMeshd()
	for _, lease := range leases(a) {
		slices.SortFunc(lease.Addresses, netip.Addr.Compare)
		delete(addrs, fmt.Sprint(lease.Addresses))
	}
	if len(addrs) > 0 {
		t.Errorf("leases lost after the journal was repaired: %v", addrs)
	}
}

// flip inverts the byte in the middle of each file of the host's lease directories, and returns their names.
func flip(t *testing.T, h *lab.Host) []string {
	t.Helper()
	found := strings.Fields(h.Output("find", "/var/lib/meshnet", "-path", "*lease*", "-type", "f", "-size", "+0"))
	if len(found) == 0 {
		t.Fatalf("no file of leases under /var/lib/meshnet:\n%s", h.Output("find", "/var/lib/meshnet"))
	}
	for _, file := range found {
		path := h.Path(file)
		content, err := os.ReadFile(path)
		if err == nil {
			content[len(content)/2] ^= 0xff
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Bridge name taken by something else.
//
//	a: an interface "taken" that is no bridge
func TestBridgeNameTaken(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	a.Output("ip", "link", "add", "taken", "type", "veth", "peer", "name", "other")
	fails(t, a, 1, []string{"taken"}, "meshctl", "network", "create", "mesh", "--bridge", "taken")
	if got := status(a).Networks; len(got) != 0 {
		t.Errorf("networks after a failed create = %+v, want none", got)
	}
	a.Output("ip", "link", "show", "taken")
	a.Output("meshctl", "network", "create", "mesh", "--bridge", "mesh0")
}

// A cloned identity: the state directory of b is copied to c, as a disk image is.
//
//	a ══ underlay ══ b, c: two hosts with one identity
func TestClonedIdentity(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	mesh(t, "mesh", a, b)
	if err := os.CopyFS(filepath.Join(c.Dir, "state", "copy"), os.DirFS(filepath.Join(b.Dir, "state"))); err != nil {
		t.Fatal(err)
	}
	c.StartMeshd("--state", "/var/lib/meshnet/copy")
	warned := func() bool {
		for _, h := range hosts {
			s := status(h)
			for _, n := range s.Networks {
				s.Warnings = append(s.Warnings, n.Warnings...)
			}
			for _, w := range s.Warnings {
				if strings.Contains(strings.ToLower(w), "identity") {
					t.Logf("%s: %s", h.Name, w)
					return true
				}
			}
		}
		return false
	}
	l.Until(30*time.Second, "some host warns of a cloned identity", warned, func() string {
		return "status of b:\n" + b.Output("meshctl", "status") + "status of c:\n" + c.Output("meshctl", "status")
	})
}

// Two hosts with the same name: the second join is refused. Containers may have the same name on different hosts.
//
//	a "twin": web ══ underlay ══ b "twin", then "b": web
func TestSameNodeName(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	a.StartMeshd("--name", "twin")
	b.StartMeshd("--name", "twin")
	token := a.Output("meshctl", "network", "create", "mesh")
	fails(t, b, 1, []string{"twin"}, "meshctl", "network", "join", token)
	if got := status(b).Networks; len(got) != 0 {
		t.Errorf("networks of b after a refused join = %+v, want none", got)
	}
	a.Until("no trace of the refused host", func() bool {
		s := peerState(a, "twin")
		own := 0
		for _, use := range blocks(a).Blocks {
			if use.State == api.BlockOwned && use.NodeID != status(a).Networks[0].NodeID {
				own++
			}
		}
		return (s == "" || s == api.PeerLeft) && len(status(a).Networks[0].Warnings) == 0 && own == 0
	}, func() string { return a.Output("meshctl", "status") + a.Output("meshctl", "ipam", "show") })
	b.Meshd().Stop()
	b.StartMeshd()
	b.Output("meshctl", "network", "join", token)
	meshed(t, a, b)
	web, web2 := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "web"})
	for _, addr := range web.Addrs() {
		if slices.Contains(web2.Addrs(), addr) {
			t.Fatalf("two containers have the address %v", addr)
		}
	}
	allReach(t, web, web2)
}
