package config

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meshnet/meshd/session"
	"meshnet/meshd/token"
)

// ImportPeerVPN reads a configuration file of PeerVPN 0.44 and returns the equivalent file for meshd. What has no
// equivalent, or needs none, stands in comments with what replaces it. So do options that PeerVPN does not have; unknown
// names them with their lines. The error names the line of a value that PeerVPN would not take either.
func ImportPeerVPN(r io.Reader) (text string, unknown []string, err error) {
	p, strange, err := readPeerVPN(r)
	if err != nil {
		return "", nil, err
	}
	var out strings.Builder
	for _, section := range []func(w *tomlWriter){p.head, p.daemon, p.network, p.rest} {
		section(&tomlWriter{&out})
	}
	return out.String() + notOptions(strange), namesOf(strange), nil
}

// peerVPN is a configuration file of PeerVPN: the values of the options that it sets, the last of each.
type peerVPN map[string]string

// peerVPNOptions are the options of PeerVPN 0.44 (config.ic, parseConfigLine), the undocumented ones too, in the order in
// which they are translated.
func peerVPNOptions() []string {
	return []string{
		"networkname", "psk", "initpeers", "port", "local", "enableipv4", "enableipv6", "sockmark", "interface", "upcmd",
		"ifconfig4", "ifconfig6", "enabletunneling", "enablerelay", "enablenat64clat", "enablendpcache", "enablevirtserv",
		"engine", "enableprivdrop", "user", "group", "chroot", "enableseccomp", "forceseccomp", "enableconsole", "echo",
	}
}

// readPeerVPN reads the file as PeerVPN does (config.ic): '#' and ';' begin a comment wherever they stand, "endconfig" ends
// the file. A file in which no option is one of PeerVPN's is something else, and an error.
func readPeerVPN(r io.Reader) (p peerVPN, strange []strangeLine, err error) {
	p = make(peerVPN)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;\r\x00"); i >= 0 {
			line = line[:i]
		}
		line = strings.Trim(line, " \t")
		if line == "" {
			continue
		}
		option, value := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			option, value = line[:i], strings.TrimLeft(line[i:], " \t")
		}
		if option == "endconfig" {
			break
		}
		if !slices.Contains(peerVPNOptions(), option) {
			strange = append(strange, strangeLine{n, option, value})
			continue
		}
		if strings.HasPrefix(option, "enable") || option == "forceseccomp" {
			if _, err := peerVPNBool(value); err != nil {
				return nil, nil, fmt.Errorf("line %d: %s: %w", n, option, err)
			}
		}
		p[option] = value
	}
	if len(p) == 0 && len(strange) > 0 {
		return nil, nil, fmt.Errorf("line %d: PeerVPN has no option %.40q, and the file has no other that it has",
			strange[0].number, strange[0].option)
	}
	return p, strange, lines.Err()
}

// peerVPNBool reads a boolean as PeerVPN does (config.ic, parseConfigBoolean): the beginning of the word counts.
func peerVPNBool(s string) (bool, error) {
	for _, yes := range []string{"true", "1", "yes"} {
		if strings.HasPrefix(s, yes) {
			return true, nil
		}
	}
	for _, no := range []string{"false", "0", "no"} {
		if strings.HasPrefix(s, no) {
			return false, nil
		}
	}
	return false, fmt.Errorf("%.40q is not yes or no", s)
}

// on says whether a boolean option is on; unset says what it is if the file does not set it.
func (p peerVPN) on(option string, unset bool) bool {
	value, ok := p[option]
	if !ok {
		return unset
	}
	b, err := peerVPNBool(value)
	return b && err == nil
}

// tomlWriter writes a file for meshd.
type tomlWriter struct{ out *strings.Builder }

// set writes a key with its value.
func (w *tomlWriter) set(key string, value any) {
	switch v := value.(type) {
	case string:
		fmt.Fprintf(w.out, "%s = %s\n", key, quoteTOML(v))
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quoteTOML(s)
		}
		fmt.Fprintf(w.out, "%s = [%s]\n", key, strings.Join(quoted, ", "))
	default:
		fmt.Fprintf(w.out, "%s = %v\n", key, v)
	}
}

// note writes comment lines.
func (w *tomlWriter) note(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintf(w.out, "# %s\n", printable(line))
	}
}

// blank writes an empty line.
func (w *tomlWriter) blank() { w.out.WriteByte('\n') }

// quoteTOML returns s as a basic string (TOML v1.0.0, "String").
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printable returns s without what may not be in a comment.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// head says what the file is.
func (p peerVPN) head(w *tomlWriter) {
	w.note("Made from a configuration file of PeerVPN by \"meshctl import\".\n" +
		"meshd does not speak PeerVPN's protocol: all hosts of a network have to change over.")
	if n := len([]rune(p["psk"])); n >= session.MinPassphrase && n <= session.MaxPassphrase {
		w.note("The PSK is in this file: chmod 0600.")
	}
	w.blank()
}

// daemon translates what is not about the network.
func (p peerVPN) daemon(w *tomlWriter) {
	port := p["port"]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		if port != "" {
			w.note("port %s: not a number from 1 to 65535.", port)
		} else {
			w.note("PeerVPN took a free port. meshd takes this one, so that others know where this host is.")
		}
		port = "7000"
	}
	w.set("listen", p.listen(w, port))
	if mark, ok := p["sockmark"]; ok {
		if n, err := strconv.ParseUint(mark, 10, 32); err == nil {
			w.set("fwmark", n)
		} else {
			w.note("sockmark %s: not a number.", mark)
		}
	}
	w.blank()
}

// listen returns the addresses to listen on.
func (p peerVPN) listen(w *tomlWriter, port string) []string {
	v4, v6 := p.on("enableipv4", true), p.on("enableipv6", true)
	if local := p["local"]; local != "" {
		if a, err := netip.ParseAddr(local); err == nil {
			return []string{net.JoinHostPort(a.String(), port)}
		}
		w.note("local %s: meshd takes IP addresses only.", local)
	}
	switch {
	case v4 && !v6:
		return []string{"0.0.0.0:" + port}
	case v6 && !v4:
		return []string{"[::]:" + port}
	case !v4 && !v6:
		w.note("enableipv4 and enableipv6 are both off: PeerVPN did not run with this file.")
	}
	return []string{":" + port}
}

// network translates what makes the network.
func (p peerVPN) network(w *tomlWriter) {
	fmt.Fprintln(w.out, "[[network]]")
	name, ok := p["networkname"]
	if !ok {
		name = "PEERVPN"
	}
	fit := networkName(name)
	if fit != name {
		w.note("networkname %s: names of networks are a-z, 0-9 and '-' here.", name)
	}
	w.set("name", fit)
	p.key(w)
	p.peers(w)
	p.bridge(w)
	p.addresses(w)
}

// networkName makes a name fit for a network.
func networkName(name string) string {
	fit := strings.Map(func(c rune) rune {
		if token.CheckName("a"+string(c)+"a") != nil {
			return '-'
		}
		return c
	}, strings.ToLower(name))
	fit = strings.Trim(fit[:min(len(fit), token.MaxName)], "-")
	if fit == "" {
		return "peervpn"
	}
	return fit
}

// key translates the PSK.
func (p peerVPN) key(w *tomlWriter) {
	psk, ok := p["psk"]
	n := len([]rune(psk))
	switch {
	case !ok:
		w.note("The file has no psk: PeerVPN used \"default\", which everybody knows. \"meshctl genkey\" makes a good one.")
	case n < session.MinPassphrase || n > session.MaxPassphrase:
		w.note("psk: it has %d characters, %d to %d are needed. \"meshctl genkey\" makes a good one.",
			n, session.MinPassphrase, session.MaxPassphrase)
	default:
		w.note("A passphrase can be guessed; \"meshctl genkey\" makes a key that cannot. The same on all hosts.")
		w.set("psk", psk)
		return
	}
	w.note("psk = \"…\"")
}

// peers translates the peers to contact first.
func (p peerVPN) peers(w *tomlWriter) {
	words := strings.Fields(p["initpeers"])
	var endpoints []string
	for i := 0; i < len(words); i += 2 {
		port := "7000"
		if i+1 < len(words) {
			port = words[i+1]
		}
		e := net.JoinHostPort(words[i], port)
		switch err := token.CheckEndpoint(e); {
		case err != nil:
			w.note("initpeers: %v.", err)
		case slices.Contains(endpoints, e):
		case len(endpoints) == token.MaxEndpoints:
			w.note("initpeers: %s is left out: %d are enough, members learn of each other.", e, token.MaxEndpoints)
		default:
			endpoints = append(endpoints, e)
		}
	}
	if len(endpoints) > 0 {
		w.note("On exactly one host, the first, add: create = true")
		w.set("endpoints", endpoints)
		return
	}
	w.note("The file has no initpeers, so this is taken for the first host. On all others, endpoints instead:\n" +
		"endpoints = [\"HOST:7000\"]")
	w.set("create", true)
}
