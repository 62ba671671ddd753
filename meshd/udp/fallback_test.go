package udp_test

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/meshd/udp"
)

// newNamespace moves the test to a network namespace of its own, in which only lo is, and up. The test's goroutine keeps its
// thread, which ends with it, and so does the namespace.
func newNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace of its own: run it as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	ip(t, "link set lo up")
}

// ip runs ip(8) in this thread's namespace.
func ip(t *testing.T, args ...string) {
	t.Helper()
	for _, line := range args {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
}

// "If its datagrams have to be cut into fragments, which the kernel does only with single ones": on a path whose MTU is smaller
// than the datagrams, each of a burst arrives.
func TestBurstOnAPathWithASmallMTU(t *testing.T) {
	newNamespace(t)
	ip(t, "link set lo mtu 1400")
	for _, addr := range loopback { // no subtests: they would have other threads, in other namespaces
		for _, off := range offs {
			a, b := listen(t, udp.Config{Addr: addr, Off: off}), listen(t, udp.Config{Addr: addr, Off: off})
			ds := joined(sized(b.LocalAddr(), append(slices.Repeat([]int{4000}, 20), slices.Repeat([]int{1000}, 20)...)...))
			send(t, a, ds)
			wantSame(t, read(t, b, len(ds)), ds)
			for name, n := range a.Counters().Snapshot() {
				if name != "sent" && n != 0 {
					t.Errorf("%v, without %+v: counter %s = %d, want 0", addr.Addr(), off, name, n)
				}
			}
		}
	}
}
