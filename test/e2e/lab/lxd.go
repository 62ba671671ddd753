package lab

import (
	"path/filepath"
	"strings"
	"time"
)

// lxdDir is where a host's LXD keeps everything. Its socket's path has to be short.
const lxdDir = "/var/lib/lxd"

// lxdPreseed is LXD's configuration: a pool of plain directories, and no network of its own.
const lxdPreseed = `config: {images.auto_update_interval: "0"}
storage_pools: [{name: default, driver: dir}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
`

// lxdMetadata describes the image that is made of the containers' root file system.
const lxdMetadata = `architecture: x86_64
creation_date: 1700000000
properties: {description: busybox, os: busybox, release: "1"}
templates: {}
`

// StartLXD starts the real LXD of Debian, and gives it the images "busybox" and "dhcp".
func (h *Host) StartLXD() *Process {
	h.lab.tb.Helper()
	h.Output("mkdir", "-p", lxdDir)
	p := h.RestartLXD()
	if r := h.TryInput(lxdPreseed, h.lxd("lxd", "init", "--preseed")...); r.Code != 0 {
		h.lab.tb.Fatalf("%s: lxd init: exit %d: %s", h.Name, r.Code, r.Stderr)
	}
	h.writeImages()
	return p
}

// writeImages gives LXD the image "busybox", which is the containers' root file system, and the image "dhcp", which has in addition an init that
// runs a DHCP client (IPv4 and IPv6) on eth0. Both know nothing of meshnet.
func (h *Host) writeImages() {
	h.lab.tb.Helper()
	h.Write("/run/image/metadata.yaml", lxdMetadata)
	h.Output("cp", "-a", "/var/lib/rootfs/root", "/run/image/busybox")
	h.Output("cp", "-a", "/var/lib/rootfs/root", "/run/image/dhcp")
	h.addDHCPClient("/run/image/dhcp")
	for _, name := range []string{"busybox", "dhcp"} {
		h.Output("tar", "-C", "/run/image", "-cf", "/run/image.tar", "metadata.yaml", "--transform", "s,^"+name+",rootfs,", name)
		h.Output(h.lxd("lxc", "image", "import", "/run/image.tar", "--alias", name, "-q")...)
	}
}

// dhcpInittab makes busybox's init run a DHCP client, as the images of distributions do.
const dhcpInittab = `::sysinit:/bin/mount -t tmpfs none /run
::respawn:/usr/sbin/dhcpcd -B -L -c /bin/true -f /dev/null eth0
`

// addDHCPClient puts the client, and the libraries that it needs, into a root file system.
func (h *Host) addDHCPClient(dir string) {
	h.lab.tb.Helper()
	h.Write(dir+"/etc/inittab", dhcpInittab)
	h.Output("ln", "-sf", "/bin/busybox", dir+"/sbin/init")
	h.Output("mkdir", "-p", dir+"/var/lib/dhcpcd")
	h.Output("cp", "/usr/sbin/dhcpcd", dir+"/usr/sbin/dhcpcd")
	for line := range strings.Lines(h.Output("ldd", "/usr/sbin/dhcpcd")) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") { // libraries, and what loads them
				h.Output("mkdir", "-p", dir+filepath.Dir(word))
				h.Output("cp", "-L", word, dir+word)
			}
		}
	}
}

// LaunchLXD makes and starts an instance of the image "dhcp" as a user does.
func (h *Host) LaunchLXD(name string, args ...string) *Container {
	h.lab.tb.Helper()
	h.LXDCommand(append([]string{"launch", "dhcp", name, "-q"}, args...)...)
	return h.RunningLXD(name, projectOf(args)...)
}

// projectOf returns the arguments by which lxc is told the project, if there are any among args.
func projectOf(args []string) []string {
	for i, arg := range args[:max(len(args)-1, 0)] {
		if arg == "--project" {
			return args[i : i+2]
		}
	}
	return nil
}

// TryLXD runs lxc, LXD's client, on the host, and returns what came of it.
func (h *Host) TryLXD(args ...string) Result {
	h.lab.tb.Helper()
	return h.Try(h.lxd(append([]string{"lxc"}, args...)...)...)
}

// RestartLXD starts an LXD that does not run, on the data that it has.
func (h *Host) RestartLXD() *Process {
	h.lab.tb.Helper()
	p := h.Start(h.lxd("lxd", "--group", "root")...)
	h.Within(30*time.Second, "LXD is ready", func() bool {
		return h.Try(h.lxd("lxd", "waitready", "--timeout", "5")...).Code == 0
	}, p.Err.String)
	return p
}

// lxd is a command line with LXD's environment.
func (h *Host) lxd(args ...string) []string {
	return append([]string{"env", "LXD_DIR=" + lxdDir}, args...)
}

// LXDCommand runs lxc, LXD's client, on the host. It has to succeed.
func (h *Host) LXDCommand(args ...string) string {
	h.lab.tb.Helper()
	return h.Output(h.lxd(append([]string{"lxc"}, args...)...)...)
}

// LXD makes and starts an instance whose interface lxc-hook makes, by the lines of docs/operations.md.
func (h *Host) LXD(name, hookArgs string) *Container {
	h.lab.tb.Helper()
	hook := strings.TrimSpace(filepath.Join(h.lab.bin, "lxc-hook") + " " + hookArgs)
	lines := "lxc.hook.start-host = " + hook + "\nlxc.hook.post-stop = " + hook + "\nlxc.init.cmd = /bin/sleep 100000\n"
	if isFile("/sys/module/apparmor/parameters/enabled") {
		lines += "lxc.apparmor.profile = unconfined\n"
	}
	h.LXDCommand("init", "busybox", name, "-q")
	if r := h.TryInput(lines, h.lxd("lxc", "config", "set", name, "raw.lxc", "-")...); r.Code != 0 {
		h.lab.tb.Fatalf("%s: lxc config set %s raw.lxc: exit %d: %s", h.Name, name, r.Code, r.Stderr)
	}
	h.LXDCommand("start", name, "-q")
	return h.RunningLXD(name)
}

// RunningLXD returns the instance of that name, which runs. project are lxc's arguments for the project.
func (h *Host) RunningLXD(name string, project ...string) *Container {
	h.lab.tb.Helper()
	pid := ""
	for line := range strings.Lines(h.LXDCommand(append([]string{"info", name}, project...)...)) {
		if _, after, ok := strings.Cut(line, "PID:"); ok {
			pid = strings.TrimSpace(after)
		}
	}
	if pid == "" || pid == "0" {
		h.lab.tb.Fatalf("%s: instance %s does not run", h.Name, name)
	}
	return &Container{Name: name, Host: h, NetNS: "/proc/" + pid + "/ns/net", enter: h.lxd(append(append([]string{"lxc", "exec", name}, project...), "--")...)}
}
