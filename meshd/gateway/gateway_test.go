package gateway

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// "It says which rules let the containers through."
func TestRemedy(t *testing.T) {
	c := Config{Bridge: "mesh0", Device: "mg01020304"}
	for _, test := range []struct {
		family nftables.TableFamily
		table  string
		chain  string
		docker bool
		want   string
	}{
		{nftables.TableFamilyIPv4, "filter", "FORWARD", false, "iptables -I FORWARD -i mg01020304 -j ACCEPT; iptables -I FORWARD -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyIPv4, "filter", "FORWARD", true, "iptables -I DOCKER-USER -i mg01020304 -j ACCEPT; iptables -I DOCKER-USER -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyIPv6, "filter", "FORWARD", true, "ip6tables -I FORWARD -i mg01020304 -j ACCEPT; ip6tables -I FORWARD -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyINet, "filter", "forward", false, `nft insert rule inet filter forward iifname "mg01020304" accept; ` +
			`nft insert rule inet filter forward oifname "mesh0" accept`},
		{nftables.TableFamilyINet, "firewalld", "filter_FORWARD", true, "firewall-cmd --permanent --zone=trusted --add-interface=mg01020304; " +
			"firewall-cmd --permanent --zone=trusted --add-interface=mesh0; firewall-cmd --reload"},
	} {
		ch := &nftables.Chain{Name: test.chain, Table: &nftables.Table{Name: test.table, Family: test.family}}
		if got := remedy(c, ch, test.docker); got != test.want {
			t.Errorf("remedy(%s of family %d, Docker %v) = %s, want %s", test.chain, test.family, test.docker, got, test.want)
		}
	}
}

// A rule that drops or rejects everything is told from those that have conditions.
func TestRefusesAll(t *testing.T) {
	drop := &expr.Verdict{Kind: expr.VerdictDrop}
	for _, test := range []struct {
		name  string
		exprs []expr.Any
		all   bool
	}{
		{"drop", []expr.Any{drop}, true},
		{"log, count, reject", []expr.Any{&expr.Log{}, &expr.Counter{}, &expr.Reject{}}, true},
		{"iptables -j REJECT", []expr.Any{&expr.Match{Name: "comment"}, &expr.Counter{}, &expr.Target{Name: "REJECT"}}, true},
		{"iptables -j LOG", []expr.Any{&expr.Counter{}, &expr.Target{Name: "LOG"}}, false},
		{"iptables -m conntrack -j DROP", []expr.Any{&expr.Match{Name: "conntrack"}, drop}, false},
		{"from an interface", append(in("eth0"), drop), false},
		{"so many a second", []expr.Any{&expr.Limit{}, drop}, false},
		{"accept", []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}, false},
		{"nothing but a counter", []expr.Any{&expr.Counter{}}, false},
	} {
		if got := refusesAll(&nftables.Rule{Exprs: test.exprs}); got != test.all {
			t.Errorf("%s: %v, want %v", test.name, got, test.all)
		}
	}
}

// The rules of another Config, or of other rules, are told from these.
func TestGeneration(t *testing.T) {
	base := Config{Bridge: "mesh0", Device: "mg1", MAC: [6]byte{2}, Links: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}}
	mark := func(all []chain) string {
		g, err := generation(all)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	want := mark(chains(base))
	if again := mark(chains(base)); again != want {
		t.Errorf("of the same: %s, then %s", want, again)
	}
	for name, change := range map[string]func(*Config){
		"bridge":               func(c *Config) { c.Bridge = "mesh1" },
		"device":               func(c *Config) { c.Device = "mg2" },
		"MAC":                  func(c *Config) { c.MAC[5] = 1 },
		"pool":                 func(c *Config) { c.Links = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/17")} },
		"another network":      func(c *Config) { c.OtherBridges = []string{"mesh1"} },
		"another's containers": func(c *Config) { c.OtherLinks = []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")} },
	} {
		c := base
		change(&c)
		if mark(chains(c)) == want {
			t.Errorf("another %s is not told", name)
		}
	}
	all := chains(base)
	all[0].rules = all[0].rules[1:]
	if mark(all) == want {
		t.Error("a missing rule is not told")
	}
}

// A prefix is matched by the bits it has.
func TestFrom(t *testing.T) {
	for _, test := range []struct {
		prefix     string
		offset     uint32
		mask, bits string
	}{
		{"10.77.0.0/16", 12, "\xff\xff\x00\x00", "\x0a\x4d\x00\x00"},
		{"10.77.1.128/25", 12, "\xff\xff\xff\x80", "\x0a\x4d\x01\x80"},
		{"fd00:1::/64", 8, strings.Repeat("\xff", 8) + strings.Repeat("\x00", 8), "\xfd\x00\x00\x01" + strings.Repeat("\x00", 12)},
	} {
		rule := from(netip.MustParsePrefix(test.prefix))
		load, mask, cmp := rule[2].(*expr.Payload), rule[3].(*expr.Bitwise), rule[4].(*expr.Cmp)
		if load.Offset != test.offset || int(load.Len) != len(test.bits) || string(mask.Mask) != test.mask || string(cmp.Data) != test.bits {
			t.Errorf("%s: %d bytes from %d, mask %x, compared with %x", test.prefix, load.Len, load.Offset, mask.Mask, cmp.Data)
		}
	}
}

func TestWithoutIPv6(t *testing.T) {
	a4, a6, p4, p6 := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("fd00::/64")
	c := Config{Addrs: []netip.Addr{a6, a4}, Own: []netip.Addr{a6}, Links: []netip.Prefix{p6, p4}}
	got := c.withoutIPv6()
	if len(got.Addrs) != 1 || got.Addrs[0] != a4 || len(got.Own) != 0 || len(got.Links) != 1 || got.Links[0] != p4 || c.Addrs[0] != a6 || c.Links[0] != p6 {
		t.Errorf("withoutIPv6() = %+v of %+v", got, c)
	}
}
