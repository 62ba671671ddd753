package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// example is a network of the hosts a, b and c, seen from a; c is down.
func example() *Zone {
	return New(Config{
		Domain: "prod.mesh", Servers: addrs("fd00:1::1", "10.77.0.1"), Prefixes: prefixes("10.77.0.0/16", "10.96.0.0/13", "10.9.9.0/25", "fd00:1::/64"), Serial: 7,
	}, []Entry{
		{Container: "web", Host: "b", Addrs: addrs("10.77.0.66", "fd00:1::66"), Up: true},
		{Container: "web", Host: "a", Addrs: addrs("10.77.0.5", "fd00:1::5"), Local: true, Up: true, Aliases: []string{"www", "db"}},
		{Container: "DB", Host: "b", Addrs: addrs("10.77.0.67", "fd00:1::67"), Up: true},
		{Container: "cache", Host: "c", Addrs: addrs("10.77.0.130"), Aliases: []string{"front"}},
		{Container: "cache", Host: "a", Addrs: addrs("10.77.0.6"), Local: true, Up: true},
		{Container: "cold", Host: "c", Addrs: addrs("10.77.0.131", "10.9.9.7", "10.97.3.4")},
		{Container: "b", Host: "a", Addrs: addrs("10.77.0.7"), Local: true, Up: true},
		{Container: "odd.one", Host: "a", Addrs: addrs("10.77.0.8"), Local: true, Up: true},
		{Container: "odd-one", Host: "b", Addrs: addrs("10.77.0.68"), Up: true},
		{Container: "+++", Host: "a", Addrs: addrs("10.77.0.9"), Local: true, Up: true},
		{Container: strings.Repeat("0123abcd", 8), Host: "a", Addrs: addrs("fd00:1::a"), Local: true, Up: true},
		{Host: "a", Addrs: addrs("10.77.0.2", "fd00:1::2"), Local: true, Up: true},
		{Host: "b", Addrs: addrs("10.77.0.65"), Up: true},
		{Container: "solo", Host: "far.example.com", Addrs: addrs("10.77.0.200"), Up: true},
	})
}

// ask returns the reply to one question.
func ask(t *testing.T, z *Zone, name string, kind uint16) (*dns.Msg, Outcome) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, kind)
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := z.Respond(b, false)
	m := new(dns.Msg)
	if r.Outcome == Forward {
		return m, Forward
	}
	if err := m.Unpack(r.Reply); err != nil || m.Id != q.Id || !m.Response || m.Question[0] != q.Question[0] {
		t.Fatalf("%s: reply %v (%v) to %v", name, m, err, q)
	}
	return m, r.Outcome
}

// values returns what the answers of a reply say.
func values(m *dns.Msg) string {
	var all []string
	for _, r := range m.Answer {
		switch r := r.(type) {
		case *dns.A:
			all = append(all, r.A.String())
		case *dns.AAAA:
			all = append(all, r.AAAA.String())
		case *dns.PTR:
			all = append(all, r.Ptr)
		default:
			all = append(all, dns.TypeToString[r.Header().Rrtype])
		}
		if r.Header().Ttl != TTL {
			all = append(all, fmt.Sprintf("TTL %d", r.Header().Ttl))
		}
	}
	return strings.Join(all, " ")
}

func TestAnswers(t *testing.T) {
	z := example()
	const a, aaaa, ptr = dns.TypeA, dns.TypeAAAA, dns.TypePTR
	for _, test := range []struct {
		name    string
		kind    uint16
		outcome Outcome
		want    string // the answers; or, without, the zone of the SOA
	}{
		// "names of several containers with one name: all addresses", this host's first
		{"web.prod.mesh.", a, Answered, "10.77.0.5 10.77.0.66"},
		{"web.prod.mesh.", aaaa, Answered, "fd00:1::5 fd00:1::66"},
		{"WEB.Prod.mesh.", a, Answered, "10.77.0.5 10.77.0.66"},
		{"web.b.prod.mesh.", a, Answered, "10.77.0.66"},
		{"web.prod.mesh.", dns.TypeANY, Answered, "10.77.0.5 fd00:1::5 10.77.0.66 fd00:1::66"},
		{"web.prod.mesh.", dns.TypeMX, Empty, "prod.mesh."},
		{"web.c.prod.mesh.", a, Unknown, "prod.mesh."},
		{"x.web.a.prod.mesh.", a, Unknown, "prod.mesh."},
		{"nobody.prod.mesh.", a, Unknown, "prod.mesh."},
		// aliases; a container that is called so is not joined by those with the alias
		{"www.prod.mesh.", a, Answered, "10.77.0.5"},
		{"www.a.prod.mesh.", a, Answered, "10.77.0.5"},
		{"db.prod.mesh.", a, Answered, "10.77.0.67"},
		{"db.a.prod.mesh.", a, Answered, "10.77.0.5"},
		// hosts that are down
		{"cache.prod.mesh.", a, Answered, "10.77.0.6"},
		{"cache.c.prod.mesh.", a, Answered, "10.77.0.130"},
		{"front.prod.mesh.", a, Answered, "10.77.0.130"},
		{"cold.prod.mesh.", aaaa, Empty, "prod.mesh."},
		// hosts themselves
		{"a.prod.mesh.", a, Answered, "10.77.0.2"},
		{"b.prod.mesh.", a, Answered, "10.77.0.7"},
		{"c.prod.mesh.", a, Empty, "prod.mesh."},
		{"solo.far-example-com.prod.mesh.", a, Answered, "10.77.0.200"},
		// names that are no labels
		{"odd-one.prod.mesh.", a, Answered, "10.77.0.68"},
		{"odd-one.a.prod.mesh.", a, Answered, "10.77.0.8"},
		{"0123abcd0123.prod.mesh.", aaaa, Answered, "fd00:1::a"},
		{`odd\.one.prod.mesh.`, a, Unknown, "prod.mesh."},
		// the top
		{"prod.mesh.", a, Answered, "10.77.0.1"},
		{"prod.mesh.", dns.TypeSOA, Answered, "SOA"},
		{"prod.mesh.", dns.TypeNS, Answered, "NS"},
		{"prod.mesh.", dns.TypeTXT, Empty, "prod.mesh."},
		// addresses
		{"5.0.77.10.in-addr.arpa.", ptr, Answered, "web.a.prod.mesh."},
		{"67.0.77.10.in-addr.arpa.", ptr, Answered, "db.prod.mesh."},
		{"67.0.77.10.IN-ADDR.ARPA.", ptr, Answered, "db.prod.mesh."},
		{"8.0.77.10.in-addr.arpa.", ptr, Answered, "odd-one.a.prod.mesh."},
		{"68.0.77.10.in-addr.arpa.", ptr, Answered, "odd-one.prod.mesh."},
		{"2.0.77.10.in-addr.arpa.", ptr, Answered, "a.prod.mesh."},
		{"65.0.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."}, // b is a container's name
		{"1.0.77.10.in-addr.arpa.", ptr, Answered, "prod.mesh."},
		{"67.0.77.10.in-addr.arpa.", a, Empty, "77.10.in-addr.arpa."},
		{"0.77.10.in-addr.arpa.", ptr, Empty, "77.10.in-addr.arpa."},
		{"1.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."},
		{"9.0.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."},
		{"09.0.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."},
		{"256.0.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."},
		{"lb._dns-sd._udp.0.0.77.10.in-addr.arpa.", ptr, Unknown, "77.10.in-addr.arpa."},
		{"77.10.in-addr.arpa.", dns.TypeNS, Answered, "NS"},
		{"4.3.97.10.in-addr.arpa.", ptr, Answered, "cold.prod.mesh."},
		{"4.3.103.10.in-addr.arpa.", ptr, Unknown, "103.10.in-addr.arpa."},
		{"4.3.104.10.in-addr.arpa.", ptr, Forward, ""},
		{"7.9.9.10.in-addr.arpa.", ptr, Answered, "cold.prod.mesh."},
		{"8.9.9.10.in-addr.arpa.", ptr, Empty, "8.9.9.10.in-addr.arpa."},
		{"128.9.9.10.in-addr.arpa.", ptr, Forward, ""},
		{"7.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", ptr, Answered, "db.prod.mesh."},
		{"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", ptr, Empty, "0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa."},
		{"f.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", ptr, Unknown, "0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa."},
		// everything else
		{"www.example.com.", a, Forward, ""},
		{"web.other.mesh.", a, Forward, ""},
		{"notprod.mesh.", a, Forward, ""},
		{".", dns.TypeNS, Forward, ""},
	} {
		m, outcome := ask(t, z, test.name, test.kind)
		got := values(m)
		if outcome == Empty || outcome == Unknown {
			soa, ok := m.Ns[0].(*dns.SOA)
			if !ok || soa.Hdr.Ttl != TTL || soa.Minttl != TTL || soa.Serial != 7 || len(m.Answer) > 0 || (m.Rcode == dns.RcodeNameError) != (outcome == Unknown) {
				t.Errorf("%s: reply\n%v", test.name, m)
				continue
			}
			got = soa.Hdr.Name
		}
		if outcome != test.outcome || got != test.want || outcome != Forward && (!m.Authoritative || !m.RecursionAvailable) {
			t.Errorf("%s %s = %d, %q, want %d, %q", test.name, dns.TypeToString[test.kind], outcome, got, test.outcome, test.want)
		}
	}
}

// "container names that are no DNS labels are mapped sensibly or left out"
func TestLabel(t *testing.T) {
	for _, test := range []struct {
		name, want string
		exact      bool
	}{
		{"web", "web", true}, {"Web-1", "web-1", true}, {"web_1", "web_1", true}, {"web.1", "web-1", false}, {"a+=b", "a-b", false},
		{"web.", "web", false}, {"...", "", false}, {"", "", true}, {"k8s:pod@1", "k8s-pod-1", false}, {"web-", "web", false},
		{strings.Repeat("a", 63), strings.Repeat("a", 63), true},
		{strings.Repeat("x", 64), "", false},
		{strings.Repeat("ab12", 16), "ab12ab12ab12", false},
	} {
		if got, exact := Label(test.name); got != test.want || exact != test.exact {
			t.Errorf("Label(%q) = %q, %v, want %q, %v", test.name, got, exact, test.want, test.exact)
		}
	}
}

func TestRecords(t *testing.T) {
	z := New(Config{Domain: "p.mesh"}, []Entry{
		{Container: "web", Host: "a", Addrs: addrs("10.77.0.5"), Aliases: []string{"www"}, Local: true, Up: true},
		{Host: "a", Addrs: addrs("10.77.0.2"), Up: true},
	})
	want := []Record{
		{Name: "a.p.mesh", Addr: addrs("10.77.0.2")[0], Host: "a"},
		{Name: "web.a.p.mesh", Addr: addrs("10.77.0.5")[0], Container: "web", Host: "a", Local: true},
		{Name: "web.p.mesh", Addr: addrs("10.77.0.5")[0], Container: "web", Host: "a", Local: true},
		{Name: "www.a.p.mesh", Addr: addrs("10.77.0.5")[0], Container: "web", Host: "a", Alias: true, Local: true},
		{Name: "www.p.mesh", Addr: addrs("10.77.0.5")[0], Container: "web", Host: "a", Alias: true, Local: true},
	}
	if got := z.Records(); !slices.Equal(got, want) {
		t.Errorf("Records() = %v\nwant %v", got, want)
	}
}
