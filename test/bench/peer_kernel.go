package main

import (
	"os"
	"strconv"
	"strings"
)

// vethPeer is the limit of what can be measured here: the cable is a port of the bridge.
func vethPeer() peer {
	return peer{Name: "veth", Version: kernelVersion(), Layer: 2, Text: "no tunnel, no encryption: the bare cable", connect: func(s *site) {
		for i, h := range s.hosts {
			h.Output("ip", "addr", "del", underlay[i].String()+"/24", "dev", "eth0")
		}
		s.bridged("eth0")
	}}
}

// vxlanOverhead is what VXLAN adds to a packet of the container: Ethernet, VXLAN, UDP and IPv4 headers (RFC 7348).
const vxlanOverhead = 14 + 8 + 8 + 20

// vxlanPeer is a tunnel in the kernel, without encryption. It cannot fragment, so it gets a cable that is wide enough.
func vxlanPeer() peer {
	return peer{Name: "vxlan", Version: kernelVersion(), Layer: 2, Text: "no encryption: the kernel's VXLAN; on a wider cable where it does not fit", connect: func(s *site) {
		for i, h := range s.hosts {
			h.Output("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789",
				"local", underlay[i].String(), "remote", underlay[1-i].String())
			h.Output("ip", "link", "set", "eth0", "mtu", strconv.Itoa(max(s.cond.UnderlayMTU, s.cond.MTU+vxlanOverhead)))
		}
		s.bridged("vx0")
	}}
}

func kernelVersion() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return "Linux " + strings.TrimSpace(string(release))
}
