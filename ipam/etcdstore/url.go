package etcdstore

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPort   = "2379"     // IANA: etcd-client
	defaultPrefix = "/meshnet" // the network's ID follows
	maxEndpoints  = 32
	hidden        = "xxxxx" // as net/url's Redacted
)

// Address is what `--ipam etcd://…` names: an etcd cluster and how to prove oneself to it. Its text never shows the password.
type Address struct {
	Endpoints    []string // host:port, 1 to 32, as written, none twice
	TLS          bool     // set by etcds:// and by any of the three files below
	User         string   // empty: no user name; the client certificate's name counts, if etcd is set up so
	Password     string
	PasswordFile string // holds the password in its first line; instead of Password
	CA           string // file with the certificates to trust (PEM); empty: those of the system
	Cert, Key    string // files with the client's certificate and key (PEM); both or none
	Prefix       string // of the keys: begins with '/', does not end with it; the network's ID follows
}

// ParseURL parses etcd://[user[:password]@]host[:port][,host[:port]…][?option=value[&…]]. The scheme etcds demands TLS; the options
// are cacert, cert, key (absolute paths of PEM files; each implies TLS), password-file (absolute path) and prefix (default
// /meshnet). User, password and values may be percent-encoded. The port is 2379 unless given. No error shows the password.
func ParseURL(text string) (Address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "etcd" && scheme != "etcds" {
		return Address{}, errors.New("the address of an etcd cluster begins with etcd:// or etcds://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	a := Address{TLS: scheme == "etcds", Prefix: defaultPrefix}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := a.parseUser(rest[:at]); err != nil {
			return Address{}, err
		}
		rest = rest[at+1:]
	}
	if err := a.parseHosts(strings.TrimSuffix(rest, "/")); err != nil {
		return Address{}, err
	}
	if err := a.parseOptions(query); err != nil {
		return Address{}, err
	}
	return a, a.check()
}

// parseUser does not quote its input in errors: it holds the password.
func (a *Address) parseUser(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err error
	if a.User, err = url.PathUnescape(user); err != nil || a.User == "" {
		return errors.New("the user name before @ is empty or not percent-encoded as it should be")
	}
	if a.Password, err = url.PathUnescape(password); err != nil {
		return errors.New("the password before @ is not percent-encoded as it should be (write % as %25, @ as %40)")
	}
	return nil
}

func (a *Address) parseHosts(s string) error {
	if strings.Contains(s, "/") {
		return fmt.Errorf("%q after the hosts is not understood: the keys' prefix is given as ?prefix=/…", s[strings.IndexByte(s, '/'):])
	}
	for host := range strings.SplitSeq(s, ",") {
		endpoint, err := parseEndpoint(host)
		if err != nil {
			return err
		}
		if slices.Contains(a.Endpoints, endpoint) {
			return fmt.Errorf("the endpoint %s is given twice", endpoint)
		}
		a.Endpoints = append(a.Endpoints, endpoint)
	}
	if len(a.Endpoints) > maxEndpoints {
		return fmt.Errorf("%d endpoints are given, at most %d are allowed", len(a.Endpoints), maxEndpoints)
	}
	return nil
}

// parseEndpoint parses a name, an IPv4 address or an IPv6 address in brackets, with a port or without.
func parseEndpoint(s string) (string, error) {
	host, port := s, defaultPort
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the endpoint %q has no port between 1 and 65535", s)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if addr, err := netip.ParseAddr(inner); err != nil || !ok || !addr.Is6() {
			return "", fmt.Errorf("the endpoint %q has no IPv6 address between its brackets", s)
		}
		return net.JoinHostPort(inner, port), nil
	}
	if host == "" || strings.ContainsFunc(host, notInName) {
		return "", fmt.Errorf("the endpoint %q is not host:port (an IPv6 address needs brackets)", s)
	}
	return host + ":" + port, nil
}

func notInName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
}

func (a *Address) parseOptions(query string) error {
	options := map[string]*string{
		"cacert": &a.CA, "cert": &a.Cert, "key": &a.Key, "password-file": &a.PasswordFile, "prefix": &a.Prefix,
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(query, "&") {
		if option == "" {
			continue
		}
		name, value, _ := strings.Cut(option, "=")
		field, ok := options[name]
		if !ok {
			return fmt.Errorf("the option %q is unknown: there are cacert, cert, key, password-file and prefix", name)
		}
		text, err := url.PathUnescape(value)
		if err != nil || text == "" || seen[name] {
			return fmt.Errorf("the option %s is empty, given twice or not percent-encoded as it should be", name)
		}
		*field, seen[name] = text, true
	}
	a.TLS = a.TLS || a.CA != "" || a.Cert != "" || a.Key != ""
	return nil
}

func (a *Address) check() error {
	for _, file := range []string{a.CA, a.Cert, a.Key, a.PasswordFile} {
		if file != "" && !filepath.IsAbs(file) {
			return fmt.Errorf("the file %q is not an absolute path: the daemon has another working directory than you", file)
		}
	}
	a.Prefix = strings.TrimRight(a.Prefix, "/")
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return errors.New("the options cert and key are given together or not at all")
	case a.Password != "" && a.PasswordFile != "":
		return errors.New("the password is given both before @ and as password-file")
	case a.User == "" && a.PasswordFile != "":
		return errors.New("password-file is given without a user name before @")
	case a.User != "" && a.Password == "" && a.PasswordFile == "":
		return fmt.Errorf("the user %q has no password: write user:password@ or the option password-file", a.User)
	case !strings.HasPrefix(a.Prefix, "/") || len(a.Prefix) > 255 || strings.ContainsFunc(a.Prefix, notPrintable):
		return fmt.Errorf("the prefix %q is not 1 to 255 printable characters after a slash", a.Prefix)
	}
	return nil
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// String returns a URL that ParseURL accepts, except that the password is replaced by xxxxx.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString("etcd")
	if a.TLS {
		b.WriteString("s")
	}
	b.WriteString("://")
	if a.User != "" {
		b.WriteString(url.PathEscape(a.User))
		if a.PasswordFile == "" {
			b.WriteString(":" + hidden)
		}
		b.WriteString("@")
	}
	b.WriteString(strings.Join(a.Endpoints, ","))
	separator := "?"
	for _, o := range [][2]string{{"cacert", a.CA}, {"cert", a.Cert}, {"key", a.Key}, {"password-file", a.PasswordFile}, {"prefix", a.Prefix}} {
		if o[1] != "" && !(o[0] == "prefix" && o[1] == defaultPrefix) {
			b.WriteString(separator + o[0] + "=" + escapeOption(o[1]))
			separator = "&"
		}
	}
	return b.String()
}

func escapeOption(s string) string {
	return strings.NewReplacer("%2F", "/", "&", "%26").Replace(url.PathEscape(s))
}

// GoString keeps the password out of %#v.
func (a Address) GoString() string { return "etcdstore.Address{" + a.String() + "}" }

// LogValue keeps the password out of logs.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText keeps the password out of JSON.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
