package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// debianPlugins is where Debian has the plugins of the CNI project (containernetworking-plugins).
const debianPlugins = "/usr/lib/cni"

// installPlugins fills the host's /opt/cni/bin: cni-meshnet, and the CNI project's plugins, which it is chained with.
func (h *Host) installPlugins() {
	h.lab.tb.Helper()
	own, err := filepath.Glob(filepath.Join(h.lab.bin, "cni-meshnet*"))
	if err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
	others, err := filepath.Glob(filepath.Join(debianPlugins, "*"))
	if err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
	for _, plugin := range append(own, others...) {
		if err := os.Symlink(plugin, filepath.Join(h.Dir, "plugins", filepath.Base(plugin))); err != nil {
			h.lab.tb.Fatalf("%s: %v", h.Name, err)
		}
	}
}

// WriteCNI writes a CNI configuration of that name whose only plugin is cni-meshnet; more is put into the plugin's
// object, such as `, "network": "prod"`, or empty.
func (h *Host) WriteCNI(name, version, more string) {
	h.lab.tb.Helper()
	conf := fmt.Sprintf(`{"cniVersion": %q, "name": %q, "plugins": [{"type": "cni-meshnet"%s}]}`+"\n", version, name, more)
	if err := os.WriteFile(filepath.Join(h.Dir, "cni", name+".conflist"), []byte(conf), 0o644); err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
}

// Plugin runs a plugin of the host's /opt/cni/bin as a runtime does: env is CNI_COMMAND and so on, stdin the configuration.
func (h *Host) Plugin(stdin string, env ...string) Result {
	h.lab.tb.Helper()
	args := append([]string{"env", "CNI_PATH=/opt/cni/bin"}, env...)
	return h.TryInput(stdin, append(args, "/opt/cni/bin/cni-meshnet")...)
}

// CNI makes a network namespace and attaches it with the real cnitool.
func (h *Host) CNI(conf, container string) *Container {
	h.lab.tb.Helper()
	h.Output("ip", "netns", "add", container)
	if r := h.TryCNI("add", conf, container); r.Code != 0 {
		h.lab.tb.Fatalf("%s: cnitool add %s: exit %d: %s", h.Name, conf, r.Code, r.Stdout+r.Stderr)
	}
	return h.NetNS(container)
}

// TryCNI runs cnitool with a command (add, check, del, gc, status) for a network namespace of `ip netns`.
func (h *Host) TryCNI(command, conf, container string) Result {
	h.lab.tb.Helper()
	return h.Try("cnitool", command, conf, "/run/netns/"+container)
}

// NetNS returns the network namespace that `ip netns` knows by that name, as a container.
func (h *Host) NetNS(name string) *Container {
	return &Container{Name: name, Host: h, NetNS: "/run/netns/" + name, enter: []string{"ip", "netns", "exec", name}}
}
