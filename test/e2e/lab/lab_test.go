package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bridge makes what a network is to its containers, without meshd: br0 on each host, with the host's eth0 in it.
func bridge(hosts ...*Host) {
	for _, h := range hosts {
		h.Output("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
		h.Output("ip", "link", "set", "eth0", "master", "br0")
		h.Output("ip", "link", "set", "br0", "up")
	}
}

// address gives a container what a plugin would.
func address(c *Container, addr string) {
	c.Host.Output("nsenter", "--net="+c.NetNS, "ip", "addr", "add", addr+"/64", "dev", "eth0", "nodad")
	c.Host.Output("nsenter", "--net="+c.NetNS, "ip", "link", "set", "eth0", "up")
}

// a ── underlay ── b
func TestHostsAreSeparateMachines(t *testing.T) {
	l := New(t, t.TempDir())
	began := time.Now()
	hosts := l.Hosts("a", "b")
	t.Logf("two hosts boot in %v", time.Since(began))
	a, b := hosts[0], hosts[1]

	if got := a.Output("hostname"); got != "a" {
		t.Errorf("hostname on a = %q", got)
	}
	a.Write("/run/mine", "x")
	a.Write("/var/lib/meshnet/kept", "y")
	if r := b.Try("ls", "/run/mine", "/var/lib/meshnet/kept"); r.Code == 0 {
		t.Errorf("b sees files of a: %s", r.Stdout)
	}
	for _, addr := range []netip.Addr{b.IPv4, b.IPv6} {
		a.Output("ping", "-c1", "-W2", addr.String())
	}
	if r := a.Try("sh", "-c", "exit 7"); r.Code != 7 {
		t.Errorf("exit code = %d, want 7", r.Code)
	}

	a.Reboot()
	if r := a.Try("ls", "/run/mine"); r.Code == 0 {
		t.Error("/run survived a reboot")
	}
	if got := a.Output("cat", "/var/lib/meshnet/kept"); got != "y" {
		t.Errorf("state after a reboot = %q, want y", got)
	}
	b.Output("ping", "-c1", "-W2", a.IPv4.String())
}

// a: web (LXC, unprivileged) ── br0 ── underlay ── br0 ── b: db (network namespace), root (LXC, privileged)
func TestContainersAndCapture(t *testing.T) {
	l := New(t, t.TempDir())
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	bridge(a, b)
	web := a.LXC(LXC{Name: "web", Hook: HookNone, Bridge: "br0"})
	root := b.LXC(LXC{Name: "root", Hook: HookNone, Bridge: "br0", Privileged: true, Version: 1})
	b.Output("ip", "netns", "add", "db")
	b.Output("ip", "link", "add", "vdb", "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", "db")
	db := b.NetNS("db")
	address(web, "fd00::1")
	address(db, "fd00::2")
	address(root, "fd00::3")

	seen := l.Capture()
	for _, to := range []*Container{db, root} {
		t.Logf("web to %s: %v", to.Name, web.Reaches(to, 5*time.Second))
	}
	if _, err := web.Ping(netip.MustParseAddr("fd00::dead"), 56); err == nil {
		t.Error("ping to nobody succeeded")
	}
	seen.Stop()
	if !seen.Contains(Plaintext()) {
		t.Error("the capture of a plain bridge shows no plaintext")
	}
	if got, want := web.Addr(), netip.MustParseAddr("fd00::1"); got != want {
		t.Errorf("Addr() = %v, want %v", got, want)
	}
	a.StopLXC("web")
}

// a ── underlay ── b, and a capture in between
func TestCaptureReadsUDP(t *testing.T) {
	l := New(t, t.TempDir())
	hosts := l.Hosts("a", "b")
	for _, pair := range [][2]netip.Addr{{hosts[0].IPv4, hosts[1].IPv4}, {hosts[0].IPv6, hosts[1].IPv6}} {
		from := hosts[0].ListenUDP(netip.AddrPortFrom(pair[0], 0))
		to := hosts[1].ListenUDP(netip.AddrPortFrom(pair[1], 7000))
		seen := l.Capture()
		if _, err := from.WriteToUDPAddrPort([]byte("hello"), netip.AddrPortFrom(pair[1], 7000)); err != nil {
			t.Fatal(err)
		}
		to.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, _, err := to.ReadFromUDPAddrPort(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range seen.Stop() {
			if p.Dst == netip.AddrPortFrom(pair[1], 7000) {
				got = append(got, string(p.Payload))
			}
		}
		if len(got) != 1 || got[0] != "hello" {
			t.Errorf("captured payloads to %v = %q, want one hello", pair[1], got)
		}
	}
}

// a ──╳── underlay ── b
func TestWeather(t *testing.T) {
	l := New(t, t.TempDir())
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	ping := func() bool { return a.Try("ping", "-c1", "-W1", b.IPv4.String()).Code == 0 }
	if !ping() {
		t.Error("a does not reach b in fair weather")
	}
	l.Partition(a)
	if ping() {
		t.Error("a reaches b although it is cut off")
	}
	l.Lose(99)
	lost := 0
	for range 10 {
		if a.Try("ping", "-c1", "-W0.05", b.IPv4.String()).Code != 0 {
			lost++
		}
	}
	if lost < 5 {
		t.Errorf("pings lost of 10 at 99 %% loss a direction = %d", lost)
	}
	l.Heal()
	if !ping() {
		t.Error("a does not reach b after Heal")
	}
}

// When a Lab has closed, its processes, cgroups and namespaces are gone.
func TestNothingIsLeftBehind(t *testing.T) {
	var cgroup string
	var pids []int
	t.Run("lab", func(t *testing.T) {
		l := New(t, t.TempDir())
		a := l.Hosts("a")[0]
		bridge(a)
		a.LXC(LXC{Name: "web", Hook: HookNone, Bridge: "br0"})
		cgroup = l.cgroup
		pids = []int{a.ns.holder.Process.Pid, a.Start("sleep", "1000").Pid()}
		if len(cgroups(t, cgroup)) == 0 {
			t.Error("the container has no cgroup of the lab's")
		}
	})
	for _, pid := range pids {
		if state, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status")); err == nil && !strings.Contains(string(state), "zombie") {
			t.Errorf("process %d lives", pid)
		}
	}
	if left := cgroups(t, cgroup); len(left) > 0 {
		t.Errorf("cgroups left: %q", left)
	}
}

func cgroups(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*"} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matches {
			if strings.Contains(m, name) {
				found = append(found, m)
			}
		}
	}
	return found
}
