package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meshnet/test/e2e/lab"
)

// outside runs a DNS server on a host that says of every name that it has one address, and returns where it is.
func outside(t *testing.T, h *lab.Host, says string) netip.Addr {
	t.Helper()
	conn := h.ListenUDP(netip.AddrPortFrom(h.IPv4, 53))
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(says)}}
		}
		_ = w.WriteMsg(m)
	})}
	started, done := make(chan struct{}), make(chan error, 1)
	s.NotifyStartedFunc = func() { close(started) }
	go func() { done <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return h.IPv4
}

// asksDHCP lets a container of LXC ask DHCP, as its image would, and write what it is told of names into its /etc/resolv.conf.
func asksDHCP(t *testing.T, c *lab.Container) string {
	t.Helper()
	script := `#!/bin/sh
[ "$1" = bound ] || exit 0
{ for s in $dns; do echo nameserver $s; done; [ -z "$domain" ] || echo search $domain; } > /etc/resolv.conf
`
	r := c.Try("/bin/sh", "-c", "printf '%s' '"+script+"' > /tmp/script && chmod 755 /tmp/script && "+
		"busybox udhcpc -f -q -n -i eth0 -s /tmp/script && cat /etc/resolv.conf")
	if r.Code != 0 {
		t.Fatalf("%s asks DHCP: exit %d: %s", c.Name, r.Code, r.Stdout+r.Stderr)
	}
	_, file, _ := strings.Cut(r.Stdout, "nameserver")
	return "nameserver" + file
}

// looksUp fails unless a lookup says something within some seconds.
func looksUp(t *testing.T, h *lab.Host, enter []string, want string, args ...string) {
	t.Helper()
	var said string
	h.Until(strings.Join(args, " ")+" says "+want, func() bool {
		r := h.Try(append(append(enter, "busybox", "nslookup"), args...)...)
		said = r.Stdout + r.Stderr
		return strings.Contains(said, want)
	}, func() string { return said + h.Output("meshctl", "dns") + h.Output("meshctl", "status") })
}

// "names into DNS": containers find each other, and the outside, by names that DHCP has told them where to ask for.
//
//	a: lxc "web" ══ underlay ══ b: lxc "db", lxc "web" ══ c: no meshnet; the DNS server that the hosts ask
func TestDNS(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	resolver := outside(t, c, "198.51.100.7").String()
	for _, h := range hosts[:2] {
		h.Write("/etc/resolv.conf", "nameserver "+resolver+"\n")
	}
	withGateway(t, a, b)
	web, db := a.LXC(lab.LXC{Name: "web", Hook: lab.HookEmpty}), b.LXC(lab.LXC{Name: "db", Hook: lab.HookEmpty})
	for _, c := range []*lab.Container{web, db} {
		if got, want := asksDHCP(t, c), "nameserver 10.77.0.1\nsearch mesh.mesh\n"; got != want {
			t.Fatalf("resolv.conf of %s = %q, want %q", c.Name, got, want)
		}
	}
	for _, ask := range []struct {
		from *lab.Container
		name string
	}{{web, "db"}, {web, "db.b.mesh.mesh"}, {db, "web"}, {db, "web.a.mesh.mesh"}, {web, "a"}, {web, "b"}, {db, "a.mesh.mesh"}} {
		pings(t, ask.from.Host, ask.from.Enter(), ask.name)
	}
	db.Start("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
	a.Until("web gets a page from http://db", func() bool {
		return strings.Contains(web.Try("busybox", "wget", "-q", "-O", "-", "http://db/hosts").Stdout, "localhost")
	}, nil)

	gateway6 := netip.PrefixFrom(db.Addr(), 64).Masked().Addr().Next().String()
	looksUp(t, a, web.Enter(), "name = db.mesh.mesh", db.IPv4().String())
	looksUp(t, a, web.Enter(), "name = db.mesh.mesh", db.Addr().String())
	looksUp(t, a, web.Enter(), db.Addr().String(), "db.mesh.mesh", gateway6)
	looksUp(t, a, web.Enter(), "NXDOMAIN", "nobody.mesh.mesh")
	looksUp(t, a, web.Enter(), "NXDOMAIN", "10.77.99.99")
	looksUp(t, a, web.Enter(), "198.51.100.7", "www.example.com")
	looksUp(t, b, db.Enter(), "198.51.100.7", "www.example.com")
	looksUp(t, a, nil, db.IPv4().String(), "db.mesh.mesh", "10.77.0.1") // the host itself

	conn, err := web.Dial(t.Context(), "10.77.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tcp := &dns.Conn{Conn: conn}
	q := new(dns.Msg).SetQuestion("db.mesh.mesh.", dns.TypeA)
	if err := tcp.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	if m, err := tcp.ReadMsg(); err != nil || m.Id != q.Id || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != db.IPv4().String() {
		t.Errorf("over TCP: %v, %v", m, err)
	}

	// "names of several containers with one name (two hosts): all addresses"; and "a name disappears after detach".
	second := b.LXC(lab.LXC{Name: "web", Hook: lab.HookEmpty})
	began := time.Now()
	for _, addr := range append(web.Addrs(), second.Addrs()...) {
		looksUp(t, a, web.Enter(), addr.String(), "web.mesh.mesh")
	}
	t.Logf("names of an attach on b are known on a after %v", time.Since(began))
	looksUp(t, a, web.Enter(), "name = web.b.mesh.mesh", second.IPv4().String())
	b.StopLXC("db")
	began = time.Now()
	looksUp(t, a, web.Enter(), "NXDOMAIN", "db.mesh.mesh")
	t.Logf("a name of b has gone on a after %v", time.Since(began))

	// Hosts outside the network get nothing.
	c.Output("ip", "route", "add", "10.77.0.0/16", "via", a.IPv4.String())
	if r := c.Try("busybox", "timeout", "2", "busybox", "nslookup", "web.mesh.mesh", "10.77.0.1"); r.Code == 0 || strings.Contains(r.Stdout, web.IPv4().String()) {
		t.Errorf("a stranger is told: %s", r.Stdout)
	}
	if n := status(a).Networks[0].Counters["dns_stranger"]; n == 0 {
		t.Error("dns_stranger of a = 0")
	}
	if said := a.Output("meshctl", "dns"); !strings.Contains(said, "10.77.0.1, other names by "+resolver) || !strings.Contains(said, "web.b.mesh.mesh") {
		t.Errorf("meshctl dns: %s", said)
	}
}

// Where another server has port 53, containers are not told to ask there, status says why, and as soon as it lets go, they are.
func TestDNSWithoutItsPort(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	taken := a.ListenUDP(netip.MustParseAddrPort("0.0.0.0:53"))
	withGateway(t, a)
	says := func(want string) {
		t.Helper()
		a.Until("status says "+want, func() bool { return strings.Contains(a.Output("meshctl", "status"), want) },
			func() string { return a.Output("meshctl", "status") })
	}
	says("mesh.mesh is not answered: gateway: port 53 of ")
	web := a.LXC(lab.LXC{Name: "web", Hook: lab.HookEmpty})
	if got := asksDHCP(t, web); strings.Contains(got, "10.77.0.1") {
		t.Errorf("resolv.conf = %q", got)
	}
	taken.Close()
	says("mesh.mesh at ")
	if got := asksDHCP(t, web); !strings.Contains(got, "nameserver 10.77.0.1\n") {
		t.Errorf("resolv.conf = %q", got)
	}
	pings(t, a, web.Enter(), "web.mesh.mesh")
}

// Without a gateway there is nobody to ask, and meshctl shows the names all the same.
func TestDNSWithoutGateway(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	web := a.LXC(lab.LXC{Name: "web", Hook: lab.HookEmpty})
	if got := asksDHCP(t, web); strings.Contains(got, "10.77") || strings.Contains(got, "search") {
		t.Errorf("resolv.conf = %q", got)
	}
	said := a.Output("meshctl", "dns", "mesh")
	if !strings.Contains(said, "mesh.mesh is not answered") || !strings.Contains(said, web.IPv4().String()) {
		t.Errorf("meshctl dns: %s", said)
	}
}
