package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"time"
)

// tincPeer is Debian's tinc, in switch mode.
func tincPeer(w *workshop) peer {
	p := peer{Name: "tinc", Layer: 2, Text: "its defaults: AES-256-CBC, SHA-256"}
	program, err := w.debian("tincd", "tinc")
	p.Version, p.Err = packageVersion("tinc"), err
	p.connect = func(s *site) { connectTinc(s, program) }
	return p
}

// tincDir is tinc's configuration on each host. tincProbing is how long it searches for the path's MTU; before that it
// sends large packets over TCP.
const (
	tincDir     = "/run/tinc"
	tincProbing = 4 * time.Second
)

func connectTinc(s *site, program string) {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		s.must(err)
		keys[i] = key
	}
	for i, h := range s.hosts {
		h.Write(tincDir+"/rsa_key.priv", pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(keys[i])))
		h.Write(tincDir+"/tinc.conf", tincConfig(h.Name, s.hosts[1-i].Name))
		for j, other := range s.hosts {
			h.Write(tincDir+"/hosts/"+other.Name, tincHost(underlay[j], &keys[j].PublicKey))
		}
	}
	for i := range s.hosts {
		s.awaitLink(i, s.daemon(i, program, "-c", tincDir, "-D", "--pidfile=/run/tinc.pid"), "tinc0")
	}
	s.bridged("tinc0")
	s.joined()
	select {
	case <-time.After(tincProbing):
	case <-s.ctx.Done():
	}
}

// tincConfig returns the tinc.conf of a host.
func tincConfig(name, other string) string {
	return fmt.Sprintf("Name = %s\nConnectTo = %s\nAddressFamily = ipv4\nMode = switch\nDeviceType = tap\nInterface = tinc0\n", name, other)
}

// tincHost returns what hosts/NAME says of a host.
func tincHost(addr netip.Addr, key *rsa.PublicKey) string {
	return fmt.Sprintf("Address = %v\n%s", addr, pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key)))
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
