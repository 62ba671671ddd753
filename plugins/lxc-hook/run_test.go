package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/meshdtest"
)

// TestMain lets the test binary be the hook, when it is called by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "lxc-hook" {
		main()
		return
	}
	os.Exit(m.Run())
}

// By hand, an error is one line on standard error; by LXC, which throws that away, one on standard output.
func TestMainByHand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		line           string
		env            string
		code           int
		stdout, stderr string // the beginning
	}{
		{line: "", code: exitUsage, stderr: "lxc-hook: it is run by LXC"},
		{line: "--bogus", code: exitUsage, stderr: "lxc-hook: flag provided but not defined"},
		{line: "--socket /nonexistent/s c1 net up veth vethA", code: exitUsage, stderr: "lxc-hook: container c1: LXC has passed"},
		{line: "--socket /nonexistent/s c1 lxc post-stop", code: 0, stderr: "lxc-hook: container c1: detaching eth0: meshd is not reachable"},
		{line: "--version", code: 0, stdout: "lxc-hook devel\n"},
		{line: "--help", code: 0, stdout: "lxc-hook - "},
		{line: "c1 lxc nope", env: "LXC_NAME=c1", code: exitUsage, stdout: "lxc-hook: container c1: it cannot be hook"},
	}
	for _, row := range rows {
		var stdout, stderr strings.Builder
		cmd := &exec.Cmd{
			Path: self, Args: append([]string{"lxc-hook"}, strings.Fields(row.line)...), Stdout: &stdout, Stderr: &stderr,
			Env: []string{"GORACE=atexit_sleep_ms=0", row.env},
		}
		cmd.Run() // its code says all
		out, errs := stdout.String(), stderr.String()
		lines := strings.Count(out+errs, "\n")
		if code := cmd.ProcessState.ExitCode(); code != row.code || code != 0 && lines != 1 ||
			!strings.HasPrefix(out, row.stdout) || !strings.HasPrefix(errs, row.stderr) || (row.stderr == "") != (errs == "") {
			t.Errorf("lxc-hook %s: exit %d, stdout %q, stderr %q; want %d, %q, %q", row.line, code, out, errs, row.code, row.stdout, row.stderr)
		}
	}
}

// startInit starts what stands for a container's init, in a network namespace of its own, and returns its PID.
func startInit(t *testing.T) int {
	t.Helper()
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
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	stdin.Write([]byte("x"))
	stdout.Read(make([]byte, 1)) // cat answers: it is in its namespace
	return cmd.Process.Pid
}

// kill ends an init, and returns when it has left its namespace.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
			return
		}
		runtime.Gosched()
	}
}

func TestRun(t *testing.T) {
	meshdtest.Host(t)
	b := meshdtest.New()
	o := options{socket: meshdtest.Start(t, b), ifname: "eth0"} // "the network may be left out when there is only one"
	first := startInit(t)
	steps := []struct {
		name  string
		event event
		calls []string
	}{
		{"start", event{kind: startHost, container: "c1", pid: first}, []string{"attach c1/eth0"}},
		{"reboot keeps the lease", event{kind: postStop, container: "c1", reboot: true}, nil},
		{"start after a reboot", event{kind: startHost, container: "c1", pid: startInit(t)}, []string{"attach c1/eth0"}},
		{"stop", event{kind: postStop, container: "c1"}, []string{"detach c1/eth0"}},
		{"stop again", event{kind: netDown, container: "c1", peer: "vethA"}, []string{"detach c1/eth0"}},
	}
	for _, step := range steps {
		if step.event.reboot {
			kill(t, first)
		}
		if err := run(o, step.event); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if calls := b.Calls(); !slices.Equal(calls, step.calls) {
			t.Errorf("%s: calls = %q, want %q", step.name, calls, step.calls)
		}
	}
}

// Which address is asked for, and which of them LXC sets itself.
func TestChooseIPv4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.77.0.9/16\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name    string
		option  string
		event   event
		want    string
		runtime string
	}{
		{"up", "", event{kind: netUp, config: path}, "10.77.0.9", "10.77.0.9/16"},
		{"start-host", "", event{kind: startHost, config: path}, "", ""},
		{"start-host with the option", "10.77.0.7", event{kind: startHost, config: path}, "10.77.0.7", ""},
		{"the option goes first", "10.77.0.7", event{kind: netUp, config: path}, "10.77.0.7", ""},
		{"both say the same", "10.77.0.9", event{kind: netUp, config: path}, "10.77.0.9", "10.77.0.9/16"},
		{"none", api.NoIPv4, event{kind: netUp, config: path}, api.NoIPv4, ""},
		{"no configuration", "", event{kind: netUp}, "", ""},
	}
	for _, row := range rows {
		var r attach.Request
		options{ifname: "eth0", ipv4: row.option}.chooseIPv4(row.event, &r)
		runtime := ""
		if r.RuntimeIPv4.IsValid() {
			runtime = r.RuntimeIPv4.String()
		}
		if r.IPv4 != row.want || runtime != row.runtime {
			t.Errorf("%s: asked for %q, LXC sets %q, want %q and %q", row.name, r.IPv4, runtime, row.want, row.runtime)
		}
	}
}

// The hook sets the address of its option.
func TestRunIPv4(t *testing.T) {
	meshdtest.Host(t)
	o := options{socket: meshdtest.Start(t, meshdtest.New()), ifname: "eth0", ipv4: "10.77.3.9"}
	pid := startInit(t)
	if err := run(o, event{kind: startHost, container: "c1", pid: pid}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid), "ip", "-4", "-br", "addr", "show", "eth0").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "10.77.3.9/16") {
		t.Errorf("eth0 is %s, %v, want 10.77.3.9/16", out, err)
	}
}

func TestRunErrors(t *testing.T) {
	meshdtest.Host(t)
	b := meshdtest.New()
	socket := meshdtest.Start(t, b)
	pid := startInit(t)
	rows := []struct {
		name  string
		o     options
		event event
		want  string
	}{
		{"unknown network", options{socket: socket, network: "nope", ifname: "eth0"}, event{kind: startHost, container: "c1", pid: pid},
			`attaching eth0: there is no network "nope" on this host, only homes`},
		{"no meshd", options{socket: "/nonexistent/s", network: "homes", ifname: "eth0"}, event{kind: startHost, container: "c1", pid: pid},
			"is meshd running?"},
		{"no meshd at the end", options{socket: "/nonexistent/s", network: "homes", ifname: "eth0"}, event{kind: postStop, container: "c1"},
			"detaching eth0: meshd is not reachable"},
		{"interface exists", options{socket: socket, network: "homes", ifname: "lo"}, event{kind: startHost, container: "c1", pid: pid},
			"the container has an interface of that name already"},
		{"veth is gone", options{socket: socket, network: "homes", ifname: "eth0"}, event{kind: netUp, container: "c1", pid: pid, peer: "vethA"},
			"looking for vethA"},
	}
	for _, row := range rows {
		if err := run(row.o, row.event); err == nil || !strings.Contains(err.Error(), row.want) || strings.Count(err.Error(), "homes") > 1 {
			t.Errorf("%s: run error = %v, want one with %q", row.name, err, row.want)
		}
	}
}
