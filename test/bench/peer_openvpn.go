package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// openvpnPeer is OpenVPN between two hosts. Its kernel module carries no TAP, and is not here either.
func openvpnPeer(w *workshop) peer {
	p := peer{Name: "openvpn", Layer: 2, Text: "AES-256-GCM, UDP, TAP"}
	program, err := w.debian("openvpn", "openvpn")
	p.Version, p.Err = packageVersion("openvpn"), err
	p.connect = func(s *site) { connectOpenVPN(s, program) }
	return p
}

const openvpnDir = "/run/openvpn"

func connectOpenVPN(s *site, program string) {
	var prints [2]string
	for i, h := range s.hosts {
		cert, key, err := selfSigned(h.Name)
		s.must(err)
		prints[i] = fingerprint(cert)
		h.Write(openvpnDir+"/cert.pem", pemText("CERTIFICATE", cert))
		h.Write(openvpnDir+"/key.pem", pemText("PRIVATE KEY", key))
	}
	for i, h := range s.hosts {
		h.Write(openvpnDir+"/bench.conf", openvpnConfig(i, prints[1-i], s.cond.MTU))
		s.awaitLink(i, s.daemon(i, program, "--config", openvpnDir+"/bench.conf"), "tap0")
	}
	s.bridged("tap0")
}

// openvpnConfig returns the configuration of a host: a is the server of the TLS handshake.
func openvpnConfig(host int, other string, mtu int) string {
	role := [2]string{"tls-server", "tls-client"}[host]
	return strings.NewReplacer("ROLE", role, "LOCAL", underlay[host].String(), "REMOTE", underlay[1-host].String(),
		"DIR", openvpnDir, "PRINT", other, "MTU", fmt.Sprint(mtu)).Replace(`dev tap0
dev-type tap
proto udp
local LOCAL
remote REMOTE
port 1194
ROLE
dh none
cert DIR/cert.pem
key DIR/key.pem
peer-fingerprint PRINT
data-ciphers AES-256-GCM
tun-mtu MTU
keepalive 10 60
verb 2
`)
}

// selfSigned makes a certificate and its key, in DER.
func selfSigned(name string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(48 * time.Hour),
	}
	cert, err = x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return cert, key, err
}

// fingerprint returns a certificate's as OpenVPN writes it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}
