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
		chain  string
		docker bool
		want   string
	}{
		{nftables.TableFamilyIPv4, "FORWARD", false, "iptables -I FORWARD -i mg01020304 -j ACCEPT; iptables -I FORWARD -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyIPv4, "FORWARD", true, "iptables -I DOCKER-USER -i mg01020304 -j ACCEPT; iptables -I DOCKER-USER -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyIPv6, "FORWARD", true, "ip6tables -I FORWARD -i mg01020304 -j ACCEPT; ip6tables -I FORWARD -o mesh0 -j ACCEPT"},
		{nftables.TableFamilyINet, "forward", false, `nft insert rule inet filter forward iifname { "mg01020304", "mesh0" } accept; ` +
			`nft insert rule inet filter forward oifname "mesh0" accept`},
	} {
		ch := &nftables.Chain{Name: test.chain, Table: &nftables.Table{Name: "filter", Family: test.family}}
		if got := remedy(c, ch, test.docker); got != test.want {
			t.Errorf("remedy(%s of family %d, Docker %v) = %s, want %s", test.chain, test.family, test.docker, got, test.want)
		}
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
