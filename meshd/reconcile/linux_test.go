package reconcile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/ipam"
	"meshnet/plugins/attach"
)

// newNamespace moves the test to a network namespace of its own, with the bridges mesh0 and mesh1. The goroutine keeps
// its thread, so the namespace ends with the test.
func newNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and devices: run it as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	for _, name := range []string{"mesh0", "mesh1"} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			t.Fatal(err)
		}
	}
}

// addVeth makes a veth whose host's end is a port of a bridge, of none if that is "".
func addVeth(t *testing.T, name, alias, bridge string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "p" + name[:len(name)-1]}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("making %s: %v", name, err)
	}
	if alias != "" {
		if err := netlink.LinkSetAlias(veth, alias); err != nil {
			t.Fatal(err)
		}
	}
	if bridge == "" {
		return
	}
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMaster(veth, master); err != nil {
		t.Fatal(err)
	}
}

// startProcess starts what stands for a container's init, and returns its PID. As the first process of a PID namespace
// it is the child of the one that is started.
func startProcess(t *testing.T, flags ...string) int {
	t.Helper()
	cmd := exec.Command("unshare", append(flags, "cat")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	stdin.Write([]byte("x"))
	stdout.Read(make([]byte, 1)) // cat answers: it is in its namespaces
	pid := cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil && len(children) > 0 {
		fmt.Sscan(string(children), &pid)
	}
	return pid
}

func TestLinux(t *testing.T) {
	newNamespace(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "unmounted")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mounted := filepath.Join(dir, "mounted")
	if err := os.WriteFile(mounted, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", mounted, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(mounted, unix.MNT_DETACH) })
	results := filepath.Join(dir, "results")
	if err := os.Mkdir(results, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"homes-cached-eth0", "homes-cachedgone-eth0"} {
		if err := os.WriteFile(filepath.Join(results, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	proc := func(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }
	first, other := startProcess(t, "--pid", "--fork"), startProcess(t, "--net")
	host := func(container string) string { return attach.HostName(container, "eth0") }
	addVeth(t, host("inbridge"), "", "mesh0")
	addVeth(t, host("nobridge"), "", "")
	addVeth(t, host("elsewhere"), "", "mesh1")
	addVeth(t, "vethLXC1", host("adopted"), "mesh0")

	rows := []struct {
		container, source, netns string
		want                     State
		why                      string
	}{
		{"inbridge", "cni", "/run/netns/none", Present, "the host's end " + host("inbridge") + " is there"},
		{"nobridge", "cni", "/run/netns/none", Present, "is there"},
		{"adopted", "lxc", "/proc/1073741824/ns/net", Present, "is there"},
		{"elsewhere", "cni", "/run/netns/none", Gone, "neither its interface nor its network namespace /run/netns/none is there"},
		{"nonamespace", "cni", file + "/none", Gone, "neither its interface nor"},
		{"mounted", "cni", mounted, Unsure, "but its network namespace"},
		{"unmounted", "cni", file, Gone, "is no network namespace"},
		{"cached", "cni", file, Unsure, "its runtime has the result of ADD"},
		{"cachedgone", "cni", "/run/netns/none", Gone, "neither"},
		{"nothingknown", "manual", "", Unsure, "nobody has said"},
		{"noprocess", "lxc", "/proc/1073741824/ns/net", Gone, "nor its process /proc/1073741824"},
		{"init", "lxc", proc(first), Unsure, "but its process"},
		{"reusedpid", "lxc", proc(other), Gone, "is no container's init any more"},
		{"byhand", "manual", proc(other), Unsure, "but its process"},
	}
	var leases []ipam.Lease
	for _, row := range rows {
		leases = append(leases, ipam.Lease{
			Attachment: ipam.Attachment{Container: row.container, IfName: "eth0"},
			Holder:     ipam.Holder{Source: row.source, NetNS: row.netns},
		})
	}
	l := &Linux{Bridge: "mesh0", CNIResults: results}
	got, err := l.Observe(context.Background(), leases)
	if err != nil || len(got) != len(rows) {
		t.Fatalf("Observe = %v, %v, want %d observations", got, err, len(rows))
	}
	for i, row := range rows {
		if o := got[i]; o.Lease != leases[i] || o.State != row.want || !strings.Contains(o.Why, row.why) {
			t.Errorf("%s is %v (%s), want %v with %q", row.container, o.State, o.Why, row.want, row.why)
		}
	}
}

// "An error means that it could not look."
func TestLinuxErrors(t *testing.T) {
	newNamespace(t)
	leases := []ipam.Lease{lease(web)}
	file := filepath.Join(t.TempDir(), "results")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	rows := []struct {
		name string
		ctx  context.Context
		l    Linux
		want string
	}{
		{"no bridge", context.Background(), Linux{Bridge: "none0"}, "there is no bridge none0"},
		{"the bridge is none", context.Background(), Linux{Bridge: "lo"}, "there is no bridge lo"},
		{"results that cannot be read", context.Background(), Linux{Bridge: "mesh0", CNIResults: file}, "results of CNI plugins"},
		{"no time", ended, Linux{Bridge: "mesh0"}, "context canceled"},
	}
	for _, row := range rows {
		if got, err := row.l.Observe(row.ctx, leases); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: Observe = %v, %v, want an error with %q", row.name, got, err, row.want)
		}
	}
	if got, err := (&Linux{Bridge: "none0"}).Observe(context.Background(), nil); err != nil || len(got) != 0 {
		t.Errorf("Observe of no lease = %v, %v, want nothing", got, err)
	}
}

func TestFirstOfNamespace(t *testing.T) {
	rows := []struct {
		status string
		want   bool
	}{
		{"Name:\tinit\nNSpid:\t4711\t1\n", true},
		{"NSpid:\t4711\t33\t1\n", true},
		{"NSpid:\t1\n", false}, // the host's own init
		{"NSpid:\t4711\n", false},
		{"NSpid:\t4711\t12\n", false},
		{"NSpid:\n", false},
		{"Name:\tinit\n", true}, // a kernel without PID namespaces
	}
	for _, row := range rows {
		if got := firstOfNamespace([]byte(row.status)); got != row.want {
			t.Errorf("firstOfNamespace(%q) = %v, want %v", row.status, got, row.want)
		}
	}
}
