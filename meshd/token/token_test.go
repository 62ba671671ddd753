package token

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// vector is one vector of testdata/vectors.txt, which docs/protocol.md, "Token" shows.
type vector struct {
	token Token
	bytes string // hexadecimal
	text  string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	file, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	for block := range strings.SplitSeq(strings.TrimSpace(string(file)), "\n\n") {
		vs = append(vs, parseVector(t, block))
	}
	return vs
}

func parseVector(t testing.TB, block string) (v vector) {
	t.Helper()
	for line := range strings.SplitSeq(block, "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "name":
			v.token.Name = value
		case "network ID":
			_, err = hex.Decode(v.token.NetworkID[:], []byte(value))
		case "PSK":
			_, err = hex.Decode(v.token.PSK[:], []byte(value))
		case "MTU":
			v.token.MTU, err = strconv.Atoi(value)
		case "IPv6":
			v.token.IPv6, err = netip.ParsePrefix(value)
		case "pool":
			var pool netip.Prefix
			pool, err = netip.ParsePrefix(value)
			v.token.Pools = append(v.token.Pools, pool)
		case "ipam":
			v.token.IPAM, err = ParseIPAM(value)
		case "endpoint":
			v.token.Endpoints = append(v.token.Endpoints, value)
		case "bytes":
			v.bytes += value
		case "text":
			v.text += value
		default:
			err = errors.New("unknown key")
		}
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return v
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.token.Name, func(t *testing.T) {
			if got := v.token.String(); got != v.text {
				t.Errorf("String() = %s\nwant       %s", got, v.text)
			}
			got, err := Parse(v.text)
			if err != nil || !reflect.DeepEqual(got, v.token) {
				t.Errorf("Parse(%s) = %+v, %v\nwant %+v", v.text, got, err, v.token)
			}
			if got := fmt.Sprintf("%x", v.token.append(nil)); !strings.HasPrefix(v.bytes, got) || len(v.bytes) != len(got)+2*checksumLen {
				t.Errorf("binary form = %s\nwant        %s before the checksum", got, v.bytes)
			}
		})
	}
}

// The protocol's document shows these vectors.
func TestDocumentShowsVectors(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for line := range strings.Lines(string(file)) {
		if line != "\n" {
			line = "    " + line
		}
		shown.WriteString(line)
	}
	if !strings.Contains(string(doc), shown.String()) {
		t.Errorf("docs/protocol.md does not show\n%s", shown.String())
	}
}

// "White space is ignored, wherever it is."
func TestParseSpace(t *testing.T) {
	v := vectors(t)[0]
	wrapped := " \t" + v.text[:20] + "\r\n  " + v.text[20:] + "\n\n"
	if got, err := Parse(wrapped); err != nil || !reflect.DeepEqual(got, v.token) {
		t.Errorf("Parse(%q) = %+v, %v, want the first vector", wrapped, got, err)
	}
}

// "Cut anywhere, a token is truncated": every proper prefix says so.
func TestParseTruncated(t *testing.T) {
	for _, v := range vectors(t) {
		for n := 1; n < len(v.text); n++ {
			if _, err := Parse(v.text[:n]); !errors.Is(err, ErrTruncated) {
				t.Errorf("Parse(first %d characters) error = %v, want ErrTruncated", n, err)
			}
		}
	}
}

// A changed character is never accepted, wherever it is.
func TestParseAltered(t *testing.T) {
	for _, v := range vectors(t) {
		for i := range v.text {
			for _, c := range []byte{'A', 'B', 'z', '9', '-', '*', 0, 0xff} {
				b := []byte(v.text)
				if b[i] == c {
					continue
				}
				b[i] = c
				_, err := Parse(string(b))
				if err == nil {
					t.Errorf("Parse with character %d = %q succeeds", i, c)
				}
				if i > len(prefix)+80 && !errors.Is(err, ErrAltered) && !errors.Is(err, ErrTruncated) {
					t.Errorf("Parse with character %d = %q error = %v, want ErrAltered or ErrTruncated", i, c, err)
				}
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	good := vectors(t)[0].token
	text := good.String()
	body := good.append(nil)
	with := func(change func(*Token)) string {
		c := good
		change(&c)
		return encode(c.append(nil))
	}
	prefixes := func(list string) (ps []netip.Prefix) {
		for p := range strings.FieldsSeq(list) {
			ps = append(ps, netip.MustParsePrefix(p))
		}
		return ps
	}
	pooled := func(pool ...byte) string {
		return encode(bytes.Replace(body, []byte{1, 16, 10, 77, 0, 0}, append([]byte{1}, pool...), 1))
	}
	engine := func(text string) string {
		return encode(bytes.Replace(body, []byte("\x00\x04raft"), append([]byte{0, byte(len(text))}, text...), 1))
	}
	for _, tt := range []struct {
		name, text string
		want       error
		says       string
	}{
		{"empty", "", ErrNotToken, "begins with meshnet1_"},
		{"space only", " \n", ErrNotToken, ""},
		{"another word", "hello", ErrNotToken, ""},
		{"a Kubernetes token", "abcdef.0123456789abcdef", ErrNotToken, ""},
		{"name of the program", "meshnet", ErrTruncated, ""},
		{"no number", "meshnet_" + text[9:], ErrNotToken, ""},
		{"number with a letter", "meshnet1a_" + text[9:], ErrNotToken, ""},
		{"next encoding", "meshnet2_" + text[9:], ErrVersion, "upgrade this host"},
		{"later encoding", "meshnet12_AAAA", ErrVersion, ""},
		{"next layout", encode(append([]byte{2}, body[1:]...)), ErrVersion, ""},
		{"layout 0", encode(append([]byte{0}, body[1:]...)), ErrVersion, ""},
		{"prefix only", "meshnet1_", ErrTruncated, ""},
		{"punctuation", text[:30] + "." + text[31:], ErrAltered, "character '.'"},
		{"padding", text + "==", ErrAltered, "character '='"},
		{"longer than any", text + strings.Repeat("A", 5000), ErrAltered, ""},
		{"something appended", text + "AAAA", ErrAltered, ""},
		{"body ends early", encode(body[:40]), ErrField, "too early"},
		{"body goes on", encode(append(bytes.Clone(body), 0)), ErrField, "1 bytes follow"},
		{"bad name", with(func(c *Token) { c.Name = "Home" }), ErrField, `network name "Home"`},
		{"no name", with(func(c *Token) { c.Name = "" }), ErrField, "empty"},
		{"no ID", with(func(c *Token) { c.NetworkID = [16]byte{} }), ErrField, "network ID"},
		{"no key", with(func(c *Token) { c.PSK = [32]byte{} }), ErrField, "key"},
		{"small MTU", with(func(c *Token) { c.MTU = 1279 }), ErrField, "MTU 1279"},
		{"large MTU", with(func(c *Token) { c.MTU = 65535 }), ErrField, "MTU 65535"},
		{"prefix too long", with(func(c *Token) { c.IPv6 = netip.MustParsePrefix("fd00::/96") }), ErrField, "96 bits"},
		{"host bits", with(func(c *Token) { c.IPv6 = netip.MustParsePrefix("fd00:0:0:1::/48") }), ErrField, "host bits"},
		{"no prefix", with(func(c *Token) { c.IPv6 = netip.Prefix{} }), ErrField, "IPv6"},
		{"pool with host bits", with(func(c *Token) { c.Pools = []netip.Prefix{netip.MustParsePrefix("10.77.0.1/16")} }), ErrField, "did you mean 10.77.0.0/16"},
		{"pool of 33 bits", pooled(33, 10, 0, 0, 0), ErrField, "there is no pool"},
		{"tiny pool", pooled(30, 10, 0, 0, 0), ErrField, "smaller than a /29"},
		{"no addresses of hosts", pooled(8, 127, 0, 0, 0), ErrField, "loopback"},
		{"overlap", with(func(c *Token) { c.Pools = prefixes("10.77.0.0/16 10.77.8.0/24") }), ErrField, "overlap"},
		{"nine pools", with(func(c *Token) {
			c.Pools = prefixes("10.0.0.0/16 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 10.6.0.0/16 10.7.0.0/16 10.8.0.0/16")
		}), ErrField, "9 pools"},
		{"password", with(func(c *Token) { c.IPAM = IPAM{Endpoints: []string{"e:1"}, User: "u", Password: "p"} }), ErrField, "let into etcd"},
		{"certificate", with(func(c *Token) { c.IPAM = IPAM{Endpoints: []string{"e:1"}, TLS: true, CA: "/c"} }), ErrField, "let into etcd"},
		{"unknown engine", engine("consul://e:1"), ErrField, "not of the form"},
		{"engine without its port", engine("etcd://e"), ErrField, "not of the form"},
		{"no engine", engine(""), ErrField, "not of the form"},
		{"endpoint without port", with(func(c *Token) { c.Endpoints = []string{"192.0.2.1"} }), ErrField, "no port"},
		{"nine endpoints", with(func(c *Token) { c.Endpoints = strings.Fields(strings.Repeat("a:1 ", 9)) }), ErrField, "endpoints"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Parse(%.40s…) error = %v, want %v that says %q", tt.text, err, tt.want, tt.says)
			}
		})
	}
}

// "A token is a secret": no log shows the key.
func TestLogValue(t *testing.T) {
	var b bytes.Buffer
	v := vectors(t)[0]
	slog.New(slog.NewTextHandler(&b, nil)).Info("joined", "token", v.token)
	if got := b.String(); !strings.Contains(got, `"token of network `+v.token.Name+`"`) {
		t.Errorf("log line = %s, want only the network's name", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.text)
		b, err := hex.DecodeString(v.bytes)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b[:len(b)-checksumLen]))
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, text := range []string{s, encode([]byte(s))} { // as it is, and as the body of a token
			got, err := Parse(text)
			if err != nil {
				continue
			}
			if again := got.String(); again != strings.Join(strings.Fields(text), "") {
				t.Errorf("Parse(%q).String() = %q", text, again)
			}
		}
	})
}
