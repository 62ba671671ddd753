package main

import (
	"bytes"
	"fmt"
	"log/syslog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// tell brings one line to whoever should read it. LXC throws a hook's standard error away, and puts its standard output
// into the container's log, at level DEBUG. So the line goes to standard output, the system's log, and the terminal of the
// lxc-start that waits for the container; of a run by hand, which lacks LXC's environment, to standard error alone.
func tell(container, line string) {
	if os.Getenv("LXC_NAME") == "" {
		fmt.Fprintln(os.Stderr, line)
		return
	}
	fmt.Println(line)
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_ERR, "lxc-hook"); err == nil {
		w.Err(strings.TrimPrefix(line, "lxc-hook: "))
		w.Close()
	}
	if pid := findStarter(container); pid > 0 {
		writeStderr(pid, line)
	}
}

// findStarter returns the PID of the lxc-start that somebody has typed for the container, or 0. In the foreground (-F)
// it is the monitor, this hook's ancestor; else the monitor is a daemon, and lxc-start waits for its report.
func findStarter(container string) int {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range procs {
		cmdline, err := os.ReadFile(path)
		if err != nil || !isStarter(cmdline, container) {
			continue
		}
		dir := filepath.Dir(path)
		info, err := os.Stat(dir)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			return pid
		}
	}
	return 0
}

// isStarter says whether a command line, its words each ended by a zero byte, is that of an lxc-start of the container.
func isStarter(cmdline []byte, container string) bool {
	words := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	if filepath.Base(words[0]) != "lxc-start" {
		return false
	}
	return slices.ContainsFunc(words[1:], func(w string) bool {
		return w == container || w == "-n"+container || w == "--name="+container
	})
}

// writeStderr writes a line to the standard error of another process of the same user, if that is a terminal or a pipe:
// what is read as it is written.
func writeStderr(pid int, line string) {
	path := fmt.Sprintf("/proc/%d/fd/2", pid)
	info, err := os.Stat(path)
	if err != nil || info.Mode()&(os.ModeCharDevice|os.ModeNamedPipe) == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s\r\n", line)
}
