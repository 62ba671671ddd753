package token

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{"a", ""}, {"7", ""}, {"home", ""}, {"a-b--c", ""}, {strings.Repeat("x", 32), ""},
		{"", "empty"},
		{strings.Repeat("x", 33), "33 characters"},
		{"-a", "begins or ends"}, {"a-", "begins or ends"}, {"-", "begins or ends"},
		{"Home", "capital letter 'H'"},
		{"a.b", "character '.'"}, {"a b", "character ' '"}, {"a/b", "character '/'"}, {"..", "character '.'"},
		{"näh", "character 'ä'"}, {"a\n", `character '\n'`},
	} {
		checkError(t, fmt.Sprintf("CheckName(%q)", tt.name), CheckName(tt.name), tt.says)
	}
}

func TestCheckEndpoint(t *testing.T) {
	for _, tt := range []struct{ endpoint, says string }{
		{"192.0.2.1:7000", ""}, {"[2001:db8::1]:7000", ""}, {"[fe80::1%eth0]:1", ""}, {"a.example.net:65535", ""},
		{"a.example.net.:1", ""}, {"host_1:1", ""}, {"3com.example:7000", ""}, {"localhost:7000", ""},
		{"", "not HOST:PORT"}, {"192.0.2.1", "write 192.0.2.1:7000"}, {"2001:db8::1", "write [2001:db8::1]:7000"},
		{"a.example.net", "not HOST:PORT"}, {"a:b:c", "not HOST:PORT"},
		{"a:0", "port"}, {"a:65536", "port"}, {"a:-1", "port"}, {"a:http", "port"}, {"a:", "port"}, {"a:+1", "port"},
		{":7000", "neither an IP address nor a DNS name"}, {"0.0.0.0:7000", "nobody can be reached"},
		{"[::]:7000", "nobody can be reached"}, {"[ff02::1]:7000", "nobody can be reached"},
		{"300.1.2.3:7000", "neither"}, {"1.2.3:7000", "neither"}, {"a..b:1", "neither"}, {"-a:1", "neither"},
		{"a b:1", "neither"}, {"a\x1b:1", "neither"}, {"ä:1", "neither"}, {strings.Repeat("a", 64) + ":1", "neither"},
		{strings.Repeat("a.", 127) + ":7000", "at most 255"},
	} {
		checkError(t, fmt.Sprintf("CheckEndpoint(%q)", tt.endpoint), CheckEndpoint(tt.endpoint), tt.says)
	}
}

func TestCheckEndpoints(t *testing.T) {
	for _, tt := range []struct{ endpoints, says string }{
		{"", ""}, {"a:1 a:2 b:1", ""}, {"a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1", ""},
		{"a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1", "9 endpoints"},
		{"a:1 b:1 a:1", `"a:1" is given twice`},
		{"a:1 b", "not HOST:PORT"},
	} {
		checkError(t, fmt.Sprintf("CheckEndpoints(%s)", tt.endpoints), CheckEndpoints(strings.Fields(tt.endpoints)), tt.says)
	}
}

func TestCheckIPv6(t *testing.T) {
	for _, tt := range []struct{ prefix, says string }{
		{"fd12:3456:789a::/48", ""}, {"2001:db8::/48", ""}, {"2001:db8::/32", "48 to 64"}, {"2001:db8:0:1::/64", ""},
		{"2000::/31", "31 bits"}, {"fd00::/65", "65 bits"}, {"fd00::1/64", "did you mean fd00::/64"},
		{"10.0.0.0/8", "not an IPv6 prefix"}, {"::ffff:10.0.0.0/104", "not an IPv6 prefix"},
		{"ff00::/48", "not a unicast"}, {"fe80::/64", "not a unicast"}, {"::/64", "not a unicast"},
	} {
		checkError(t, fmt.Sprintf("CheckIPv6(%s)", tt.prefix), CheckIPv6(netip.MustParsePrefix(tt.prefix)), tt.says)
	}
	checkError(t, "CheckIPv6(none)", CheckIPv6(netip.Prefix{}), "no IPv6 prefix")
}

func TestCheckMTU(t *testing.T) {
	for mtu, says := range map[int]string{1280: "", 1500: "", 9216: "", 1279: "not between", 9217: "not between", 0: "not", -1: "not"} {
		checkError(t, fmt.Sprintf("CheckMTU(%d)", mtu), CheckMTU(mtu), says)
	}
}

// checkError reports an error that does not say what it should; says == "" means none is wanted.
func checkError(t *testing.T, call string, err error, says string) {
	t.Helper()
	if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%s error = %v, want one that says %q", call, err, says)
	}
}

func TestCheckNodeName(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{"a", ""}, {"Web-1.example_net", ""}, {strings.Repeat("x", 64), ""},
		{"", "0 bytes"}, {strings.Repeat("x", 65), "65 bytes"}, {"-a", "character '-'"}, {".a", "character '.'"},
		{"a b", "character ' '"}, {"a\x1b", `character '\x1b'`}, {"ä", "character"},
	} {
		checkError(t, fmt.Sprintf("CheckNodeName(%q)", tt.name), CheckNodeName(tt.name), tt.says)
	}
}

// dev_valid_name, net/core/dev.c.
func TestCheckIfName(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{"eth0", ""}, {"a", ""}, {"mesh0.100", ""}, {"123456789012345", ""}, {"...", ""}, {"br@x", ""},
		{"", "empty"}, {"1234567890123456", "16 characters"}, {".", "not an interface name"}, {"..", "not an interface name"},
		{"a/b", "character '/'"}, {"a:b", "character ':'"}, {"a b", "character ' '"}, {"a\n", `character '\n'`}, {"\x80", "character"},
		{"b%d", "character '%'"}, {"all", "for itself"}, {"default", "for itself"}, {"alle", ""},
	} {
		checkError(t, fmt.Sprintf("CheckIfName(%q)", tt.name), CheckIfName(tt.name), tt.says)
	}
}
