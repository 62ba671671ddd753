package main

import "fmt"

// peervpnPeer is a PeerVPN that was built elsewhere: Debian has none.
func peervpnPeer(name, program string) peer {
	return peer{Name: name, Version: "of unknown version", Layer: 2, Text: "AES-256-CBC, HMAC-SHA256", connect: func(s *site) {
		for i, h := range s.hosts {
			h.Write("/run/peervpn.conf", peervpnConfig(i))
			s.awaitLink(i, s.daemon(i, program, "/run/peervpn.conf"), "peervpn0")
		}
		s.bridged("peervpn0")
	}}
}

// peervpnConfig returns the configuration of a host.
func peervpnConfig(host int) string {
	return fmt.Sprintf("networkname bench\npsk benchmark\nenabletunneling yes\ninterface peervpn0\nlocal %v\nport 7000\ninitpeers %v 7000\nenableprivdrop no\n",
		underlay[host], underlay[1-host])
}
