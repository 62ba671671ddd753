package lab

import (
	"strconv"
	"strings"
	"syscall"
	"time"
)

// KilledPlugin is Plugin, with kill -9 before a thread of the plugin makes its n-th call of a system call, by strace. survived says
// that no thread came so far; then the plugin did its work.
func (h *Host) KilledPlugin(call string, n int, stdin string, env ...string) (r Result, survived bool) {
	h.lab.tb.Helper()
	inject := "inject=" + call + ":signal=KILL:when=" + strconv.Itoa(n)
	args := append([]string{"env", "CNI_PATH=/opt/cni/bin"}, env...)
	args = append(args, "strace", "--follow-forks", "--quiet=all", "-o", "/dev/null", "-e", "trace="+call, "-e", inject,
		"/opt/cni/bin/cni-meshnet")
	r = h.TryInput(stdin, args...)
	if r.Stderr != "" {
		h.lab.tb.Fatalf("%s: strace: %s", h.Name, r.Stderr)
	}
	return r, r.Code >= 0 // strace dies of the signal that its child died of
}

// KillAt has meshd killed by kill -9 when one of its threads makes its n-th call of a system call from now on. release lets go of it
// again, if it lives.
func (d *Daemon) KillAt(call string, n int) (release func()) {
	d.host.lab.tb.Helper()
	pid := d.host.Output("pidof", "meshd")
	inject := "inject=" + call + ":signal=KILL:when=" + strconv.Itoa(n)
	tracer := d.host.Start("strace", "--follow-forks", "-o", "/dev/null", "-e", "trace="+call, "-e", inject, "-p", pid)
	d.host.Until("strace watches meshd", func() bool { return strings.Contains(tracer.Err.String(), "attached") }, tracer.Err.String)
	return func() {
		tracer.Signal(syscall.SIGKILL) // the kernel lets go of meshd then; strace itself may wait for a thread that is dying
		if !tracer.Ended(10 * time.Second) {
			d.host.lab.tb.Fatalf("%s: strace still runs 10 s after kill -9", d.host.Name)
		}
	}
}
