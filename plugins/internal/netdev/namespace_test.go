package netdev_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

func TestOpenPathErrors(t *testing.T) {
	meshdtest.Host(t)
	file := filepath.Join(t.TempDir(), "c1") // what stays of /run/netns/c1 when nothing is mounted there
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo") // whose open would wait for somebody who writes
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, path, want string
		gone             bool
	}{
		{"a FIFO", fifo, "it is something else", true},
		{"a device", "/dev/zero", "it is something else", true},
		{"a directory", t.TempDir(), "it is something else", true},
		{"missing", "/run/netns/there-is-none", "there is no such network namespace", true},
		{"not mounted", file, "it is something else", true},
		{"another kind", "/proc/self/ns/mnt", "it is something else", true},
		{"the host's", "/proc/thread-self/ns/net", "it is the host's own", false},
	}
	for _, row := range rows {
		n, err := netdev.OpenPath(row.path)
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) || errors.Is(err, netdev.ErrNoNamespace) != row.gone {
			t.Errorf("%s: OpenPath(%s) error = %v, want one with %q", row.name, row.path, err, row.want)
		}
	}
}

// Whoever lacks the capabilities is told which, and nothing of system calls.
func TestNotRoot(t *testing.T) {
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	n, err := netdev.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	closed := filepath.Join(t.TempDir(), "closed") // as /proc/PID/ns of another user's process is
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 3)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		errs <- unix.Capset(&header, &make([]unix.CapUserData, 2)[0])
		_, err := netdev.OpenPath(filepath.Join(closed, "net"))
		errs <- err
		errs <- n.CheckFree("eth0")
	}()
	if err := <-errs; err != nil {
		t.Fatalf("dropping capabilities: %v", err)
	}
	const want = "only root (CAP_SYS_ADMIN, CAP_NET_ADMIN) can enter a container's network namespace"
	for _, call := range []string{"OpenPath", "CheckFree"} {
		if err := <-errs; err == nil || err.Error() != want {
			t.Errorf("%s without capabilities = %v, want %s", call, err, want)
		}
	}
}

func TestOpenPID(t *testing.T) {
	meshdtest.Host(t)
	cmd := exec.Command("unshare", "--net", "cat")
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
	pid := cmd.Process.Pid
	stdin.Write([]byte("x"))
	stdout.Read(make([]byte, 1)) // cat answers: it is in its namespace
	n, err := netdev.OpenPID(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	stdin.Close()
	cmd.Wait()
	if _, err := netdev.OpenPID(pid); !errors.Is(err, netdev.ErrNoNamespace) {
		t.Errorf("OpenPID of an ended process = %v, want ErrNoNamespace", err)
	}
	if _, err := netdev.Add(n, testConfig()); err != nil {
		t.Errorf("Add to a namespace without processes = %v", err)
	}
}
