package lxcconf

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfiguredIPv4(t *testing.T) {
	const veth = "lxc.net.0.type = veth\n"
	rows := []struct {
		name   string
		config string
		want   string // "" for none
	}{
		{"nothing", "", ""},
		{"no address", veth + "lxc.net.0.name = eth0\n", ""},
		{"by name", veth + "lxc.net.0.name = eth0\nlxc.net.0.ipv4.address = 10.77.0.9/16\n", "10.77.0.9/16"},
		{"the order of keys does not matter", "lxc.net.0.ipv4.address=10.77.0.9/16\nlxc.net.0.name=eth0\n" + veth, "10.77.0.9/16"},
		{"without a name", veth + "lxc.net.0.ipv4.address = 10.77.0.9/16", "10.77.0.9/16"},
		{"of another type", "lxc.net.0.type = empty\nlxc.net.0.ipv4.address = 10.77.0.9/16\n", ""},
		{"with its broadcast address", veth + "lxc.net.0.ipv4.address = 10.77.0.9/16 10.77.255.255\n", "10.77.0.9/16"},
		{"without a length: class A", veth + "lxc.net.0.ipv4.address = 10.77.0.9\n", "10.77.0.9/8"},
		{"without a length: class B", veth + "lxc.net.0.ipv4.address = 172.16.0.9\n", "172.16.0.9/16"},
		{"without a length: class C", veth + "lxc.net.0.ipv4.address = 192.168.0.9\n", "192.168.0.9/24"},
		{"the first of two", veth + "lxc.net.0.ipv4.address = 10.77.0.9/16\nlxc.net.0.ipv4.address = 192.0.2.1/24\n", "10.77.0.9/16"},
		{"taken back", veth + "lxc.net.0.ipv4.address = 10.77.0.9/16\nlxc.net.0.ipv4.address =\n", ""},
		{"all taken back", veth + "lxc.net.0.ipv4.address = 10.77.0.9/16\nlxc.net =\n", ""},
		{"the second interface, by name", veth + "lxc.net.0.name = lan0\nlxc.net.0.ipv4.address = 192.0.2.1/24\n" +
			"lxc.net.1.type = veth\nlxc.net.1.name = eth0\nlxc.net.1.ipv4.address = 10.77.0.9/16\n", "10.77.0.9/16"},
		{"another name", veth + "lxc.net.0.name = lan0\nlxc.net.0.ipv4.address = 192.0.2.1/24\n", ""},
		{"two without a name", veth + "lxc.net.0.ipv4.address = 192.0.2.1/24\nlxc.net.1.type = veth\n", ""},
		{"a comment", veth + "# lxc.net.0.ipv4.address = 10.77.0.9/16\n", ""},
		{"quotation marks", "lxc.net.0.type = 'veth'\nlxc.net.0.ipv4.address = \"10.77.0.9/16\"\n", "10.77.0.9/16"},
		{"spaces", "  lxc.net.0.type =veth  \n\tlxc.net.0.ipv4.address  =  10.77.0.9/16\r\n", "10.77.0.9/16"},
		{"IPv6 does not count", veth + "lxc.net.0.ipv4.address = fd00::1/64\n", ""},
		{"nonsense", veth + "lxc.net.0.ipv4.address = web\nlxc.net.x.type = veth\nlxc.net.-1.type = veth\nlxc.net.0\n=\n", ""},
	}
	for _, row := range rows {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(row.config), 0o600); err != nil {
			t.Fatal(err)
		}
		want := netip.Prefix{}
		if row.want != "" {
			want = netip.MustParsePrefix(row.want)
		}
		if got := ConfiguredIPv4(path, "eth0"); got != want {
			t.Errorf("%s: ConfiguredIPv4 = %v, want %v", row.name, got, want)
		}
	}
	for _, path := range []string{"", "/nonexistent/config", t.TempDir()} {
		if got := ConfiguredIPv4(path, "eth0"); got.IsValid() {
			t.Errorf("ConfiguredIPv4(%q) = %v, want none", path, got)
		}
	}
}

// Whatever is in the file, what is found is an IPv4 address or none.
func FuzzParse(f *testing.F) {
	f.Add("lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.77.0.9/16 10.77.255.255\n")
	f.Add("lxc.net.0.ipv4.address = 10.77.0.9\nlxc.net =\nlxc.net.1.name='eth0'")
	f.Fuzz(func(t *testing.T, text string) {
		for i, n := range Parse(strings.NewReader(text)) {
			if i < 0 || n.IPv4 != (netip.Prefix{}) && (!n.IPv4.IsValid() || !n.IPv4.Addr().Is4()) {
				t.Errorf("Parse(%q) has %d: %+v", text, i, n)
			}
		}
	})
}
