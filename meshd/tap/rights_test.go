package tap_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/meshd/tap"
)

// Without /dev/net/tun, the error says how to get it.
func TestNoCloneDevice(t *testing.T) {
	newNamespace(t)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // of this thread only
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	_, err := tap.Open(tap.Config{Name: "mesh0"})
	const says = "/dev/net/tun: no such file or directory: load the kernel module (modprobe tun)"
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), says) {
		t.Errorf("Open = %v, want ENOENT and %q", err, says)
	}
}

// Without CAP_NET_ADMIN, every error says that it is needed.
func TestNotRoot(t *testing.T) {
	newNamespace(t)
	if _, err := tap.EnsureBridge("there0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	open(t, tap.Config{Name: "mesh1"})
	dropCapabilities(t)
	_, openErr := tap.Open(tap.Config{Name: "mesh0"})
	_, ensureErr := tap.EnsureBridge("meshbr0", 1500, macA)
	for name, err := range map[string]error{
		"Open":         openErr,
		"Remove":       tap.Remove("mesh1"),
		"EnsureBridge": ensureErr,
		"RemoveBridge": tap.RemoveBridge("there0"),
		"Attach":       tap.Attach("mesh1", "there0"),
	} {
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN; run as root") {
			t.Errorf("%s = %v, want EPERM and the way out", name, err)
		}
	}
}

// dropCapabilities takes all capabilities from this thread.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}
