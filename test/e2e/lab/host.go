package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Host is one simulated machine. A user's view of it is the usual one: /run, /var/lib/meshnet, /var/lib/lxc and
// eth0 are its own.
type Host struct {
	Name string
	IPv4 netip.Addr // on the underlay; invalid on a host without
	IPv6 netip.Addr // on the underlay
	Dir  string     // on the real machine: state/ is the host's /var/lib/meshnet, cni/ its /etc/cni/net.d, plugins/ its /opt/cni/bin

	lab    *Lab
	ns     *namespace
	nat    NAT        // that it is behind; "": none
	router *namespace // which does that
	daemon *Daemon    // the one started last, or nil
}

// boot makes the host's namespaces and plugs eth0 into the underlay.
func (h *Host) boot() {
	l := h.lab
	l.tb.Helper()
	if err := l.rootfs(); err != nil {
		l.tb.Fatalf("making the containers' root file system: %v", err)
	}
	h.ns = l.namespace(h.Name, h.Dir)
	if h.nat != "" {
		h.bootBehind(h.IPv6.As16()[15])
		return
	}
	mac := fmt.Sprintf("02:00:5e:00:53:%02x", h.IPv6.As16()[15]) // as hardware does, it survives a reboot
	plug(l, l.underlay, h.port(), h.ns, "eth0", "address", mac)
	l.must(l.underlay, "ip", "link", "set", h.port(), "master", "ix", "up")
	if h.IPv4.IsValid() {
		l.must(h.ns, "ip", "addr", "add", h.IPv4.String()+"/24", "dev", "eth0")
	}
	l.must(h.ns, "ip", "addr", "add", h.IPv6.String()+"/64", "dev", "eth0", "nodad")
	l.must(h.ns, "ip", "link", "set", "eth0", "up")
}

// port returns the name of the host's port on the underlay's bridge.
func (h *Host) port() string { return "p-" + h.Name }

// Reboot is what a power cut does: every process and interface of the host is gone, its disk stays.
func (h *Host) Reboot() {
	h.lab.tb.Helper()
	h.ns.close()
	if h.router != nil {
		h.router.close()
	}
	h.lab.try(h.lab.underlay, "", "ip", "link", "del", h.port()) // the kernel does so, but in its own time
	h.daemon = nil
	h.boot()
}

// Endpoint returns HOST:PORT of the host's meshd on the underlay, with the default port.
func (h *Host) Endpoint() string {
	addr := h.IPv4
	if !addr.IsValid() {
		addr = h.IPv6
	}
	return netip.AddrPortFrom(addr, 7000).String()
}

// Path returns the path by which the test reaches a file of the host.
func (h *Host) Path(file string) string { return h.ns.path(file) }

// Write makes a file on the host, for configuration.
func (h *Host) Write(file, content string) {
	h.lab.tb.Helper()
	path := h.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
}

// ownPrograms is the first directory in which a shell of the host looks for programs.
const ownPrograms = "/run/bin"

// WriteProgram makes a shell script that shells on the host find before any other program of that name, until the host reboots.
func (h *Host) WriteProgram(name, script string) {
	h.lab.tb.Helper()
	h.Write(ownPrograms+"/"+name, "#!/bin/sh\n"+script)
	h.Output("chmod", "755", ownPrograms+"/"+name)
}

// inCgroup is a script that gives the subcommand run of a program further options.
func inCgroup(program string, options ...string) string {
	return fmt.Sprintf("if [ \"$1\" = run ]; then shift; set -- run %s \"$@\"; fi\nexec %s \"$@\"\n", strings.Join(options, " "), program)
}

// Try runs a command on the host and returns what came of it; it is killed after 30 s.
func (h *Host) Try(args ...string) Result {
	h.lab.tb.Helper()
	return h.lab.try(h.ns, "", args...)
}

// TryInput is Try with a standard input.
func (h *Host) TryInput(input string, args ...string) Result {
	h.lab.tb.Helper()
	return h.lab.try(h.ns, input, args...)
}

// Output runs a command that has to succeed and returns its standard output without the last newline.
func (h *Host) Output(args ...string) string {
	h.lab.tb.Helper()
	return strings.TrimSuffix(h.lab.must(h.ns, args...), "\n")
}

// JSON runs a command that has to succeed and decodes its standard output into v.
func (h *Host) JSON(v any, args ...string) {
	h.lab.tb.Helper()
	out := h.Output(args...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		h.lab.tb.Fatalf("%s: %s: %v in %s", h.Name, strings.Join(args, " "), err, out)
	}
}

// Start runs a command on the host in the background until it ends, Stop, or the end of the host.
func (h *Host) Start(args ...string) *Process {
	h.lab.tb.Helper()
	p, err := start(context.Background(), h.ns, h.lab.bin, h.environment(), "", args...)
	if err != nil {
		h.lab.tb.Fatalf("%s: starting %s: %v", h.Name, args[0], err)
	}
	return p
}

// environment is a user's on that host.
func (h *Host) environment() []string {
	return []string{
		"PATH=" + ownPrograms + ":" + h.lab.bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "CNI_PATH=/opt/cni/bin", "NETCONFPATH=/etc/cni/net.d",
	}
}

// Until is Lab.Until with a default deadline of 15 s.
func (h *Host) Until(what string, cond func() bool, why func() string) {
	h.lab.tb.Helper()
	h.Within(15*time.Second, what, cond, why)
}

// Within is Lab.Until for something on this host.
func (h *Host) Within(d time.Duration, what string, cond func() bool, why func() string) {
	h.lab.tb.Helper()
	h.lab.Until(d, h.Name+": "+what, cond, why)
}
