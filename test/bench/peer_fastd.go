package main

import (
	"fmt"
	"strings"
)

// fastdPeer is fastd, in C.
func fastdPeer(w *workshop) peer {
	p := peer{Name: "fastd", Layer: 2, Text: "salsa2012+umac, its fastest"}
	program, err := w.debian("fastd", "fastd")
	p.Version, p.Err = packageVersion("fastd"), err
	p.connect = func(s *site) { connectFastd(s, program) }
	return p
}

func connectFastd(s *site, program string) {
	var secrets, public [2]string
	for i, h := range s.hosts {
		secrets[i] = strings.TrimSpace(h.Output(program, "--generate-key", "--machine-readable"))
		h.Write("/run/fastd.conf", fmt.Sprintf("secret %q;\n", secrets[i]))
		public[i] = strings.TrimSpace(h.Output(program, "--config", "/run/fastd.conf", "--show-key", "--machine-readable"))
	}
	for i, h := range s.hosts {
		h.Write("/run/fastd.conf", fastdConfig(i, secrets[i], public[1-i], s.cond.MTU))
		s.awaitLink(i, s.daemon(i, program, "--config", "/run/fastd.conf"), "fd0")
	}
	s.bridged("fd0")
}

// fastdConfig returns the configuration of a host. Only b knows where the other is: if both begin at the same moment and
// the path has a delay, each settles on another session, and nothing passes for a minute.
func fastdConfig(host int, secret, other string, mtu int) string {
	remote := [2]string{"", fmt.Sprintf("remote %v:10000; ", underlay[0])}[host]
	return fmt.Sprintf(`interface "fd0";
mode tap;
method "salsa2012+umac";
bind %v:10000;
secret "%s";
mtu %d;
peer "other" { %skey "%s"; }
`, underlay[host], secret, mtu, remote, other)
}
