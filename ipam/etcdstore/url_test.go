package etcdstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		name, text string
		want       Address
	}{
		{"one host", "etcd://etcd.example.net", Address{Endpoints: []string{"etcd.example.net:2379"}}},
		{"three hosts", "etcd://10.0.0.1:2379,10.0.0.2:2389,c", Address{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2389", "c:2379"}}},
		{"IPv6", "etcd://[2001:db8::1],[2001:db8::2]:79/", Address{Endpoints: []string{"[2001:db8::1]:2379", "[2001:db8::2]:79"}}},
		{"TLS with the system's CAs", "etcds://a", Address{Endpoints: []string{"a:2379"}, TLS: true}},
		{"own CA", "etcd://a?cacert=/etc/ca.pem", Address{Endpoints: []string{"a:2379"}, TLS: true, CA: "/etc/ca.pem"}},
		{"client certificate", "etcd://a?cacert=/ca&cert=/c%26%20d&key=/k",
			Address{Endpoints: []string{"a:2379"}, TLS: true, CA: "/ca", Cert: "/c& d", Key: "/k"}},
		{"user and password", "etcd://me:p%40ss%2Fw%25@a", Address{Endpoints: []string{"a:2379"}, User: "me", Password: "p@ss/w%"}},
		{"@ in the password", "etcd://me:p@ss@a", Address{Endpoints: []string{"a:2379"}, User: "me", Password: "p@ss"}},
		{"password in a file", "etcd://me@a?password-file=/p", Address{Endpoints: []string{"a:2379"}, User: "me", PasswordFile: "/p"}},
		{"prefix", "etcd://a?prefix=/x/y/", Address{Endpoints: []string{"a:2379"}, Prefix: "/x/y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want.Prefix == "" {
				tt.want.Prefix = "/meshnet"
			}
			got, err := ParseURL(tt.text)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseURL(%s) = %#v, %v, want %#v", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"another scheme", "http://a", "begins with etcd://"},
		{"no scheme", "a:2379", "begins with etcd://"},
		{"no host", "etcd://", `the endpoint "" is not host:port`},
		{"empty host in a list", "etcd://a,,b", `the endpoint "" is not host:port`},
		{"same host twice", "etcd://a,a:2379", "a:2379 is given twice"},
		{"port 0", "etcd://a:0", "port between 1 and 65535"},
		{"port too large", "etcd://a:65536", "port between 1 and 65535"},
		{"empty port", "etcd://a:", "port between 1 and 65535"},
		{"IPv6 without brackets", "etcd://2001:db8::1", "an IPv6 address needs brackets"},
		{"IPv4 in brackets", "etcd://[10.0.0.1]", "no IPv6 address between its brackets"},
		{"bracket left open", "etcd://[::1", "no IPv6 address"},
		{"a path", "etcd://a/x", `?prefix=/`},
		{"space", "etcd://a b", "is not host:port"},
		{"unknown option", "etcd://a?ca=/x", `the option "ca" is unknown`},
		{"option twice", "etcd://a?prefix=/x&prefix=/y", "the option prefix is empty, given twice"},
		{"empty option", "etcd://a?cacert=", "the option cacert is empty"},
		{"bad escape", "etcd://a?prefix=%zz", "the option prefix is empty, given twice or not percent-encoded"},
		{"certificate without key", "etcd://a?cert=/c", "cert and key are given together"},
		{"relative file", "etcd://a?cacert=ca.pem", "not an absolute path"},
		{"relative prefix", "etcd://a?prefix=x", `the prefix "x"`},
		{"slash as prefix", "etcd://a?prefix=/", "the prefix"},
		{"no password", "etcd://me@a", `the user "me" has no password`},
		{"no user", "etcd://:secret@a", "the user name before @ is empty"},
		{"password file without user", "etcd://a?password-file=/p", "password-file is given without a user name"},
		{"two passwords", "etcd://me:secret@a?password-file=/p", "both before @ and as password-file"},
		{"password badly encoded", "etcd://me:secret%zz@a", "the password before @ is not percent-encoded"},
		{"too many hosts", "etcd://" + manyHosts(33), "33 endpoints are given, at most 32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseURL(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("ParseURL(%s) error = %v, want one with %q and without the password", tt.text, err, tt.want)
			}
		})
	}
}

func manyHosts(n int) string {
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d", i)
	}
	return strings.Join(hosts, ",")
}

func TestAddressHidesThePassword(t *testing.T) {
	a, err := ParseURL("etcds://me:verysecret@a,b?cacert=/x&prefix=/y")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.String(), "etcds://me:xxxxx@a:2379,b:2379?cacert=/x&prefix=/y"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "etcd", a, "config", Config{Address: a})
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "etcd", a, "config", Config{Address: a})
	fmt.Fprintf(&log, "%v %+v %#v %v %+v %#v", a, a, a, Config{Address: a}, Config{Address: a}, Config{Address: a})
	if strings.Contains(log.String(), "verysecret") {
		t.Errorf("the password is printed: %s", &log)
	}
}

// FuzzParseURL holds: what ParseURL accepts, String writes in a form that ParseURL takes for the same, but for the password.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"etcd://a", "etcds://me:p%40@a:1,[::1]:2?cacert=/x&cert=/c&key=/k&prefix=/p%26", "etcd://me@a?password-file=/p", "etcd://", "etcd://a?%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseURL(text)
		if err != nil {
			return
		}
		again, err := ParseURL(a.String())
		if a.Password != "" {
			a.Password = hidden
		}
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("ParseURL(%q) = %#v, %v, want %#v", a.String(), again, err, a)
		}
	})
}
