package meshdtest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bridge is the name of the bridge of Host.
const Bridge = "mesh0"

// Host moves the test to a network namespace of its own, the host, in which there is a bridge. The test's goroutine
// keeps its thread, which the runtime does not use again, so the namespace ends with the test. The machine's own is never
// touched. Programs that the test starts are in the host as well.
func Host(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and devices: run it as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	AddBridge(t, Bridge)
}

// AddBridge makes a bridge in the host.
func AddBridge(t *testing.T, name string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatalf("making bridge %s: %v", name, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatalf("setting bridge %s up: %v", name, err)
	}
}

// Container makes a network namespace that lives until remove is called or the test ends, and returns its path.
func Container(t *testing.T) (path string, remove func()) {
	t.Helper()
	made := make(chan string)
	end, ended := make(chan struct{}), make(chan struct{})
	go onOtherThread(func() {
		defer close(ended)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- ""
			return
		}
		made <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		<-end
	})
	path = <-made
	if path == "" {
		t.Fatal("cannot make a network namespace")
	}
	var closed bool
	remove = func() {
		if !closed {
			closed = true
			close(end)
			<-ended
			for { // the thread ends a moment after its goroutine
				if _, err := os.Stat(path); err != nil {
					return
				}
				runtime.Gosched()
			}
		}
	}
	t.Cleanup(remove)
	return path, remove
}

// onOtherThread runs f on a thread that ends with it: locked for good, and not the process's first, which the runtime
// keeps.
func onOtherThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() { // on another thread, as this one stays locked meanwhile
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
	runtime.UnlockOSThread()
}
