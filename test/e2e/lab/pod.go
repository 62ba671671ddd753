package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is a pod sandbox of a Containerd. As a Container, it is entered by its network namespace.
type Pod struct {
	*Container
	ID         string
	IPs        []netip.Addr // as CRI tells them to the kubelet, in ascending order
	containerd *Containerd
	config     *cri.PodSandboxConfig
}

// Pod runs a pod sandbox, as the kubelet does.
func (c *Containerd) Pod(name string) *Pod {
	c.Host.lab.tb.Helper()
	p, err := c.TryPod(name)
	if err != nil {
		c.Host.lab.tb.Fatalf("%s: RunPodSandbox %s: %v", c.Host.Name, name, err)
	}
	return p
}

// TryPod is Pod where failure is an answer.
func (c *Containerd) TryPod(name string) (*Pod, error) {
	h := c.Host
	h.lab.tb.Helper()
	p := &Pod{containerd: c, config: &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-uid"},
		Hostname:     name,
		LogDirectory: "/run/pods/" + name,
		DnsConfig:    &cri.DNSConfig{},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: h.cgroup(), SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_POD, Pid: cri.NamespaceMode_CONTAINER},
		}},
	}}
	run, err := c.CRI.RunPodSandbox(h.context(), &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		return nil, err
	}
	p.ID = run.PodSandboxId
	status, err := c.CRI.PodSandboxStatus(h.context(), &cri.PodSandboxStatusRequest{PodSandboxId: p.ID, Verbose: true})
	if err != nil {
		return nil, err
	}
	netns, err := netnsOf(status)
	if err != nil {
		return nil, err
	}
	p.Container = &Container{Name: p.ID, Host: h, NetNS: netns, enter: []string{"nsenter", "--net=" + netns}}
	p.IPs, err = addrsOf(status.Status.Network)
	return p, err
}

// netnsOf finds the network namespace's path in what containerd tells those who want to know it all.
func netnsOf(status *cri.PodSandboxStatusResponse) (string, error) {
	var info struct {
		RuntimeSpec struct {
			Linux struct{ Namespaces []struct{ Type, Path string } }
		}
	}
	if err := json.Unmarshal([]byte(status.Info["info"]), &info); err != nil {
		return "", fmt.Errorf("info of the sandbox: %w", err)
	}
	for _, ns := range info.RuntimeSpec.Linux.Namespaces {
		if ns.Type == "network" {
			return strings.TrimPrefix(ns.Path, "/var"), nil // /var/run is a link to /run
		}
	}
	return "", fmt.Errorf("no network namespace in the sandbox's info: %s", status.Info["info"])
}

func addrsOf(n *cri.PodSandboxNetworkStatus) ([]netip.Addr, error) {
	texts := []string{n.GetIp()}
	for _, ip := range n.GetAdditionalIps() {
		texts = append(texts, ip.Ip)
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("address in the sandbox's status: %w", err)
		}
		addrs = append(addrs, addr)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, nil
}

// StartContainer starts a container in the pod, and returns its ID.
func (p *Pod) StartContainer() string {
	tb, ctx := p.Host.lab.tb, p.Host.context()
	tb.Helper()
	namespaces := &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}
	made, err := p.containerd.CRI.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.ID, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: Image}, LogPath: "main.log",
			Command: []string{"/bin/sleep", "100000"}, Linux: &cri.LinuxContainerConfig{SecurityContext: namespaces},
		},
	})
	if err == nil {
		_, err = p.containerd.CRI.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: made.ContainerId})
	}
	if err != nil {
		tb.Fatalf("%s: starting a container in pod %s: %v", p.Host.Name, p.config.Metadata.Name, err)
	}
	return made.ContainerId
}

// Exec runs a command in a container of the pod, as `kubectl exec` does.
func (p *Pod) Exec(container string, args ...string) (Result, error) {
	r, err := p.containerd.CRI.ExecSync(p.Host.context(), &cri.ExecSyncRequest{ContainerId: container, Cmd: args, Timeout: 10})
	if err != nil {
		return Result{}, err
	}
	return Result{Stdout: string(r.Stdout), Stderr: string(r.Stderr), Code: int(r.ExitCode)}, nil
}

// Stop and Remove are the kubelet's two steps: the plugin is called for DEL in both, in the second without a network namespace.
func (p *Pod) Stop() error {
	_, err := p.containerd.CRI.StopPodSandbox(p.containerd.Host.context(), &cri.StopPodSandboxRequest{PodSandboxId: p.ID})
	return err
}

// Remove is the second step; see Stop.
func (p *Pod) Remove() error {
	_, err := p.containerd.CRI.RemovePodSandbox(p.containerd.Host.context(), &cri.RemovePodSandboxRequest{PodSandboxId: p.ID})
	return err
}

// End stops and removes the pod, which has to work.
func (p *Pod) End() {
	h := p.containerd.Host
	h.lab.tb.Helper()
	if err := p.Stop(); err != nil {
		h.lab.tb.Fatalf("%s: stopping pod %s: %v", h.Name, p.ID, err)
	}
	if err := p.Remove(); err != nil {
		h.lab.tb.Fatalf("%s: removing pod %s: %v", h.Name, p.ID, err)
	}
}

// NetworkReady is what the kubelet sees in CRI's Status of the network, and the message that goes with it.
func (c *Containerd) NetworkReady() (ready bool, message string) {
	c.Host.lab.tb.Helper()
	s, err := c.CRI.Status(c.Host.context(), &cri.StatusRequest{})
	if err != nil {
		c.Host.lab.tb.Fatalf("%s: CRI's status: %v", c.Host.Name, err)
	}
	for _, condition := range s.Status.Conditions {
		if condition.Type == cri.NetworkReady {
			return condition.Status, condition.Message
		}
	}
	c.Host.lab.tb.Fatalf("%s: CRI's status has no %s: %v", c.Host.Name, cri.NetworkReady, s.Status)
	return false, ""
}

// cgroup is the one that the host's containers are put under.
func (h *Host) cgroup() string { return "/" + h.lab.cgroup + "/" + h.Name }

// context limits one call of a runtime.
func (h *Host) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	h.lab.tb.Cleanup(cancel)
	return ctx
}

// Of returns a pod that another start of containerd has made; all that has to be known of it is the ID.
func (c *Containerd) Of(p *Pod) *Pod {
	return &Pod{Container: p.Container, ID: p.ID, IPs: p.IPs, containerd: c, config: p.config}
}
