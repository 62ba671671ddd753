package nameserver

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meshnet/meshd/zone"
)

// upstream is a server that others ask; how it answers is the test's.
type upstream struct {
	addr  netip.AddrPort
	asked atomic.Int64
}

// newUpstream serves on a loopback address, over UDP and TCP; port 0 is any.
func newUpstream(t *testing.T, addr string, port uint16, handle dns.HandlerFunc) *upstream {
	t.Helper()
	u := new(upstream)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), port)))
	if err != nil {
		t.Fatal(err)
	}
	u.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	l, err := net.Listen("tcp", u.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	count := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		u.asked.Add(1)
		handle(w, m)
	})
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: count}, {Listener: l, Handler: count}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return u
}

// says answers every question with one address.
func says(addr string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}}
		if opt := q.IsEdns0(); opt != nil {
			m.Extra = append(m.Extra, opt)
		}
		_ = w.WriteMsg(m)
	}
}

// fails answers every question with an rcode.
func fails(rcode int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) }
}

// silent answers nothing.
func silent(dns.ResponseWriter, *dns.Msg) {}

// served is a Server that runs, and how to ask it.
type served struct {
	*Server
	file string
	addr string
}

// serve runs a server for clients on loopback that asks resolvers at a port.
func serve(t *testing.T, port uint16, resolvers ...string) *served {
	t.Helper()
	return serveClients(t, netip.Addr.IsLoopback, port, resolvers...)
}

// serveClients runs a server for certain clients.
func serveClients(t *testing.T, client func(netip.Addr) bool, port uint16, resolvers ...string) *served {
	t.Helper()
	s := &served{file: filepath.Join(t.TempDir(), "resolv.conf")}
	s.write(t, resolvers...)
	z := zone.New(zone.Config{Domain: "prod.mesh"}, []zone.Entry{{Container: "web", Host: "a", Addrs: []netip.Addr{netip.MustParseAddr("10.77.0.5")}, Up: true}})
	s.Server = New(Config{
		Zone: func() *zone.Zone { return z }, Client: client, Resolvers: s.file,
		Own: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.99") },
	})
	s.forward.resolvers.port = port
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	s.addr = udp.LocalAddr().String()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(udp.LocalAddr().(*net.UDPAddr).AddrPort()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []*net.UDPConn{udp}, []*net.TCPListener{tcp}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func (s *served) write(t *testing.T, resolvers ...string) {
	t.Helper()
	text := "search example.com\n"
	for _, r := range resolvers {
		text += "nameserver " + r + "\n"
	}
	if err := os.WriteFile(s.file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		t.Fatal(err)
	}
}

// ask asks one question, over a network, "udp" or "tcp".
func (s *served) ask(t *testing.T, network, name string, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	if change != nil {
		change(q)
	}
	m, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).Exchange(q, s.addr)
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	if m.Question[0].Name != name {
		t.Errorf("%s: the reply is about %s", name, m.Question[0].Name)
	}
	return m
}

// text returns what matters of a reply.
func text(m *dns.Msg) string {
	all := []string{dns.RcodeToString[m.Rcode]}
	for _, r := range m.Answer {
		all = append(all, r.(*dns.A).A.String())
	}
	return strings.Join(all, " ")
}

func TestServer(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "127.0.0.1", 0, says("192.0.2.1"))
	s := serve(t, u.addr.Port(), "127.0.0.1")
	for _, network := range []string{"udp", "tcp"} {
		for name, want := range map[string]string{
			"web.prod.mesh.": "NOERROR 10.77.0.5", "no.prod.mesh.": "NXDOMAIN", "example.com.": "NOERROR 192.0.2.1", "EXAMPLE.com.": "NOERROR 192.0.2.1",
		} {
			if got := text(s.ask(t, network, name, nil)); got != want {
				t.Errorf("%s over %s = %s, want %s", name, network, got, want)
			}
		}
	}
	c := s.Counters()
	if c["answered"] != 2 || c["unknown"] != 2 || c["forwarded"] != 4 || c["failed"] != 0 || u.asked.Load() != 4 {
		t.Errorf("counters %v, asked %d times", c, u.asked.Load())
	}
}

// "several servers": who is silent or cannot answer is passed over, and not asked first again.
func TestSeveralResolvers(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]dns.HandlerFunc{"silent": silent, "SERVFAIL": fails(dns.RcodeServerFailure), "REFUSED": fails(dns.RcodeRefused)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, "127.0.0.1", 0, first)
			newUpstream(t, "127.0.0.2", u.addr.Port(), says("192.0.2.2"))
			s := serve(t, u.addr.Port(), "127.0.0.99", "127.0.0.1", "127.0.0.2")
			for range 3 {
				if got := text(s.ask(t, "udp", "example.com.", nil)); got != "NOERROR 192.0.2.2" {
					t.Errorf("answer = %s", got)
				}
			}
			if n := u.asked.Load(); n != 1 {
				t.Errorf("the first resolver was asked %d times, want once", n)
			}
		})
	}
}

// What nobody knows is told as it was said; if nobody says anything, the answer is SERVFAIL.
func TestNobodyKnows(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "127.0.0.1", 0, fails(dns.RcodeRefused))
	s := serve(t, u.addr.Port(), "127.0.0.1")
	if got := text(s.ask(t, "udp", "example.com.", nil)); got != "REFUSED" {
		t.Errorf("answer = %s, want REFUSED", got)
	}
	s = serve(t, u.addr.Port(), "127.0.0.3") // nobody there
	if got := text(s.ask(t, "udp", "example.com.", nil)); got != "SERVFAIL" {
		t.Errorf("answer = %s, want SERVFAIL", got)
	}
	s = serve(t, u.addr.Port(), "127.0.0.99") // ourselves
	if got := text(s.ask(t, "tcp", "example.com.", nil)); got != "SERVFAIL" || s.Counters()["failed"] != 1 {
		t.Errorf("answer = %s, want SERVFAIL; counters %v", got, s.Counters())
	}
}

// "UDP then TCP on truncation": a client over TCP gets all, one over UDP as much as it can take.
func TestTruncation(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "127.0.0.1", 0, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for i := range 60 {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, byte(i))})
		}
		m.Compress = true
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m)
	})
	s := serve(t, u.addr.Port(), "127.0.0.1")
	if m := s.ask(t, "tcp", "many.example.com.", nil); len(m.Answer) != 60 || m.Truncated {
		t.Errorf("over TCP: %d answers, truncated %v", len(m.Answer), m.Truncated)
	}
	m := s.ask(t, "udp", "many.example.com.", nil)
	if m.Compress = true; len(m.Answer) > 30 || !m.Truncated || m.Len() > dns.MinMsgSize {
		t.Errorf("over UDP: %d answers, truncated %v, %d bytes", len(m.Answer), m.Truncated, m.Len())
	}
	if m := s.ask(t, "udp", "many.example.com.", func(q *dns.Msg) { q.SetEdns0(4096, false) }); len(m.Answer) != 60 || m.Truncated {
		t.Errorf("over UDP with EDNS: %d answers, truncated %v", len(m.Answer), m.Truncated)
	}
}

// "EDNS passed"
func TestEDNS(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "127.0.0.1", 0, says("192.0.2.1"))
	s := serve(t, u.addr.Port(), "127.0.0.1")
	m := s.ask(t, "udp", "example.com.", func(q *dns.Msg) {
		q.SetEdns0(4096, true)
		q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0).To4()})
	})
	opt := m.IsEdns0()
	if opt == nil || !opt.Do() || opt.UDPSize() != zone.MaxUDP || len(opt.Option) != 1 || opt.Option[0].String() != "192.0.2.0/24/0" {
		t.Errorf("the resolver saw %v", opt)
	}
	if m := s.ask(t, "udp", "example.com.", nil); m.IsEdns0() != nil {
		t.Errorf("the resolver saw %v where there was none", m.IsEdns0())
	}
}

// "/etc/resolv.conf of the host re-read when it changes"
func TestResolversAreReadAgain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "127.0.0.1", 0, says("192.0.2.1"))
	newUpstream(t, "127.0.0.2", u.addr.Port(), says("192.0.2.2"))
	s := serve(t, u.addr.Port(), "127.0.0.1")
	if got := text(s.ask(t, "udp", "example.com.", nil)); got != "NOERROR 192.0.2.1" {
		t.Errorf("answer = %s", got)
	}
	s.write(t, "127.0.0.2", "fe80::1%lo", "not an address")
	s.forward.resolvers.mu.Lock()
	s.forward.resolvers.looked = s.forward.resolvers.looked.Add(-look) // a second later
	s.forward.resolvers.mu.Unlock()
	if got := text(s.ask(t, "udp", "example.com.", nil)); got != "NOERROR 192.0.2.2" {
		t.Errorf("answer = %s after the change", got)
	}
	if got := s.Resolvers(); len(got) != 2 || got[0].Addr().String() != "127.0.0.2" || got[1].Addr().String() != "fe80::1%lo" {
		t.Errorf("resolvers = %v", got)
	}
}

// However often a question comes back to us by a server that asks us in its turn, it goes out once.
func TestLoop(t *testing.T) {
	t.Parallel()
	var addr atomic.Value
	u := newUpstream(t, "127.0.0.1", 0, func(w dns.ResponseWriter, q *dns.Msg) {
		m, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(q, addr.Load().(string))
		if err == nil {
			_ = w.WriteMsg(m)
		}
	})
	s := serve(t, u.addr.Port(), "127.0.0.1")
	addr.Store(s.addr)
	if got := text(s.ask(t, "udp", "example.com.", nil)); got != "SERVFAIL" {
		t.Errorf("answer = %s, want SERVFAIL", got)
	}
	if n := u.asked.Load(); n > 2 {
		t.Errorf("the question went round %d times", n)
	}
}
