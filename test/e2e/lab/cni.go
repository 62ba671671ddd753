package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteCNI writes a CNI configuration of that name whose only plugin is cni-meshnet; more is put into the plugin's
// object, such as `, "network": "prod"`, or empty.
func (h *Host) WriteCNI(name, version, more string) {
	h.lab.tb.Helper()
	conf := fmt.Sprintf(`{"cniVersion": %q, "name": %q, "plugins": [{"type": "cni-meshnet"%s}]}`+"\n", version, name, more)
	if err := os.WriteFile(filepath.Join(h.Dir, "cni", name+".conflist"), []byte(conf), 0o644); err != nil {
		h.lab.tb.Fatalf("%s: %v", h.Name, err)
	}
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
