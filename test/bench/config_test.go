package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What each peer is told: where the other is, who it is, and the MTU of the condition.
func TestConfigs(t *testing.T) {
	key := func(fill byte) *ecdh.PrivateKey {
		k, err := ecdh.X25519().NewPrivateKey(slices.Repeat([]byte{fill}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	one, two := key(1), key(2)
	for _, c := range []struct {
		name, got string
		want      []string
	}{
		{"wireguard", wireguardConfig(one, two.PublicKey(), netip.MustParseAddrPort("192.0.2.2:51820"), subnet(1)), []string{
			"set=1\nprivate_key=" + strings.Repeat("01", 32) + "\n", "\npublic_key=" + hex.EncodeToString(two.PublicKey().Bytes()) + "\n",
			"\nendpoint=192.0.2.2:51820\n", "\nallowed_ip=10.77.2.0/24\n\n"}},
		{"nebula", nebulaConfig(0, 1400), []string{`"10.78.0.2": ["192.0.2.2:4242"]`, "ca: /run/nebula/ca.crt", "mtu: 1400", "- route: 10.77.2.0/24", "via: 10.78.0.2"}},
		{"fastd a", fastdConfig(0, "5ec", "a11", 8900), []string{"bind 192.0.2.1:10000;", "secret \"5ec\";", "mtu 8900;", "{ key \"a11\"; }"}},
		{"fastd b", fastdConfig(1, "5ec", "a11", 8900), []string{"bind 192.0.2.2:10000;", "{ remote 192.0.2.1:10000; key \"a11\"; }"}},
		{"tinc", tincConfig("a", "b"), []string{"Name = a\n", "ConnectTo = b\n", "Mode = switch\n", "Interface = tinc0\n"}},
		{"openvpn a", openvpnConfig(0, "AA:BB", 1500), []string{"local 192.0.2.1\n", "remote 192.0.2.2\n", "tls-server\n", "peer-fingerprint AA:BB\n", "tun-mtu 1500\n"}},
		{"openvpn b", openvpnConfig(1, "AA:BB", 1500), []string{"local 192.0.2.2\n", "remote 192.0.2.1\n", "tls-client\n"}},
		{"n2n", strings.Join(n2nArgs(1, 1400), " "), []string{"-a 10.78.0.2 ", "-l 192.0.2.1:7654 ", "-M 1400 "}},
		{"peervpn", peervpnConfig(0), []string{"local 192.0.2.1\n", "initpeers 192.0.2.2 7000\n", "interface peervpn0\n"}},
		{"loss", lossRules(0.1), []string{"numgen random mod 100000 < 100 drop"}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.got, want) {
				t.Errorf("%s lacks %q:\n%s", c.name, want, c.got)
			}
		}
	}
}

func TestTincHostHasAKeyThatTincReads(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	address, rest, _ := strings.Cut(tincHost(underlay[0], &key.PublicKey), "\n")
	if address != "Address = 192.0.2.1" {
		t.Errorf("first line = %q", address)
	}
	block, _ := pem.Decode([]byte(rest))
	if block == nil || block.Type != "RSA PUBLIC KEY" {
		t.Fatalf("no RSA PUBLIC KEY in %q", rest)
	}
	if public, err := x509.ParsePKCS1PublicKey(block.Bytes); err != nil || !public.Equal(&key.PublicKey) {
		t.Errorf("the key is not the host's: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	cert, _, err := selfSigned("a")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert)
	got := fingerprint(cert)
	if want := strings.ToUpper(hex.EncodeToString(sum[:])); strings.ReplaceAll(got, ":", "") != want || strings.Count(got, ":") != 31 {
		t.Errorf("fingerprint = %s, want %s with colons", got, want)
	}
}

func TestConfigureWireguard(t *testing.T) {
	for _, c := range []struct{ name, answer, err string }{
		{"done", "errno=0\n\n", ""},
		{"refused", "errno=-22\n\n", "errno=-22"},
		{"hung up", "", "EOF"},
	} {
		conn := &pipe{in: strings.NewReader(c.answer)}
		checkError(t, c.name, configureWireguard(conn, "set=1\n\n"), c.err)
		if conn.out.String() != "set=1\n\n" {
			t.Errorf("%s: sent %q", c.name, conn.out.String())
		}
	}
}

// pipe is a connection that has its answer ready.
type pipe struct {
	in  *strings.Reader
	out strings.Builder
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.Write(b) }
