package lab

import "strings"

// podmanConf is the host's /etc/containers/containers.conf, for hosts that have no systemd and share /dev/shm with the machine.
const podmanConf = `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[containers]
log_driver = "k8s-file"
`

// podmanCNI is what an operator adds: podman reads /etc/cni/net.d then.
const podmanCNI = `[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
`

// podmanStorage is the host's /etc/containers/storage.conf.
const podmanStorage = `[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`

// InstallPodman gives the host the real podman of Debian, as it comes, and Image. `podman run` in a shell of the host makes containers
// in the host's cgroup.
func (h *Host) InstallPodman() {
	h.lab.tb.Helper()
	h.makeImage()
	h.Write("/etc/containers/containers.conf", podmanConf)
	h.Write("/etc/containers/storage.conf", podmanStorage)
	h.WriteProgram("podman", inCgroup("/usr/bin/podman", "--cgroup-parent", h.cgroup()))
	h.Output("podman", "load", "-q", "-i", imageFile)
}

// PodmanCNI has podman use its CNI backend, with the host's /etc/cni/net.d and /opt/cni/bin.
func (h *Host) PodmanCNI() {
	h.lab.tb.Helper()
	h.Write("/etc/containers/containers.conf.d/cni.conf", podmanCNI)
}

// Podman runs a container by `podman run`, with these arguments before the image.
func (h *Host) Podman(name string, args ...string) *Container {
	h.lab.tb.Helper()
	run := append([]string{"podman", "run", "--cgroup-parent", h.cgroup(), "-d", "--name", name}, args...)
	h.Output(append(run, Image)...)
	return h.RunningPodman(name)
}

// RunningPodman returns the container of that name, which runs. It is entered by its network namespace: podman lets nobody ping.
func (h *Host) RunningPodman(name string) *Container {
	h.lab.tb.Helper()
	netns := strings.TrimPrefix(h.Output("podman", "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", name), "/var")
	return &Container{Name: name, Host: h, NetNS: netns, enter: []string{"nsenter", "--net=" + netns}}
}
