package token

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestCheckPool(t *testing.T) {
	for _, tt := range []struct{ prefix, says string }{
		{"10.0.0.0/8", ""}, {"10.77.0.0/16", ""}, {"192.0.2.8/29", ""}, {"100.64.0.0/10", ""},
		{"10.0.0.0/7", "larger than a /8"}, {"10.0.0.0/30", "smaller than a /29"}, {"10.77.0.1/16", "did you mean 10.77.0.0/16"},
		{"fd00::/16", "not IPv4"}, {"::ffff:10.0.0.0/104", "not IPv4"},
		{"0.0.0.0/8", "this network"}, {"127.0.0.0/8", "loopback"}, {"169.254.8.0/24", "link local"},
		{"224.1.0.0/16", "multicast"}, {"255.255.255.0/24", "reserved"},
	} {
		checkError(t, fmt.Sprintf("CheckPool(%s)", tt.prefix), CheckPool(netip.MustParsePrefix(tt.prefix)), tt.says)
	}
	checkError(t, "CheckPool(none)", CheckPool(netip.Prefix{}), "there is no pool")
}

func TestCheckPools(t *testing.T) {
	pool := func(change func(*Pool)) []Pool {
		p := Pool{Prefix: netip.MustParsePrefix("10.77.0.0/24")}
		change(&p)
		return []Pool{p}
	}
	gateway := func(a string) []Pool { return pool(func(p *Pool) { p.Gateway = netip.MustParseAddr(a) }) }
	exclude := func(e string) []Pool {
		return pool(func(p *Pool) { p.Exclude = []netip.Prefix{netip.MustParsePrefix(e)} })
	}
	bits := func(n int) []Pool { return pool(func(p *Pool) { p.BlockBits = n }) }
	for _, tt := range []struct {
		name  string
		pools []Pool
		says  string
	}{
		{"none", nil, ""}, {"one", bits(0), ""},
		{"largest blocks", bits(24), ""}, {"smallest blocks", bits(31), ""},
		{"blocks larger than the pool", bits(23), "/24 to /31 are possible"}, {"blocks of one", bits(32), "/24 to /31"},
		{"huge blocks", []Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), BlockBits: 19}}, "/20 to /26 are possible"},
		{"too many blocks", []Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), BlockBits: 27}}, "/20 to /26"},
		{"gateway", gateway("10.77.0.9"), ""}, {"gateway elsewhere", gateway("10.78.0.1"), "is not in pool"},
		{"gateway of IPv6", gateway("fd00::1"), "is not in pool"}, {"gateway the network", gateway("10.77.0.0"), "network or broadcast"},
		{"gateway the broadcast", gateway("10.77.0.255"), "network or broadcast"},
		{"exclude", exclude("10.77.0.64/26"), ""}, {"exclude elsewhere", exclude("10.78.0.0/26"), "not a part of it"},
		{"exclude everything", exclude("10.77.0.0/24"), "not a part of it"}, {"exclude more", exclude("10.0.0.0/8"), "not a part of it"},
		{"exclude host bits", exclude("10.77.0.1/26"), "not an IPv4 prefix"}, {"exclude IPv6", exclude("fd00::/64"), "not an IPv4 prefix"},
		{"much excluded", pool(func(p *Pool) { p.Exclude = make([]netip.Prefix, 65) }), "excludes 65 prefixes"},
		{"twice", append(bits(0), bits(25)...), "overlap"}, {"nine", make([]Pool, 9), "9 pools are more than 8"},
	} {
		checkError(t, tt.name, CheckPools(tt.pools), tt.says)
	}
}

// The default is a pool, and the text of a range is read as the same range.
func TestRange(t *testing.T) {
	if err := CheckPool(DefaultPool()); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct{ text, want, prefixes string }{
		{"10.0.0.7", "10.0.0.7", "10.0.0.7/32"}, {"10.0.0.7/32", "10.0.0.7", "10.0.0.7/32"},
		{"10.0.0.0/24", "10.0.0.0/24", "10.0.0.0/24"}, {"10.0.0.0-10.0.0.255", "10.0.0.0/24", "10.0.0.0/24"},
		{"10.0.0.1 - 10.0.0.6", "10.0.0.1-10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32"},
		{"0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"}, {"255.255.255.254-255.255.255.255", "255.255.255.254/31", "255.255.255.254/31"},
		{"0.0.0.0-255.255.255.254", "0.0.0.0-255.255.255.254", ""},
	} {
		r, err := ParseRange(tt.text)
		if err != nil || r.String() != tt.want {
			t.Errorf("ParseRange(%s) = %v, %v, want %s", tt.text, r, err, tt.want)
		}
		prefixes := make([]string, 0, 32)
		for _, p := range r.Prefixes() {
			prefixes = append(prefixes, p.String())
		}
		if got := strings.Join(prefixes, " "); tt.prefixes != "" && got != tt.prefixes {
			t.Errorf("prefixes of %s = %s, want %s", tt.text, got, tt.prefixes)
		}
	}
	for _, bad := range []string{"", "x", "fd00::/64", "fd00::1", "10.0.0.1/24", "10.0.0.2-10.0.0.1", "10.0.0.1-", "-", "10.0.0.1-fd00::1", "10.0.0.0/24-10.0.1.0/24"} {
		if r, err := ParseRange(bad); err == nil {
			t.Errorf("ParseRange(%q) = %v, want an error", bad, r)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"10.0.0.7", "10.0.0.0/24", "10.0.0.1-10.0.0.6", "0.0.0.0/0", "255.255.255.255"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Errorf("ParseRange(%q) = %v, which is read as %v, %v", s, r, again, err)
		}
		next := r.First
		for _, p := range r.Prefixes() {
			if p.Addr() != next {
				t.Fatalf("prefixes of %v = %v: %v is missing", r, r.Prefixes(), next)
			}
			next = lastAddr(p).Next()
		}
		if next != r.Last.Next() {
			t.Errorf("prefixes of %v = %v: they end before %v", r, r.Prefixes(), next)
		}
	})
}

func TestParsePools(t *testing.T) {
	for _, tt := range []struct {
		name, prefixes string
		bits           int
		exclude, want  string
		says           string
	}{
		{name: "nothing", want: "[]"},
		{name: "default with blocks", bits: 28, want: "[{10.77.0.0/16 28 invalid IP []}]"},
		{name: "default without some", exclude: "10.77.0.0/24", want: "[{10.77.0.0/16 0 invalid IP [10.77.0.0/24]}]"},
		{name: "each to its pool", prefixes: "10.1.0.0/16 10.2.0.0/16", exclude: "10.2.0.2-10.2.0.4 10.1.1.1",
			want: "[{10.1.0.0/16 0 invalid IP [10.1.1.1/32]} {10.2.0.0/16 0 invalid IP [10.2.0.2/31 10.2.0.4/32]}]"},
		{name: "no prefix", prefixes: "10.1.0.0", says: "not a prefix such as 10.77.0.0/16"},
		{name: "no range", exclude: "x", says: "neither an IPv4 address"},
		{name: "outside", exclude: "10.1.0.1", says: "10.1.0.1, which is excluded, is not in a pool"},
		{name: "across", exclude: "10.77.255.255-10.78.0.0", says: "is not in a pool"},
		{name: "all of it", exclude: "10.77.0.0/16", says: "not a part of it"},
		{name: "bad blocks", bits: 32, says: "cannot be cut"},
	} {
		pools, err := ParsePools(strings.Fields(tt.prefixes), tt.bits, strings.Fields(tt.exclude))
		checkError(t, tt.name, err, tt.says)
		if got := fmt.Sprint(pools); err == nil && got != tt.want {
			t.Errorf("%s: ParsePools = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseIPAM(t *testing.T) {
	for _, tt := range []struct {
		text string
		want IPAM
		url  string // "": text
	}{
		{"raft", IPAM{}, ""}, {"", IPAM{}, "raft"},
		{"etcd://e", IPAM{Endpoints: []string{"e:2379"}}, "etcd://e:2379"},
		{"etcd://e:1,192.0.2.1,[2001:db8::1],[2001:db8::2]:2/", IPAM{Endpoints: []string{"e:1", "192.0.2.1:2379", "[2001:db8::1]:2379", "[2001:db8::2]:2"}},
			"etcd://e:1,192.0.2.1:2379,[2001:db8::1]:2379,[2001:db8::2]:2"},
		{"etcds://e:1/mesh/home", IPAM{Endpoints: []string{"e:1"}, Prefix: "/mesh/home/", TLS: true}, ""},
		{"etcd://e:1?ca=/ca.pem", IPAM{Endpoints: []string{"e:1"}, TLS: true, CA: "/ca.pem"}, "etcds://e:1?ca=%2Fca.pem"},
		{"etcds://u:p%40%2F@e:1/x?cert=c&key=k%20k", IPAM{Endpoints: []string{"e:1"}, Prefix: "/x/", TLS: true, User: "u", Password: "p@/", Cert: "c", Key: "k k"},
			"etcds://u:p%40%2F@e:1/x?cert=c&key=k+k"},
		{"etcd://u@e:1", IPAM{Endpoints: []string{"e:1"}, User: "u"}, ""},
	} {
		got, err := ParseIPAM(tt.text)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseIPAM(%s) = %+v, %v\nwant %+v", tt.text, got, err, tt.want)
		}
		if tt.url == "" {
			tt.url = tt.text
		}
		if got.URL() != tt.url {
			t.Errorf("URL of %s = %s, want %s", tt.text, got.URL(), tt.url)
		}
	}
}

// "No error shows the password", and neither does String.
func TestParseIPAMErrors(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{"consul://e", "neither"}, {"RAFT", "neither"}, {"http://e:2379", "neither"}, {"raft://", "neither"},
		{"etcd://", "etcd: endpoint"}, {"etcd://e,", "etcd: endpoint"}, {"etcd://e:0", "port"}, {"etcd://e:x", "port"}, {"etcd://e,e", "given twice"},
		{"etcd://a,b,c,d,e,f,g,h,i", "9 endpoints"}, {"etcd://[::]", "nobody can be reached"},
		{"etcd://e/a b", "prefix"}, {"etcd://e/a//b", "prefix"}, {"etcd://e/../b", "prefix"}, {"etcd://e/%2f", "prefix"},
		{"etcd://e?tls=1", `unknown parameter "tls"`}, {"etcd://e?ca=a&ca=b", "twice"}, {"etcd://e?ca=%zz", "parameters after the '?'"},
		{"etcds://e?cert=c", "needed together"}, {"etcds://e?key=k", "needed together"}, {"etcd://e?ca=a%0a", "control character"},
		{"etcd://:hunter2@e", "no user"}, {"etcd://u:hunter2%zz@e", "bad %-escape"}, {"etcd://u:hun/ter2@e", "%2F"}, {"etcd://u:hunter2?@e", "%2F"},
		{"etcd://u:hunter2@e/a b", "prefix"}, {"etcd://u:hunter2@e?x=1", "unknown parameter"},
		{"etcd://e/" + strings.Repeat("k", 600), "more than 512 bytes"}, {"etcd://e/" + strings.Repeat("k", 5000), "at most 4096"},
	} {
		_, err := ParseIPAM(tt.text)
		checkError(t, fmt.Sprintf("ParseIPAM(%.40s)", tt.text), err, tt.says)
		if err != nil && (strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2")) {
			t.Errorf("ParseIPAM error = %v, which shows the password", err)
		}
	}
	if m := (IPAM{Endpoints: []string{"e:1"}, User: "u", Password: "hunter2"}); m.String() != "etcd://u:xxxxx@e:1" || !m.Secret() || m.Public().Secret() {
		t.Errorf("String() = %s, want the password left out", m)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("joined", "ipam", IPAM{Endpoints: []string{"e:1"}, User: "u", Password: "hunter2"})
	if !strings.Contains(log.String(), `"ipam":"etcd://u:xxxxx@e:1"`) {
		t.Errorf("log line = %s, want the password left out", log.String())
	}
	if err := (IPAM{User: "u"}).Check(); err == nil {
		t.Error("raft with a user passes Check")
	}
}

// A host says how it gets into the network's etcd, not into another.
func TestWith(t *testing.T) {
	raft, etcd := IPAM{}, IPAM{Endpoints: []string{"e:1"}, Prefix: "/x/", TLS: true}
	for _, tt := range []struct {
		name     string
		m, local IPAM
		want     string
		says     string
	}{
		{"nothing to say", etcd, IPAM{}, "etcds://e:1/x", ""}, {"raft", raft, raft, "raft", ""},
		{"credentials", etcd, IPAM{Endpoints: []string{"f:2"}, User: "u", Password: "p"}, "etcds://u:p@f:2/x", ""},
		{"the same keys", etcd, IPAM{Endpoints: []string{"e:1"}, Prefix: "/x/"}, "etcds://e:1/x", ""},
		{"other keys", etcd, IPAM{Endpoints: []string{"e:1"}, Prefix: "/y/"}, "", `not "/y/"`},
		{"etcd for raft", raft, etcd, "", "by its members"},
	} {
		got, err := tt.m.With(tt.local)
		checkError(t, tt.name, err, tt.says)
		if err == nil && got.URL() != tt.want {
			t.Errorf("%s: With = %s, want %s", tt.name, got.URL(), tt.want)
		}
	}
}

func FuzzParseIPAM(f *testing.F) {
	for _, s := range []string{"raft", "etcd://e", "etcds://u:p%40@[::1]:1,b/x/y?ca=%2Fa&cert=b&key=c", "etcd://u@e:1?ca=a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseIPAM(s)
		if err != nil {
			return
		}
		again, err := ParseIPAM(m.URL())
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("ParseIPAM(%q) = %+v; its URL %q is read as %+v, %v", s, m, m.URL(), again, err)
		}
		if p := m.Public(); p.URL() != p.String() || p.Check() != nil {
			t.Errorf("Public of %q = %q, %v", s, p, p.Check())
		}
	})
}
