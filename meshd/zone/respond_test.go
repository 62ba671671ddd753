package zone

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// What is no question that can be answered gets a header at most, or nothing.
func TestRefusals(t *testing.T) {
	z := example()
	ordinary := func(change func(m *dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion("web.prod.mesh.", dns.TypeA)
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	question := ordinary(func(*dns.Msg) {})
	for _, test := range []struct {
		name    string
		request []byte
		outcome Outcome
		rcode   int
	}{
		{"nothing", nil, Dropped, 0},
		{"less than a header", question[:11], Dropped, 0},
		{"an answer", ordinary(func(m *dns.Msg) { m.Response = true }), Dropped, 0},
		{"a header", append(append([]byte{}, question[:4]...), make([]byte, 8)...), Malformed, dns.RcodeFormatError},
		{"a cut question", question[:20], Malformed, dns.RcodeFormatError},
		{"two questions", ordinary(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), Malformed, dns.RcodeFormatError},
		{"two OPT", ordinary(func(m *dns.Msg) { m.SetEdns0(1232, false).SetEdns0(1232, false) }), Malformed, dns.RcodeFormatError},
		{"a pointer to itself", append(append([]byte{}, question[:12]...), 0xc0, 12, 0, 1, 0, 1), Malformed, dns.RcodeFormatError},
		{"an update", ordinary(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), Refused, dns.RcodeNotImplemented},
		{"a notification", ordinary(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), Refused, dns.RcodeNotImplemented},
		{"class CH", ordinary(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), Refused, dns.RcodeRefused},
		{"a transfer", ordinary(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }), Refused, dns.RcodeRefused},
		{"EDNS of another version", ordinary(func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }), Refused, dns.RcodeBadVers},
		{"elsewhere, without recursion", ordinary(func(m *dns.Msg) { m.Question[0].Name, m.RecursionDesired = "example.com.", false }), Refused, dns.RcodeRefused},
	} {
		r := z.Respond(test.request, false)
		m := new(dns.Msg)
		if r.Outcome != test.outcome || (r.Reply == nil) != (test.outcome == Dropped) {
			t.Errorf("%s: outcome %d, reply %x, want outcome %d", test.name, r.Outcome, r.Reply, test.outcome)
		} else if test.outcome != Dropped && (m.Unpack(r.Reply) != nil || m.Rcode != test.rcode || !m.Response || len(m.Answer) > 0) {
			t.Errorf("%s: reply %v, want %s", test.name, m, dns.RcodeToString[test.rcode])
		}
	}
}

// "answers not larger than 512 bytes over UDP without EDNS, 1232 with"
func TestReplySizes(t *testing.T) {
	var entries []Entry
	for i := range 2000 {
		a := netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
		entries = append(entries, Entry{Container: "many", Host: fmt.Sprint("h", i), Addrs: []netip.Addr{a}, Up: true})
	}
	z := New(Config{Domain: "prod.mesh"}, entries)
	for _, test := range []struct {
		edns uint16
		tcp  bool
		want int // the limit
	}{
		{0, false, 512}, {100, false, 512}, {512, false, 512}, {800, false, 800}, {1232, false, 1232}, {65535, false, 1232},
		{0, true, 65535}, {512, true, 65535},
	} {
		q := new(dns.Msg).SetQuestion("many.prod.mesh.", dns.TypeA)
		if test.edns != 0 {
			q.SetEdns0(test.edns, true)
		}
		b, _ := q.Pack()
		r := z.Respond(b, test.tcp)
		m := new(dns.Msg)
		if err := m.Unpack(r.Reply); err != nil {
			t.Fatal(err)
		}
		if len(r.Reply) > test.want || m.Truncated == test.tcp || test.tcp && len(m.Answer) != 2000 || !test.tcp && len(m.Answer) < 20 {
			t.Errorf("EDNS %d, TCP %v: %d bytes, %d answers, truncated %v; want %d bytes at most", test.edns, test.tcp, len(r.Reply), len(m.Answer), m.Truncated, test.want)
		}
		opt := m.IsEdns0()
		if (opt != nil) != (test.edns != 0) || opt != nil && (opt.UDPSize() != MaxUDP || !opt.Do()) {
			t.Errorf("EDNS %d: OPT %v", test.edns, opt)
		}
	}
}

func FuzzRespond(f *testing.F) {
	for _, name := range []string{"web.prod.mesh.", "prod.mesh.", "x.prod.mesh.", "5.0.77.10.in-addr.arpa.", "example.com.", "."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeAXFR, dns.TypeSOA} {
			b, _ := new(dns.Msg).SetQuestion(name, kind).SetEdns0(4096, true).Pack()
			f.Add(b, true)
			b, _ = new(dns.Msg).SetQuestion(name, kind).Pack()
			f.Add(b, false)
		}
	}
	z := example()
	f.Fuzz(func(t *testing.T, request []byte, tcp bool) {
		r := z.Respond(request, tcp)
		if (r.Query != nil) != (r.Outcome == Forward) || (r.Reply == nil) != (r.Outcome == Forward || r.Outcome == Dropped) {
			t.Fatalf("outcome %d, reply %x, query %v", r.Outcome, r.Reply, r.Query)
		}
		if r.Query != nil {
			if b := Failure(r.Query); len(b) > 512 {
				t.Fatalf("a failure of %d bytes", len(b))
			}
			return
		}
		if r.Reply == nil {
			return
		}
		q, m := new(dns.Msg), new(dns.Msg)
		if err := m.Unpack(r.Reply); err != nil || !m.Response || r.Reply[0] != request[0] || r.Reply[1] != request[1] {
			t.Fatalf("reply %x: %v", r.Reply, err)
		}
		limit := 512
		if q.Unpack(request) == nil {
			limit = Limit(q, tcp)
		}
		if !tcp && len(r.Reply) > min(limit, MaxUDP) {
			t.Fatalf("%d bytes, limit %d", len(r.Reply), limit)
		}
	})
}
