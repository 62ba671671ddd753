package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// meshnetPeer measures the programs in bin.
func meshnetPeer(name, bin string) peer {
	p := peer{Name: name, Layer: 2, bin: bin, Text: "as it is out of the box", connect: connectMeshnet}
	out, err := exec.Command(filepath.Join(bin, "meshd"), "--version").Output()
	p.Version, p.Err = strings.TrimPrefix(strings.TrimSpace(string(out)), "meshd "), err
	return p
}

func connectMeshnet(s *site) {
	for i, h := range s.hosts {
		p := s.daemon(i, "meshd", "--name", h.Name)
		h.Until("meshd serves its API", func() bool {
			if p.Ended(0) {
				s.tb.Fatalf("meshd ended with exit %d", p.Code())
			}
			return h.Try("meshctl", "status").Code == 0
		}, nil)
	}
	token := s.hosts[0].Output("meshctl", "network", "create", "bench", "--mtu", strconv.Itoa(s.cond.MTU))
	s.hosts[1].Output("meshctl", "network", "join", strings.TrimSpace(token))
	for i, h := range s.hosts {
		h.Within(15*time.Second, "an IPv4 address for the container", func() bool {
			return h.Try("meshctl", "attach", "--netns", s.boxes[i].NetNS, "--container", "c").Code == 0
		}, nil)
		s.addrs[i] = s.boxes[i].IPv4()
	}
}
