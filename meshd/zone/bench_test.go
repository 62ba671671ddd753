package zone

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// entriesOf returns n containers on a hundred hosts.
func entriesOf(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b := netip.MustParseAddr("fd00:1::").As16()
		b[13], b[14], b[15] = byte(i>>16), byte(i>>8), byte(i)
		entries[i] = Entry{Container: fmt.Sprint("c", i), Host: fmt.Sprint("h", i%100), Addrs: []netip.Addr{a, netip.AddrFrom16(b)}, Up: true}
	}
	return entries
}

func BenchmarkRespond(b *testing.B) {
	z := New(Config{Domain: "prod.mesh", Prefixes: prefixes("10.0.0.0/8", "fd00:1::/64")}, entriesOf(10000))
	request, _ := new(dns.Msg).SetQuestion("c77.prod.mesh.", dns.TypeA).Pack()
	b.ReportAllocs()
	for b.Loop() {
		if z.Respond(request, false).Outcome != Answered {
			b.Fatal("not answered")
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{100, 10000} {
		entries := entriesOf(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				New(Config{Domain: "prod.mesh", Prefixes: prefixes("10.0.0.0/8", "fd00:1::/64")}, entries)
			}
		})
	}
}
