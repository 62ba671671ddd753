package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"meshnet/meshd/session"
	"meshnet/meshd/token"
)

const hexPSK = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

var (
	base = Config{Name: "host", Listen: []string{":7000"}, State: "/s", Socket: "/r", Group: "g"}
	psk  = [32]byte{
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
	}
	home = token.Token{
		Name: "home", NetworkID: [16]byte{1}, PSK: [32]byte{2}, MTU: 1400, IPv6: netip.MustParsePrefix("fd00:1::/48"),
		Endpoints: []string{"192.0.2.1:7000"},
	}
)

// secrets stands in for the files beside the configuration file.
func secrets(name string) ([]byte, error) {
	switch name {
	case "home.token":
		return []byte(home.String() + "\n"), nil
	case "etcd.token":
		t := home
		t.Pools, t.IPAM = []netip.Prefix{token.DefaultPool()}, token.IPAM{Endpoints: []string{"etcd:1"}, Prefix: "/x/", TLS: true}
		return []byte(t.String()), nil
	case "prod.psk":
		return []byte(hexPSK + "\n"), nil
	case "empty":
		return []byte("\n"), nil
	}
	return nil, fmt.Errorf("open %s: no such file", name)
}

func TestParse(t *testing.T) {
	joined := Network{
		Name: "home", NetworkID: home.NetworkID, PSK: home.PSK, MTU: 1400, IPv6: home.IPv6, Seeds: home.Endpoints,
		IPv4None: true,
	}
	for _, tt := range []struct {
		name, text string
		want       func(c *Config)
	}{
		{"nothing", "", func(*Config) {}},
		{"comments", "# nothing\n", func(*Config) {}},
		{"everything about the host", `
			name = "web-1"
			listen = ["192.0.2.1:7000", "[2001:db8::1]:0", ":1"]
			state = "/var/lib/x"
			socket = "/run/x"
			group = ""
			fwmark = 4294967295
			log_level = "debug"
			without = ["udp-gso", "tap-uso"]
			relay = false`,
			func(c *Config) {
				*c = Config{
					Name: "web-1", Listen: []string{"192.0.2.1:7000", "[2001:db8::1]:0", ":1"}, State: "/var/lib/x",
					Socket: "/run/x", FWMark: 4294967295, LogLevel: slog.LevelDebug, Without: []string{"udp-gso", "tap-uso"},
				}
			}},
		{"token", "[[network]]\ntoken = \"" + home.String() + "\"",
			func(c *Config) { c.Networks = []Network{joined} }},
		{"token with name, bridge and endpoints of this host",
			"[[network]]\nname = \"home\"\ntoken_file = \"home.token\"\nbridge = \"lxcbr0\"\ndhcp = \"open\"\nadvertise = [\"a.example.net:1\"]",
			func(c *Config) {
				n := joined
				n.Bridge, n.DHCP, n.Advertise = "lxcbr0", "open", []string{"a.example.net:1"}
				c.Networks = []Network{n}
			}},
		{"PSK", "[[network]]\nname = \"prod\"\npsk = \"" + hexPSK + "\"\nendpoints = [\"b:2\"]\nipv6 = \"fd00::/48\"\nmtu = 1280",
			func(c *Config) {
				c.Networks = []Network{{
					Name: "prod", NetworkID: session.NetworkID("prod", psk), PSK: psk, MTU: 1280,
					IPv6: netip.MustParsePrefix("fd00::/48"), Seeds: []string{"b:2"},
				}}
			}},
		{"pools", "[[network]]\nname = \"prod\"\npsk_file = \"prod.psk\"\ncreate = true\npools = [\"10.1.0.0/16\", \"10.2.0.0/24\"]\n" +
			"block_bits = 28\nexclude = [\"10.2.0.1-10.2.0.3\", \"10.1.9.9\"]\nipam = \"etcd://e,f:1/x\"\nipam_ca = \"ca.pem\"",
			func(c *Config) {
				c.Networks = []Network{{
					Name: "prod", NetworkID: session.NetworkID("prod", psk), PSK: psk, Create: true,
					Pools: []token.Pool{
						{Prefix: netip.MustParsePrefix("10.1.0.0/16"), BlockBits: 28, Exclude: []netip.Prefix{netip.MustParsePrefix("10.1.9.9/32")}},
						{Prefix: netip.MustParsePrefix("10.2.0.0/24"), BlockBits: 28,
							Exclude: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/32"), netip.MustParsePrefix("10.2.0.2/31")}},
					},
					IPAM: token.IPAM{Endpoints: []string{"e:2379", "f:1"}, Prefix: "/x/", TLS: true, CA: "ca.pem"},
				}}
			}},
		{"no IPv4", "[[network]]\nname = \"prod\"\npsk_file = \"prod.psk\"\ncreate = true\nipv4 = \"none\"\nipam = \"raft\"",
			func(c *Config) {
				c.Networks = []Network{{Name: "prod", NetworkID: session.NetworkID("prod", psk), PSK: psk, Create: true, IPv4None: true}}
			}},
		{"token with etcd", "[[network]]\ntoken_file = \"etcd.token\"\nipam = \"etcd://u:p%2f@e\"\nipam_cert = \"c\"\nipam_key = \"k\"",
			func(c *Config) {
				n := joined
				n.IPv4None, n.Pools = false, []token.Pool{{Prefix: token.DefaultPool()}}
				n.IPAM = token.IPAM{Endpoints: []string{"e:2379"}, Prefix: "/x/", TLS: true, User: "u", Password: "p/", Cert: "c", Key: "k"}
				c.Networks = []Network{n}
			}},
		{"first host, and a second network", "[[network]]\nname = \"prod\"\npsk_file = \"prod.psk\"\ncreate = true\n" +
			"[[network]]\ntoken_file = \"home.token\"",
			func(c *Config) {
				c.Networks = []Network{
					{Name: "prod", NetworkID: session.NetworkID("prod", psk), PSK: psk, Create: true}, joined,
				}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := base
			tt.want(&want)
			got, err := Parse(strings.NewReader(tt.text), base, secrets)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Parse(%s) = %+v, %v\nwant %+v", tt.text, got, err, want)
			}
		})
	}
}

func TestParseBad(t *testing.T) {
	network := func(lines ...string) string { return "[[network]]\n" + strings.Join(lines, "\n") }
	prod := []string{`name = "prod"`, `psk_file = "prod.psk"`, `endpoints = ["a:1"]`}
	with := func(line string) string { return network(append(prod, line)...) }
	for _, tt := range []struct{ name, text, says string }{
		{"not TOML", "name = \nlisten = 1", "line 1"},
		{"text for a list", "\nlisten = \":7000\"", `line 2: listen is a list, e.g. [":7000"]`},
		{"number in a list", "listen = [7000]", `line 1: listen is a list, e.g. [":7000"]`},
		{"number for text", "name = 1", "line 1: name is text, in quotes"},
		{"text for a number", `fwmark = "1"`, "line 1: fwmark is a whole number, without quotes"},
		{"fraction", network("mtu = 1.5"), "line 2: network.mtu is a whole number"},
		{"text for yes or no", network(`create = "yes"`), "line 2: network.create is true or false, without quotes"},
		{"text for a list of a network", network(`endpoints = "a:1"`), `line 2: network.endpoints is a list, e.g. ["192.0.2.1:7000"]`},
		{"list of numbers for tables", "network = [1]", "network is a list of tables"},
		{"duplicate key", "name = \"a\"\nname = \"b\"", "already been defined"},
		{"unknown key", "name = \"a\"\nlistn = [\":1\"]", `line 2: unknown key "listn"; did you mean "listen"?`},
		{"unknown key of a network", network(`token_file = "home.token"`, `end_points = ["a:1"]`), `line 3: unknown key "network.end_points"; did you mean "endpoints"?`},
		{"nothing like it", "encryption = false", `line 1: unknown key "encryption"; known are name, listen`},
		{"unknown table", "name = \"a\"\n[daemon]\nx = 1", `line 2: unknown key "daemon"`},
		{"table for list", "[network]\nname = \"a\"", "line 1: network is a list of tables; begin each with [[network]]"},
		{"bad node name", `name = "a b"`, "name: node name"},
		{"no listen address", `listen = []`, "listen: there is no address"},
		{"listen without port", `listen = ["192.0.2.1"]`, "listen: \"192.0.2.1\" is not ADDR:PORT"},
		{"listen on a name", `listen = ["localhost:1"]`, "not an IP address"},
		{"listen port", `listen = [":70000"]`, "port \"70000\""},
		{"empty state", `state = ""`, "state: the path is empty"},
		{"empty socket", `socket = ""`, "socket: the path is empty"},
		{"negative mark", `fwmark = -1`, "fwmark: -1"},
		{"large mark", `fwmark = 4294967296`, "fwmark: 4294967296"},
		{"dead after", with(`dead_after = "14m"`), "dead_after: 14m is not between 15m and 8784h"},
		{"dead after of nothing", with("ipv4 = \"none\"\ndead_after = \"24h\""), "dead_after: the network has no IPv4"},
		{"dead after in words", with(`dead_after = "3 days"`), "is not a duration"},
		{"log level", `log_level = "verbose"`, "log_level: \"verbose\" is not debug"},
		{"network without key", network(`name = "prod"`), `network "prod": one of token`},
		{"two keys", network(`token_file = "home.token"`, `psk = "x"`), "network 1: only one of token"},
		{"bad token", network(`token = "meshnet1_AAAA"`), "network 1: token: the token is truncated"},
		{"token file missing", network(`token_file = "nowhere"`), "token_file: open nowhere"},
		{"empty token file", network(`token_file = "empty"`), "network 1: token_file: the token file is empty"},
		{"empty PSK file", network(`name = "prod"`, `psk_file = "empty"`), "psk_file: the PSK is empty"},
		{"token of another network", network(`name = "prod"`, `token_file = "home.token"`), `the token is of network "home"`},
		{"token and create", network(`token_file = "home.token"`, `create = true`), "create: a network that has a token exists"},
		{"token and endpoints", network(`token_file = "home.token"`, `endpoints = ["a:1"]`), "are in the token"},
		{"token and mtu", network(`token_file = "home.token"`, `mtu = 1400`), "are in the token"},
		{"token and ipv6", network(`token_file = "home.token"`, `ipv6 = "fd00::/48"`), "are in the token"},
		{"PSK without name", network(`psk = "` + hexPSK + `"`), "name: the name of a network is empty"},
		{"bad network name", network(`name = "Prod"`, `psk = "`+hexPSK+`"`), "capital letter"},
		{"short passphrase", network(`name = "prod"`, `psk = "1234567"`), "psk: unusable passphrase: it has 7 characters"},
		{"PSK file missing", network(`name = "prod"`, `psk_file = "nowhere"`), "psk_file: open nowhere"},
		{"no endpoints", network(`name = "prod"`, `psk_file = "prod.psk"`), "endpoints of members are needed"},
		{"bad endpoint", network(`name = "prod"`, `psk_file = "prod.psk"`, `endpoints = ["a"]`), "endpoints: endpoint \"a\""},
		{"bad ipv6", with(`ipv6 = "fd00::"`), "ipv6: \"fd00::\" is not a prefix"},
		{"long ipv6", with(`ipv6 = "fd00::/80"`), "ipv6: IPv6 prefix"},
		{"mtu", with(`mtu = 1279`), "mtu: MTU 1279"},
		{"negative mtu", with(`mtu = -1`), "mtu: MTU -1"},
		{"huge mtu", with(`mtu = 9223372036854775807`), "mtu: MTU"},
		{"ipv4", with(`ipv4 = "10.0.0.0/8"`), `ipv4: "10.0.0.0/8" is not "none"`},
		{"none and pools", with("ipv4 = \"none\"\npools = [\"10.0.0.0/8\"]"), "ipv4: a network without IPv4 has no pools"},
		{"pool", with(`pools = ["10.0.0.0"]`), `pools: "10.0.0.0" is not a prefix`},
		{"overlapping pools", with(`pools = ["10.0.0.0/8", "10.77.0.0/16"]`), "pools: pools 10.0.0.0/8 and 10.77.0.0/16 overlap"},
		{"block bits", with(`block_bits = 15`), "pools: pool 10.77.0.0/16 cannot be cut into blocks of /15"},
		{"exclude", with(`exclude = ["10.78.0.1"]`), "pools: 10.78.0.1, which is excluded, is not in a pool"},
		{"bad exclude", with(`exclude = ["10.77.0.9-10.77.0.1"]`), "pools: \"10.77.0.9-10.77.0.1\" is not FIRST-LAST"},
		{"ipam", with(`ipam = "consul"`), "ipam: it is neither"},
		{"file for raft", with(`ipam_ca = "x"`), "ipam_ca: it is for etcd only"},
		{"certificate without key", with("ipam = \"etcd://e\"\nipam_cert = \"x\""), "ipam: etcd: a certificate and its key"},
		{"file twice", with("ipam = \"etcd://e?ca=a\"\nipam_ca = \"b\""), "ipam_ca: ipam says a file too"},
		{"etcd without IPv4", with("ipv4 = \"none\"\nipam = \"etcd://e\""), "ipam: the network has no IPv4"},
		{"token and pools", network(`token_file = "home.token"`, `pools = ["10.77.0.0/16"]`), "pools, block_bits, exclude and dead_after are the network's"},
		{"token and ipv4", network(`token_file = "etcd.token"`, `ipv4 = "none"`), "pools, block_bits, exclude and dead_after are the network's"},
		{"token without etcd", network(`token_file = "home.token"`, `ipam = "etcd://e"`), "handed out by its members"},
		{"token with etcd, and raft", network(`token_file = "etcd.token"`, `ipam = "raft"`), "handed out by an etcd"},
		{"other keys than the token's", network(`token_file = "etcd.token"`, `ipam = "etcd://e/y"`), `begin with "/x/", not "/y/"`},
		{"bad dhcp", with(`dhcp = "on"`), `dhcp: "on" is not "open"`},
		{"bad egress", with(`egress = "on"`), `egress: "on" is not "nat"`},
		{"bad bridge", with(`bridge = "a/b"`), "bridge: interface name"},
		{"bad advertise", with(`advertise = ["0.0.0.0:1"]`), "advertise: endpoint"},
		{"same network twice", network(prod...) + "\n" + network(prod...), `network "prod" is there twice`},
		{"same bridge twice", with(`bridge = "b"`) + "\n" + network(`token_file = "home.token"`, `bridge = "b"`), `network "home": bridge`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tt.text), base, secrets)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Parse(%s)\nerror = %v, want one that says %q", tt.text, err, tt.says)
			}
		})
	}
}

// "reference.toml lists every key": it parses, and no key is missing.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(strings.NewReader(string(text)), Config{}, secrets)
	if err != nil {
		t.Fatalf("Parse(reference.toml) error = %v", err)
	}
	if len(got.Networks) != 2 {
		t.Errorf("reference.toml has %d networks, want 2", len(got.Networks))
	}
	want := Default()
	want.Name, want.Networks = got.Name, got.Networks
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reference.toml says %+v\nthe defaults are %+v", got, want)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[rawConfig](), reflect.TypeFor[rawNetwork]()} {
		for _, key := range keysOf(typ) {
			if !strings.Contains(string(text), "\n"+key+" = ") && !strings.Contains(string(text), " "+key+" = ") && key != "network" {
				t.Errorf("reference.toml does not have %s", key)
			}
		}
	}
}

// "Relative paths in it start at the file's directory. A file that holds a key or token is refused if every user of the
// host may read it."
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("secret.token", home.String(), 0o640)
	etcd, err := secrets("etcd.token")
	if err != nil {
		t.Fatal(err)
	}
	write("etcd.token", string(etcd), 0o600)
	write("public.token", home.String(), 0o644)
	inline := "[[network]]\ntoken = \"" + home.String() + "\""
	for _, tt := range []struct{ name, path, says string }{
		{"secret elsewhere", write("a", "[[network]]\ntoken_file = \"secret.token\"", 0o644), ""},
		{"secret elsewhere, public", write("b", "[[network]]\ntoken_file = \"public.token\"", 0o600), "every user can read it"},
		{"secret inside", write("c", inline, 0o600), ""},
		{"secret inside, public", write("d", inline, 0o644), "chmod o-r"},
		{"password inside, public", write("g", "[[network]]\ntoken_file = \"etcd.token\"\nipam = \"etcd://u:p@e\"", 0o644), "chmod o-r"},
		{"bad", write("e", "nam = 1", 0o644), "e: line 1: unknown key"},
		{"missing", filepath.Join(dir, "f"), "reading the configuration: open"},
	} {
		c, err := Load(tt.path, base)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Load error = %v, want one that says %q", tt.name, err, tt.says)
		}
		if err == nil && (len(c.Networks) != 1 || c.Networks[0].PSK != home.PSK) {
			t.Errorf("%s: Load = %+v, want network home", tt.name, c)
		}
	}
}

// "Relative paths in it start at the file's directory", those of etcd's certificates too.
func TestLoadResolves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meshd.toml")
	text := "[[network]]\nname = \"prod\"\npsk = \"" + hexPSK + "\"\ncreate = true\nipam = \"etcd://e?ca=ca.pem\"\n" +
		"ipam_cert = \"/c\"\nipam_key = \"k/k\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, base)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if m := c.Networks[0].IPAM; m.CA != dir+"/ca.pem" || m.Cert != "/c" || m.Key != dir+"/k/k" {
		t.Errorf("paths of etcd = %s, %s, %s; want them in %s but for the absolute one", m.CA, m.Cert, m.Key, dir)
	}
}

func TestNodeName(t *testing.T) {
	for hostname, want := range map[string]string{
		"web-1": "web-1", "web-1.example.net": "web-1.example.net", "my host": "my-host", "_x": "x", "": "node", "---": "node",
		"näh": "n-h", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		got := nodeName(hostname)
		if got != want || token.CheckNodeName(got) != nil {
			t.Errorf("nodeName(%q) = %q, want %q", hostname, got, want)
		}
	}
}
