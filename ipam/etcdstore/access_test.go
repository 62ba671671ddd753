package etcdstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"meshnet/ipam/registry"
)

// authority is a CA whose files end with the test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.make(t, "ca", nil)
	return a
}

// path returns the path of a file of the authority: ca.pem, name.pem, name.key.
func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

// issue makes name.pem and name.key, good for 127.0.0.1.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	a.make(t, name, a.cert)
}

func (a *authority) make(t *testing.T, name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	signer := a.key
	if parent == nil {
		template.IsCA, template.KeyUsage, parent, signer = true, x509.KeyUsageCertSign, template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	a.write(t, name+".key", "EC PRIVATE KEY", private)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(a.path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	ca.issue(t, "server")
	ca.issue(t, "node")
	other.issue(t, "node")
	secure := startEtcd(t, 1, "https", "--cert-file", ca.path("server.pem"), "--key-file", ca.path("server.key"),
		"--trusted-ca-file", ca.path("ca.pem"), "--client-cert-auth")
	plain := startEtcd(t, 1, "http")
	certificate := func(a *authority) string { return "&cert=" + a.path("node.pem") + "&key=" + a.path("node.key") }

	good := open(t, Config{
		Address: address(t, secure, "?cacert="+ca.path("ca.pem")+certificate(ca)), Self: nodeID(1),
		Init: initCommand("10.77.0.0/16"), Timeout: patience,
	})
	claim(t, good, admit(t, good))

	at := func(scheme string, m []*member, options string) Address {
		return parse(t, scheme+"://"+m[0].endpoint+options)
	}
	trust := "?cacert=" + ca.path("ca.pem")
	tests := []struct {
		name string
		at   Address
		want []string
	}{
		{"another CA", at("etcd", secure, "?cacert="+other.path("ca.pem")+certificate(ca)),
			[]string{"etcd at 127.0.0.1:", "has a certificate that is not to be trusted: certificate signed by unknown authority"}},
		{"the system's CAs", at("etcds", secure, ""), []string{"is not to be trusted"}},
		{"no client certificate", at("etcd", secure, trust), []string{"refuses the client certificate, or wants one (cert and key)"}},
		{"client certificate of another CA", at("etcd", secure, trust+certificate(other)), []string{"refuses the client certificate, or wants one"}},
		{"TLS to a member without", at("etcd", plain, trust), []string{"breaks off the TLS handshake", "use etcd:// without"}},
		{"no TLS to a member with", at("etcd", secure, ""), []string{"cannot be reached, or wants TLS (etcds:// or cacert)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refuses(t, open(t, Config{Address: tt.at, Self: nodeID(2), Timeout: time.Second}), tt.want...)
		})
	}
}

func TestFilesAreRead(t *testing.T) {
	ca := newAuthority(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, want string }{
		{"no CA", "etcd://a?cacert=/nowhere/ca.pem", "reading etcd's CA: open /nowhere/ca.pem: no such file"},
		{"not a CA", "etcd://a?cacert=" + ca.path("ca.key"), "holds no certificate in PEM form"},
		{"no key", "etcd://a?cert=" + ca.path("ca.pem") + "&key=/nowhere/key", "reading the client certificate for etcd: open /nowhere/key"},
		{"not a key", "etcd://a?cert=" + ca.path("ca.pem") + "&key=" + ca.path("ca.pem"), "reading the client certificate for etcd: tls: "},
		{"no password", "etcd://me@a?password-file=/nowhere/p", "reading etcd's password: open /nowhere/p"},
		{"empty password", "etcd://me@a?password-file=" + empty, "is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(Config{Address: parse(t, tt.text)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	members := startEtcd(t, 1, "http")
	enableAuth(t, client(t, members[0]))
	with := func(user string) Address { return parse(t, "etcd://"+user+"@"+members[0].endpoint) }
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("verysecret\r\nrest"), 0o600); err != nil {
		t.Fatal(err)
	}

	good := open(t, Config{Address: with("meshnet:verysecret"), Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	claim(t, good, admit(t, good))
	fromFile := open(t, Config{
		Address: parse(t, "etcd://meshnet@"+members[0].endpoint+"?password-file="+file), Self: nodeID(2), Timeout: patience,
	})
	claim(t, fromFile, admit(t, fromFile))
	owned(t, good, 2) // the watch has proven itself too

	for name, tt := range map[string]struct{ user, want string }{
		"wrong password": {"meshnet:wrong", "etcd refuses the user name or the password"},
		"unknown user":   {"nobody:verysecret", "etcd refuses the user name or the password"},
		"other prefix":   {"stranger:verysecret", "etcd's user may not read and write below the prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, open(t, Config{Address: with(tt.user), Self: nodeID(3), Timeout: patience}), tt.want)
		})
	}
	t.Run("none", func(t *testing.T) {
		refuses(t, open(t, Config{Address: address(t, members, ""), Self: nodeID(3), Timeout: patience}), "etcd wants a user name and a password")
	})
}

// enableAuth makes the users meshnet, with the role that the package comment names, and stranger without.
func enableAuth(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(c.UserAdd(ctx, "root", "root"))
	do(c.UserGrantRole(ctx, "root", "root"))
	do(c.RoleAdd(ctx, "meshnet"))
	end := clientv3.GetPrefixRangeEnd("/meshnet/")
	do(c.RoleGrantPermission(ctx, "meshnet", "/meshnet/", end, clientv3.PermissionType(clientv3.PermReadWrite)))
	do(c.UserAdd(ctx, "meshnet", "verysecret"))
	do(c.UserGrantRole(ctx, "meshnet", "meshnet"))
	do(c.UserAdd(ctx, "stranger", "verysecret"))
	do(c.AuthEnable(ctx))
}

// A full database refuses commits but not reads, and says what to do.
func TestQuota(t *testing.T) {
	members := startEtcd(t, 1, "http", "--quota-backend-bytes", "200000")
	s := open(t, Config{Address: address(t, members, ""), Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	as := admit(t, s)
	have := claim(t, s, as)
	operator := client(t, members[0])
	for range 1000 {
		if _, err := operator.Put(t.Context(), "ballast", strings.Repeat("x", 50_000)); err != nil {
			break
		}
	}
	as.Op, as.Have = registry.OpClaim, nil
	as.Have = append(as.Have, have)
	_, err := s.Do(t.Context(), as)
	if err == nil || !strings.Contains(err.Error(), "NOSPACE") || !strings.Contains(err.Error(), "etcdctl alarm disarm") {
		t.Errorf("Do with a full database: error = %v, want one that says NOSPACE and the way out", err)
	}
	owned(t, s, 1)

	now, err := operator.Get(t.Context(), "ballast", clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Compact(t.Context(), now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Defragment(t.Context(), "http://"+members[0].endpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	claim(t, s, as, have)
}
