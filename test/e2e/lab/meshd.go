package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/api"
)

// Socket is where a host's meshd serves its API unless told otherwise.
const Socket = "/run/meshnet/meshd.sock"

// Daemon is a running meshd. What it wrote is logged if the test fails.
type Daemon struct {
	*Process
	host *Host
}

// StartMeshd starts the real meshd with its default paths and waits until it serves its API.
func (h *Host) StartMeshd(args ...string) *Daemon {
	h.lab.tb.Helper()
	d := h.LaunchMeshd(args...)
	d.WaitReady()
	return d
}

// LaunchMeshd starts meshd and does not wait for anything.
func (h *Host) LaunchMeshd(args ...string) *Daemon {
	h.lab.tb.Helper()
	return h.launch(append([]string{"meshd"}, args...))
}

// LaunchMeshdUnder starts meshd through a program that changes what it may do and becomes it, such as setpriv.
func (h *Host) LaunchMeshdUnder(program ...string) *Daemon {
	h.lab.tb.Helper()
	return h.launch(append(program, "meshd"))
}

func (h *Host) launch(args []string) *Daemon {
	h.lab.tb.Helper()
	d := &Daemon{Process: h.Start(args...), host: h}
	h.daemon = d
	h.lab.tb.Cleanup(func() {
		if h.lab.tb.Failed() {
			state := "runs"
			if d.Ended(0) {
				state = d.cmd.ProcessState.String()
			}
			h.lab.tb.Logf("meshd on %s (%s):\n%s", h.Name, state, d.Log())
		}
	})
	return d
}

// Meshd returns the daemon that was started last on this host.
func (h *Host) Meshd() *Daemon { return h.daemon }

// WaitReady waits until the API answers.
func (d *Daemon) WaitReady() {
	tb := d.host.lab.tb
	tb.Helper()
	d.host.Until("meshd serves its API", func() bool {
		if d.Ended(0) {
			tb.Fatalf("%s: meshd ended with exit %d instead of serving:\n%s", d.host.Name, d.Code(), d.Log())
		}
		conn, err := net.Dial("unix", d.host.Path(Socket))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}, d.Log)
}

// Log returns everything that the daemon has written.
func (d *Daemon) Log() string { return strings.TrimSpace(d.Out.String() + d.Err.String()) }

// Kill9 is kill -9.
func (d *Daemon) Kill9() {
	d.host.lab.tb.Helper()
	d.end(syscall.SIGKILL)
}

// Stop asks the daemon to end, as systemd does, and returns its exit code.
func (d *Daemon) Stop() int {
	d.host.lab.tb.Helper()
	d.end(syscall.SIGTERM)
	return d.Code()
}

func (d *Daemon) end(sig os.Signal) {
	d.host.lab.tb.Helper()
	d.Signal(sig)
	if !d.Ended(10 * time.Second) {
		d.host.lab.tb.Fatalf("%s: meshd still runs 10 s after signal %v:\n%s", d.host.Name, sig, d.Log())
	}
}

// Client returns a client of the host's meshd, whichever is the last one that was started.
func (h *Host) Client() *api.Client { return api.NewClient(h.Path(Socket)) }

// API returns a client for plain requests to the host's meshd; the URL's host part is ignored.
func (h *Host) API() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.Path(Socket))
		},
	}}
}

// APIAs is API for another user of the host, if the socket is there for it.
func (h *Host) APIAs(uid int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dialAs(uid, h.Path(Socket)) },
	}}
}

// dialAs connects to a Unix socket. The kernel tells the server who the connecting thread is.
func dialAs(uid int, path string) (net.Conn, error) {
	socket, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) // the way there is root's
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	err = onOwnThread(func() error {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 { // of this thread alone
			return errno
		}
		return unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/thread-self/fd/%d", socket)})
	})
	if err != nil {
		return nil, err
	}
	return net.FileConn(file)
}
