package lab

import "time"

// StartDocker starts the real dockerd of Debian, without a bridge or packet filter of its own, and gives it Image.
func (h *Host) StartDocker() *Process {
	h.lab.tb.Helper()
	h.makeImage()
	p := h.Start("dockerd", "--bridge", "none", "--iptables=false", "--storage-driver", "vfs", "--cgroup-parent", h.cgroup(),
		"--exec-opt", "native.cgroupdriver=cgroupfs")
	h.Within(30*time.Second, "dockerd answers", func() bool { return h.Try("docker", "version").Code == 0 }, p.Err.String)
	h.Output("docker", "load", "-q", "-i", imageFile)
	return p
}

// Docker runs a container by `docker run`, with these arguments before the image.
func (h *Host) Docker(name string, args ...string) *Container {
	h.lab.tb.Helper()
	h.Output(append(append([]string{"docker", "run", "-d", "--name", name}, args...), Image)...)
	return h.RunningDocker(name)
}

// RunningDocker returns the container of that name, which runs.
func (h *Host) RunningDocker(name string) *Container {
	h.lab.tb.Helper()
	pid := h.Output("docker", "inspect", "-f", "{{.State.Pid}}", name)
	return &Container{Name: name, Host: h, NetNS: "/proc/" + pid + "/ns/net", enter: []string{"docker", "exec", name}}
}
