package lab

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Hook is the way in which a container's LXC configuration calls lxc-hook.
type Hook int

const (
	HookVeth     Hook = iota // lxc.net.0.type = veth without link; script.up and script.down
	HookLink                 // the same with lxc.net.0.link = the network's bridge
	HookEmpty                // lxc.net.0.type = empty; lxc.hook.start-host and lxc.hook.post-stop
	HookPostStop             // as HookVeth, with lxc.hook.post-stop instead of script.down
	HookNone                 // veth into Bridge, no hook: meshnet is not asked
)

// LXC is the configuration of one LXC container. Its zero value with a Name is an unprivileged container in the
// host's only network.
type LXC struct {
	Name       string
	Hook       Hook
	Version    int      // lxc.hook.version, 0 or 1
	Privileged bool     // root inside is root outside
	Bridge     string   // for HookLink and HookNone
	Defaults   bool     // begin with what Debian's default.conf says: a veth in lxcbr0, which the host does not have
	HookArgs   string   // appended to the hook's command line, such as "--network prod"
	Lines      []string // of configuration beside these
}

// config returns the text of the container's configuration file.
func (c LXC) config(h *Host) string {
	lines := []string{
		"lxc.uts.name = " + c.Name,
		"lxc.init.cmd = /bin/sleep 100000",
		"lxc.autodev = 1",
		"lxc.pty.max = 8",
		"lxc.tty.max = 0",
		"lxc.mount.auto = proc:mixed sys:ro",
		"lxc.cgroup.dir = " + h.lab.cgroup + "/" + h.Name,
		fmt.Sprintf("lxc.hook.version = %d", c.Version),
	}
	if isFile("/sys/module/apparmor/parameters/enabled") {
		lines = append(lines, "lxc.apparmor.profile = unconfined")
	}
	if c.Privileged {
		lines = append(lines, "lxc.rootfs.path = dir:/var/lib/rootfs/root")
	} else {
		lines = append(lines, "lxc.rootfs.path = dir:/var/lib/rootfs/mapped",
			fmt.Sprintf("lxc.idmap = u 0 %d 65536", containerUID), fmt.Sprintf("lxc.idmap = g 0 %d 65536", containerUID))
	}
	if c.Defaults {
		lines = append(lines, "lxc.net.0.type = veth", "lxc.net.0.link = lxcbr0", "lxc.net.0.flags = up",
			"lxc.net.0.hwaddr = 00:16:3e:01:02:03")
	}
	hook := strings.TrimSpace(filepath.Join(h.lab.bin, "lxc-hook") + " " + c.HookArgs)
	if c.Hook == HookEmpty {
		return strings.Join(append(lines, "lxc.net.0.type = empty", "lxc.hook.start-host = "+hook, "lxc.hook.post-stop = "+hook), "\n") + "\n"
	}
	lines = append(lines, "lxc.net.0.type = veth", "lxc.net.0.name = eth0", "lxc.net.0.flags = up")
	if c.Bridge != "" {
		lines = append(lines, "lxc.net.0.link = "+c.Bridge)
	}
	switch c.Hook {
	case HookPostStop:
		lines = append(lines, "lxc.net.0.script.up = "+hook, "lxc.hook.post-stop = "+hook)
	case HookVeth, HookLink:
		lines = append(lines, "lxc.net.0.script.up = "+hook, "lxc.net.0.script.down = "+hook)
	}
	return strings.Join(append(lines, c.Lines...), "\n") + "\n"
}

// WriteLXC writes the container's configuration, so that `lxc-start -n NAME` is all that is left to do.
func (h *Host) WriteLXC(c LXC) {
	h.lab.tb.Helper()
	h.Write("/var/lib/lxc/"+c.Name+"/config", c.config(h))
}

// LXC starts a container with the real lxc-start.
func (h *Host) LXC(c LXC) *Container {
	h.lab.tb.Helper()
	h.WriteLXC(c)
	log := "/run/lxc-" + c.Name + ".log"
	if r := h.Try("lxc-start", "-n", c.Name, "-l", "INFO", "-o", log); r.Code != 0 {
		h.lab.tb.Fatalf("%s: lxc-start -n %s: exit %d: %s\n%s", h.Name, c.Name, r.Code, r.Stderr, h.Output("cat", log))
	}
	return h.RunningLXC(c.Name)
}

// RunningLXC returns the container of that name, which runs.
func (h *Host) RunningLXC(name string) *Container {
	h.lab.tb.Helper()
	pid := h.Output("lxc-info", "-n", name, "-pH")
	return &Container{Name: name, Host: h, NetNS: "/proc/" + pid + "/ns/net", enter: []string{"lxc-attach", "-n", name, "--"}}
}

// StopLXC stops it the hard way, as `lxc-stop -k` does; the hooks for the way down still run.
func (h *Host) StopLXC(name string) {
	h.lab.tb.Helper()
	h.Output("lxc-stop", "-k", "-n", name)
}
