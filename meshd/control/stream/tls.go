package stream

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"time"
)

// alpn names what runs inside the connections (RFC 7301): streams that begin with a protocol name.
const alpn = "meshnet/1"

// tlsConfig returns the TLS configuration of both ends, with a new certificate that identifies nobody (see the package
// comment). Ed25519 makes signing cheap and the certificate small; X25519 alone keeps the first flight in one packet,
// where the post-quantum default needs two.
func tlsConfig() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		ServerName:             "meshnet",
		InsecureSkipVerify:     true, // the session has verified the peer: see the package comment
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: true,
	}, nil
}
