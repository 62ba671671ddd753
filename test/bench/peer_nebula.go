package main

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
)

// nebulaVersions are tried from the newest: which builds depends on the Go at hand.
var nebulaVersions = []string{"latest", "v1.12.0", "v1.11.2", "v1.10.3", "v1.9.5"}

// nebulaPeer is Nebula as it was released.
func nebulaPeer(w *workshop) peer {
	dir, _, err := w.module("github.com/slackhq/nebula", []string{"/cmd/nebula", "/cmd/nebula-cert"}, nebulaVersions...)
	if err != nil {
		return peer{Name: "nebula", Layer: 3, Err: err}
	}
	return nebulaOf("nebula", filepath.Join(dir, "nebula"), filepath.Join(dir, "nebula-cert"))
}

// nebulaBinary is a Nebula that was built elsewhere. If there is no nebula-cert beside it, the release's has to do.
func nebulaBinary(w *workshop, name, program string) peer {
	cert := filepath.Join(filepath.Dir(program), "nebula-cert")
	if _, err := exec.LookPath(cert); err != nil {
		dir, _, err := w.module("github.com/slackhq/nebula", []string{"/cmd/nebula", "/cmd/nebula-cert"}, nebulaVersions...)
		if err != nil {
			return peer{Name: name, Layer: 3, Err: err}
		}
		cert = filepath.Join(dir, "nebula-cert")
	}
	return nebulaOf(name, program, cert)
}

func nebulaOf(name, program, cert string) peer {
	p := peer{Name: name, Layer: 3, Text: "AES-256-GCM, one routine, no lighthouse", Version: buildVersion(program, "of unknown version")}
	p.connect = func(s *site) { connectNebula(s, program, cert) }
	return p
}

// nebulaOverhead is IPv4 and UDP, Nebula's header, and the tag of AES-GCM. Its default, 1300 on any underlay, leaves more.
const nebulaOverhead = 20 + 8 + 16 + 16

// nebulaDir is where each host has its certificates and configuration.
const nebulaDir = "/run/nebula"

func connectNebula(s *site, program, cert string) {
	a := s.hosts[0]
	a.Output("mkdir", "-p", nebulaDir)
	a.Output(cert, "ca", "-name", "bench", "-out-crt", nebulaDir+"/ca.crt", "-out-key", nebulaDir+"/ca.key")
	for i, h := range s.hosts {
		own := fmt.Sprintf("%s/%s", nebulaDir, h.Name)
		a.Output(cert, "sign", "-ca-crt", nebulaDir+"/ca.crt", "-ca-key", nebulaDir+"/ca.key", "-name", h.Name,
			"-ip", tunnel[i].String()+"/24", "-subnets", subnet(i).String(), "-out-crt", own+".crt", "-out-key", own+".key")
		for from, to := range map[string]string{nebulaDir + "/ca.crt": "ca.crt", own + ".crt": "host.crt", own + ".key": "host.key"} {
			h.Write(nebulaDir+"/"+to, a.Output("cat", from)+"\n")
		}
		h.Write(nebulaDir+"/config.yml", nebulaConfig(i, s.tunnelMTU(nebulaOverhead)))
	}
	for i := range s.hosts {
		s.awaitLink(i, s.daemon(i, program, "-config", nebulaDir+"/config.yml"), "nebula1")
	}
	s.routed("nebula1", s.tunnelMTU(nebulaOverhead), [2]netip.Addr{})
}

// nebulaConfig returns the config.yml of a host.
func nebulaConfig(host, mtu int) string {
	return strings.NewReplacer("OTHER", tunnel[1-host].String(), "ENDPOINT", underlay[1-host].String(), "SUBNET", subnet(1-host).String(),
		"MTU", fmt.Sprint(mtu), "DIR", nebulaDir).Replace(`pki:
  ca: DIR/ca.crt
  cert: DIR/host.crt
  key: DIR/host.key
static_host_map:
  "OTHER": ["ENDPOINT:4242"]
lighthouse:
  am_lighthouse: false
listen:
  host: 0.0.0.0
  port: 4242
tun:
  dev: nebula1
  mtu: MTU
  unsafe_routes:
    - route: SUBNET
      via: OTHER
      mtu: MTU
firewall:
  default_local_cidr_any: true
  outbound:
    - {port: any, proto: any, host: any}
  inbound:
    - {port: any, proto: any, host: any}
logging:
  level: warning
`)
}
