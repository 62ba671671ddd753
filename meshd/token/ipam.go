package token

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// IPAM says who decides which host owns which block of addresses: the network's members themselves (the zero IPAM), or
// an etcd. What a host needs to be let in there, User to Key, is its own: Public leaves it out.
type IPAM struct {
	Endpoints []string // of etcd, "HOST:PORT", at most MaxEndpoints; none: the members decide, by Raft
	Prefix    string   // of the keys in etcd, with '/' at both ends; "": one that follows from the network ID
	TLS       bool     //

	User, Password string // of etcd's authentication; "": none
	CA, Cert, Key  string // paths of PEM files on this host: who signed etcd's certificate, and this host's own; "": none
}

// The engines, as people write and read them.
const (
	Raft = "raft"
	Etcd = "etcd"
)

// Lengths of texts that stand for an IPAM, in bytes, and the port that IANA calls etcd-client.
const (
	MaxIPAM       = 4096
	maxIPAMPublic = 512
	etcdPort      = "2379"
)

// Engine returns Raft or Etcd.
func (m IPAM) Engine() string {
	if len(m.Endpoints) > 0 {
		return Etcd
	}
	return Raft
}

// Public returns m without what is a secret or a matter of this host alone.
func (m IPAM) Public() IPAM { return IPAM{Endpoints: m.Endpoints, Prefix: m.Prefix, TLS: m.TLS} }

// Secret says whether m holds a password.
func (m IPAM) Secret() bool { return m.Password != "" }

// String returns the text that ParseIPAM reads, but the password as "xxxxx".
func (m IPAM) String() string {
	if m.Password != "" {
		m.Password = "xxxxx"
	}
	return m.URL()
}

// LogValue keeps the password out of logs.
func (m IPAM) LogValue() slog.Value { return slog.StringValue(m.String()) }

// URL returns the text that ParseIPAM reads. It holds the password.
func (m IPAM) URL() string {
	if m.Engine() == Raft {
		return Raft
	}
	var b strings.Builder
	b.WriteString("etcd")
	if m.TLS {
		b.WriteByte('s')
	}
	b.WriteString("://")
	switch {
	case m.Password != "":
		b.WriteString(url.UserPassword(m.User, m.Password).String() + "@")
	case m.User != "":
		b.WriteString(url.User(m.User).String() + "@")
	}
	b.WriteString(strings.Join(m.Endpoints, ","))
	b.WriteString(strings.TrimSuffix(m.Prefix, "/"))
	files := url.Values{}
	for _, f := range m.files() {
		if *f.path != "" {
			files.Set(f.key, *f.path)
		}
	}
	if len(files) > 0 {
		b.WriteString("?" + files.Encode())
	}
	return b.String()
}

// file is a parameter that names a file.
type file struct {
	key  string
	path *string
}

// files returns the parameters of m that name files.
func (m *IPAM) files() []file { return []file{{"ca", &m.CA}, {"cert", &m.Cert}, {"key", &m.Key}} }

// ParseIPAM reads "raft", "" for the same, or
//
//	etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...[/PREFIX][?ca=FILE][&cert=FILE&key=FILE]
//
// etcds:// is etcd over TLS; so is one with a file. No error shows the password.
func ParseIPAM(s string) (IPAM, error) {
	if s == "" || s == Raft {
		return IPAM{}, nil
	}
	if len(s) > MaxIPAM {
		return IPAM{}, fmt.Errorf("the address of etcd has %d bytes; at most %d are allowed", len(s), MaxIPAM)
	}
	rest, found := strings.CutPrefix(s, "etcd://")
	m := IPAM{}
	if !found {
		if rest, m.TLS = strings.CutPrefix(s, "etcds://"); !m.TLS {
			return IPAM{}, errors.New(`it is neither "raft" nor "etcd://HOST:PORT,…"`)
		}
	}
	if at := strings.IndexByte(rest, '@'); at > strings.IndexAny(rest+"/", "/?") {
		return IPAM{}, errors.New("in etcd's user and password write '/' as %2F, '?' as %3F, '@' as %40 and '%' as %25")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, prefix, _ := strings.Cut(rest, "/")
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hosts = authority[i+1:]
		if err := m.parseUser(authority[:i]); err != nil {
			return IPAM{}, err
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		m.Endpoints = append(m.Endpoints, withPort(host))
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		m.Prefix = "/" + prefix + "/"
	}
	if err := m.parseQuery(query); err != nil {
		return IPAM{}, err
	}
	return m, m.Check()
}

// With returns m, which is a network's, with what lets one host in: local, the same etcd as that host names it, or the zero
// IPAM if nothing is needed.
func (m IPAM) With(local IPAM) (IPAM, error) {
	if local.Engine() == Raft {
		return m, nil
	}
	if m.Engine() == Raft {
		return IPAM{}, errors.New("the network's blocks are handed out by its members, not by etcd")
	}
	if local.Prefix != "" && local.Prefix != m.Prefix {
		return IPAM{}, fmt.Errorf("the network's keys in etcd begin with %q, not %q", m.Prefix, local.Prefix)
	}
	local.Prefix, local.TLS = m.Prefix, m.TLS || local.TLS
	return local, nil
}

// parseUser reads what is before the '@'.
func (m *IPAM) parseUser(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err, perr error
	m.User, err = url.PathUnescape(user)
	m.Password, perr = url.PathUnescape(password)
	if err != nil || perr != nil {
		return errors.New("user or password of etcd has a bad %-escape") // the error itself would show it
	}
	return nil
}

// parseQuery reads what is after the '?'.
func (m *IPAM) parseQuery(s string) error {
	query, err := url.ParseQuery(s)
	if err != nil {
		return errors.New("the parameters after the '?' are not KEY=VALUE&…")
	}
	for _, f := range m.files() {
		if len(query[f.key]) > 1 {
			return fmt.Errorf("parameter %q is there twice", f.key)
		}
		*f.path = query.Get(f.key)
		m.TLS = m.TLS || *f.path != ""
		delete(query, f.key)
	}
	for key := range query {
		return fmt.Errorf("unknown parameter %q; known are ca, cert and key", clip(key))
	}
	return nil
}

// withPort returns an endpoint of etcd with etcd's port if it says none.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
		return host
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return net.JoinHostPort(a.String(), etcdPort)
	}
	if strings.Contains(host, ":") {
		return host
	}
	return host + ":" + etcdPort
}

// Check says whether every field of m makes sense, and whether the fields fit together.
func (m IPAM) Check() error {
	if m.Engine() == Raft {
		if m.Prefix != "" || m.TLS || m.User != "" || m.Password != "" || m.CA != "" || m.Cert != "" || m.Key != "" {
			return errors.New("raft takes no parameters; they are for etcd")
		}
		return nil
	}
	if err := CheckEndpoints(m.Endpoints); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	switch {
	case m.Prefix != "" && !goodKeys(m.Prefix):
		return fmt.Errorf("etcd: prefix %q of the keys is not of letters, digits, '-', '_', '.' and '/'", clip(m.Prefix))
	case m.User == "" && m.Password != "":
		return errors.New("etcd: there is a password and no user")
	case (m.Cert == "") != (m.Key == ""):
		return errors.New("etcd: a certificate and its key are needed together")
	case !m.TLS && (m.CA != "" || m.Cert != ""):
		return errors.New("etcd: certificates need etcds://")
	case len(m.Public().URL()) > maxIPAMPublic:
		return fmt.Errorf("etcd: endpoints and prefix have more than %d bytes", maxIPAMPublic)
	}
	for _, s := range []string{m.User, m.Password, m.CA, m.Cert, m.Key} {
		if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return errors.New("etcd: user, password or a path has a control character")
		}
	}
	return nil
}

// goodKeys says whether p, with '/' at both ends, is a prefix of keys that needs no escapes.
func goodKeys(p string) bool {
	if len(p) < 3 || p[0] != '/' || p[len(p)-1] != '/' || path.Clean(p)+"/" != p {
		return false
	}
	for i := range len(p) {
		if c := p[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' && c != '/' {
			return false
		}
	}
	return true
}
