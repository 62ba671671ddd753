package node_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/node"
)

// stray is the MAC of a machine that nobody attached.
var stray = [6]byte{0x02, 0xaa, 0, 0, 0, 9}

// answering runs f with two members that answer DHCP.
func answering(t *testing.T, mode answer.Mode, f func(t *testing.T, a, b *member)) {
	withDHCP(t, 2, "10.77.0.0/16", mode, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		c.eventually(time.Minute, "both have blocks", func() bool { return a.hasBlocks() && b.hasBlocks() })
		a.tap.Frames()
		b.tap.Frames()
		f(t, a, b)
	})
}

// hasBlocks reports whether the member owns some.
func (m *member) hasBlocks() bool {
	manager, _ := m.node.IPv4()
	pools := manager.Report().Pools
	return len(pools) > 0 && len(pools[0].Blocks) > 0
}

// dhcp returns the frame of a DHCP message from stray, to everybody.
func dhcp(t dhcpv4.MessageType, more ...dhcpv4.Modifier) []byte { return dhcpFrom(stray, t, more...) }

// dhcpFrom returns the frame of a DHCP message from mac, to everybody.
func dhcpFrom(mac [6]byte, t dhcpv4.MessageType, more ...dhcpv4.Modifier) []byte {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac[:]), dhcpv4.WithMessageType(t)}, more...)...)
	if err != nil {
		panic(err)
	}
	payload := m.ToBytes()
	b := append(append(append([]byte{}, broadcast[:]...), mac[:]...), 8, 0)
	ip := make([]byte, 28)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], m.ClientIPAddr.To4())
	copy(ip[16:], []byte{255, 255, 255, 255})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	binary.BigEndian.PutUint16(ip[20:], 68)
	binary.BigEndian.PutUint16(ip[22:], 67)
	binary.BigEndian.PutUint16(ip[24:], uint16(8+len(payload))) // without checksum
	return append(append(b, ip...), payload...)
}

// arp returns a request of mac, which has the address from, for target.
func arp(mac [6]byte, from, target netip.Addr) []byte {
	b := append(append(append([]byte{}, broadcast[:]...), mac[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(append(b, mac[:]...), from.AsSlice()...), make([]byte, 6)...)
	return append(b, target.AsSlice()...)
}

// alone runs f with a member that is alone and answers DHCP: hours pass faster there.
func alone(t *testing.T, f func(t *testing.T, m *member)) {
	withDHCP(t, 1, "10.77.0.0/16", answer.Open, func(t *testing.T, c *cluster) {
		m := c.members[0]
		c.eventually(time.Minute, "it has blocks", m.hasBlocks)
		m.tap.Frames()
		f(t, m)
	})
}

// asks injects frame and returns the DHCP message that answers it, or nil if none does.
func (m *member) asks(frame []byte) *dhcpv4.DHCPv4 {
	m.c.t.Helper()
	return m.asksFor(5*time.Second, frame)
}

// asksFor is asks that waits as long as it is told.
func (m *member) asksFor(wait time.Duration, frame []byte) *dhcpv4.DHCPv4 {
	m.c.t.Helper()
	m.tap.Inject(frame)
	time.Sleep(wait)
	for _, f := range m.tap.Frames() {
		if len(f) > 42 && f[12] == 8 && f[13] == 0 && f[36] == 0 && f[37] == 68 {
			reply, err := dhcpv4.FromBytes(f[42:])
			if err != nil {
				m.c.t.Fatalf("reply %x: %v", f, err)
			}
			return reply
		}
	}
	return nil
}

// mustAsk asks for an address as a client does, and returns it.
func (m *member) mustAsk() netip.Addr {
	m.c.t.Helper()
	offer := m.asks(dhcp(dhcpv4.MessageTypeDiscover))
	if offer == nil || offer.MessageType() != dhcpv4.MessageTypeOffer {
		m.c.t.Fatalf("DISCOVER: %v, want an offer", offer)
	}
	ack := m.asks(dhcp(dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier()))))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(offer.YourIPAddr) {
		m.c.t.Fatalf("REQUEST: %v, want an acknowledgement of %v", ack, offer.YourIPAddr)
	}
	addr, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	return addr
}

// strayLease returns the lease of stray.
func (m *member) strayLease() (ipam.Lease, bool) {
	for _, l := range m.node.Leases() {
		if l.MAC == stray {
			return l, true
		}
	}
	return ipam.Lease{}, false
}

// renew renews stray's lease.
func (m *member) renew(addr netip.Addr) {
	m.c.t.Helper()
	if ack := m.asks(dhcp(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(addr.AsSlice()))); ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		m.c.t.Fatalf("renewing: %v", ack)
	}
}

// "Unknown MACs get a lease of their own", which all members know.
func TestALeaseForWhoeverAsks(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		l, ok := a.strayLease()
		if !ok || l.IPv4 != addr || l.Container != "dhcp-02aa00000009" || l.Holder.Source != "dhcp" {
			t.Fatalf("lease = %v, want %v of dhcp-02aa00000009", l, addr)
		}
		a.c.eventually(10*time.Second, "the other member knows it", func() bool {
			for _, nb := range b.node.Neighbours() {
				if nb.Container == "dhcp-02aa00000009" && nb.MAC == stray && nb.Addrs[len(nb.Addrs)-1] == addr {
					return true
				}
			}
			return false
		})
	})
}

// It is theirs until it was not renewed for long enough.
func TestTemporaryLeasesEnd(t *testing.T) {
	alone(t, func(t *testing.T, a *member) {
		addr := a.mustAsk()
		for range 4 {
			time.Sleep(answer.TemporaryLeaseTime / 2)
			a.renew(addr)
		}
		time.Sleep(answer.TemporaryLeaseTime + 30*time.Minute)
		if _, ok := a.strayLease(); !ok {
			t.Error("the lease ended before its time and the grace were over")
		}
		a.renew(addr)
		time.Sleep(answer.TemporaryLeaseTime + time.Hour + 2*time.Minute)
		if l, ok := a.strayLease(); ok {
			t.Errorf("lease %v is there an hour after it ran out", l)
		}
		if again := a.mustAsk(); again != addr {
			t.Errorf("who comes back gets %v, want %v as before", again, addr)
		}
	})
}

// A lease that was made before a restart is kept as long as one that was just renewed, and ends then.
func TestTemporaryLeasesOverARestart(t *testing.T) {
	alone(t, func(t *testing.T, b *member) {
		addr := b.mustAsk()
		time.Sleep(50 * time.Minute)
		b.kill()
		b.start()
		time.Sleep(30 * time.Minute)
		b.tap.Frames()
		b.renew(addr)
		time.Sleep(answer.TemporaryLeaseTime + time.Hour + 2*time.Minute)
		if _, ok := b.strayLease(); ok {
			t.Error("the lease never ends")
		}
	})
}

// "Released … on RELEASE."
func TestRelease(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		server := answer.Gateway4(netip.MustParsePrefix("10.77.0.0/16")).AsSlice()
		release := dhcp(dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(addr.AsSlice()), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)))
		if reply := a.asks(release); reply != nil {
			t.Errorf("RELEASE is answered with %v", reply.Summary())
		}
		if l, ok := a.strayLease(); ok {
			t.Errorf("lease %v is there after its release", l)
		}
	})
}

// A machine that declines an address gets another, and the declined one is kept from everybody for a while.
func TestDecline(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, _ *member) {
		declined := make(map[netip.Addr]bool)
		for range 3 {
			offer := a.asks(dhcp(dhcpv4.MessageTypeDiscover))
			if offer == nil {
				t.Fatal("no offer")
			}
			addr, _ := netip.AddrFromSlice(offer.YourIPAddr.To4())
			if declined[addr] {
				t.Fatalf("%v, which was declined, is offered again", addr)
			}
			declined[addr] = true
			if reply := a.asks(dhcp(dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))); reply != nil {
				t.Errorf("DECLINE is answered with %v", reply.Summary())
			}
		}
		if other := a.asks(dhcpFrom(madeUp(1), dhcpv4.MessageTypeDiscover)); other == nil || declined[netip.AddrFrom4([4]byte(other.YourIPAddr.To4()))] {
			t.Errorf("another machine is offered %v, want an address that was not declined", other)
		}
		if addr := a.mustAsk(); declined[addr] {
			t.Errorf("%v, which was declined, is given after all", addr)
		}
		st, err := a.node.Status(t.Context())
		if err != nil || !strings.Contains(strings.Join(st.Warnings, "\n"), "says that somebody else uses the address") {
			t.Errorf("warnings = %q, %v, want one of the declined address", st.Warnings, err)
		}
	})
}

// "Unless the network is closed."
func TestClosedNetwork(t *testing.T) {
	answering(t, answer.Closed, func(t *testing.T, a, b *member) {
		if reply := a.asks(dhcp(dhcpv4.MessageTypeDiscover)); reply != nil {
			t.Errorf("a MAC that nobody attached is answered with %v", reply.Summary())
		}
		if got := a.node.Counters()["answer_dhcp4_closed"]; got != 1 {
			t.Errorf("answer_dhcp4_closed = %d, want 1", got)
		}
		if _, ok := a.strayLease(); ok {
			t.Error("it has a lease")
		}
	})
}

// "ARP … replies from the neighbour table, so neither is flooded."
func TestARPDoesNotCrossTheMesh(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		web, err := a.node.Attach(t.Context(), request("web"))
		if err != nil {
			t.Fatal(err)
		}
		db, err := b.node.Attach(t.Context(), request("db"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		a.tap.Inject(arp(web.MAC, web.IPv4, db.IPv4))
		time.Sleep(time.Second)
		replies := a.tap.Frames()
		if len(replies) != 1 || !bytes.Equal(replies[0][6:12], db.MAC[:]) || !bytes.Equal(replies[0][22:28], db.MAC[:]) {
			t.Errorf("answers %x, want that %v has it", replies, db.MAC)
		}
		if crossed := b.tap.Frames(); len(crossed) > 0 {
			t.Errorf("the question crossed the mesh: %x", crossed)
		}

		// "A container that claims a MAC or address of a neighbour: dropped, counted, shown."
		a.tap.Inject(arp(stray, db.IPv4, web.IPv4))
		a.tap.Inject(arp(db.MAC, db.IPv4, web.IPv4))
		time.Sleep(2 * time.Minute)
		if crossed := b.tap.Frames(); len(crossed) > 0 {
			t.Errorf("a claim crossed the mesh: %x", crossed)
		}
		counters := a.node.Counters()
		if counters["answer_arp_claimed"] != 1 || counters["mesh_source_remote"] != 1 {
			t.Errorf("claims %d, sources %d, want 1 and 1", counters["answer_arp_claimed"], counters["mesh_source_remote"])
		}
		st, err := a.node.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		warnings := strings.Join(st.Warnings, "\n")
		for _, want := range []string{"02:aa:00:00:00:09 says that it has " + db.IPv4.String() + ", which is that of db/eth0 on host1", "the MAC of a container on another host: 1 frames"} {
			if !strings.Contains(warnings, want) {
				t.Errorf("warnings %q do not say %q", warnings, want)
			}
		}
	})
}

// An address that goes to another container, at once or after a while, is announced to the containers of every host.
func TestMovedAddressesAreAnnounced(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		old, err := b.node.Attach(t.Context(), request("old"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := b.node.Detach(old.Attachment); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // and the address has cooled down
		a.tap.Frames()
		want := request("new")
		want.IPv4.Addr = old.IPv4
		moved, err := b.node.Attach(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		for _, m := range []*member{a, b} {
			announced := 0
			for _, f := range m.tap.Frames() {
				if f[12] == 8 && f[13] == 6 && bytes.Equal(f[22:28], moved.MAC[:]) && bytes.Equal(f[28:32], old.IPv4.AsSlice()) {
					announced++
				}
			}
			if announced != 1 {
				t.Errorf("%s announced %v %d times, want once", m.name, old.IPv4, announced)
			}
		}
	})
}

// "Who comes with a MAC that has asked for addresses before it was attached takes over what it was given", and keeps it: it does not end
// when nobody renews it. Another name takes it over in turn.
func TestAttachedAfterItAsked(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		was, _ := a.strayLease()
		attach := func(container string, former ipam.Attachment) {
			t.Helper()
			l, err := a.node.Attach(t.Context(), ipam.Request{
				Attachment: ipam.Attachment{Container: container, IfName: "eth0"}, Holder: ipam.Holder{Source: "lxd"}, MAC: stray, Former: former,
			})
			if err != nil || l.IPv4 != addr || l.IPv6 != was.IPv6 || l.MAC != stray {
				t.Fatalf("Attach = %v, %v, want the addresses of %v", l, err, was)
			}
			if all := a.node.Leases(); len(all) != 1 {
				t.Errorf("leases = %v, want the new one alone", all)
			}
			a.c.eventually(10*time.Second, "the other member knows it by its new name alone", func() bool {
				all := b.node.Neighbours()
				return len(all) == 1 && all[0].Container == container && len(all[0].Addrs) == 2
			})
		}
		attach("web", ipam.Attachment{})
		a.renew(addr)
		time.Sleep(5 * answer.TemporaryLeaseTime)
		if l, ok := a.strayLease(); !ok || l.Container != "web" || l.IPv4 != addr {
			t.Errorf("lease without renewal = %v, want web's", l)
		}
		attach("www", ipam.Attachment{Container: "web", IfName: "eth0"})
	})
}

// Which MAC another CNI plugin's interface has is not known: who asks for an address that was leased for one asks every host, and who
// has it may say so. The address is taken all the same.
func TestAddressesOfOtherPluginsAreNotAnswered(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		r := request("db")
		r.Holder.Source = node.SourceCNIIPAM
		db, err := b.node.Attach(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		web, err := a.node.Attach(t.Context(), request("web"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		for _, test := range []struct {
			from, to *member
			question []byte
		}{{a, b, arp(web.MAC, web.IPv4, db.IPv4)}, {b, a, arp(stray, db.IPv4, web.IPv4)}} {
			test.from.tap.Frames()
			test.to.tap.Frames()
			test.from.tap.Inject(test.question)
			time.Sleep(time.Second)
			if test.from == a {
				if replies := a.tap.Frames(); len(replies) != 0 {
					t.Errorf("answers %x, want none", replies)
				}
				if crossed := b.tap.Frames(); len(crossed) != 1 || !bytes.Equal(crossed[0], test.question) {
					t.Errorf("%x crossed the mesh, want the question", crossed)
				}
			}
		}
		if n := b.node.Counters()["answer_arp_claimed"]; n != 0 {
			t.Errorf("%d questions were taken for claims, want 0", n)
		}
		if taken := b.node.Neighbours(); len(taken) != 2 {
			t.Errorf("the neighbour table is %+v, want web and db", taken)
		}
	})
}

// "A MAC with a lease has rates of its own", which tables that are published anew do not renew.
func TestRatesOutliveTables(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, _ *member) {
		web, err := a.node.Attach(t.Context(), request("web"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		limited := func() uint64 { return a.node.Counters()["answer_limited"] }
		flood := func(n int, mac func(i int) [6]byte) {
			for i := range n {
				a.tap.Inject(dhcpFrom(mac(i), dhcpv4.MessageTypeDiscover))
				synctest.Wait() // until it is answered, in no time
			}
		}
		flood(60, madeUp)
		if n := limited(); n != 10 {
			t.Errorf("%d frames of strangers are limited, want 10 of 60", n)
		}
		ofWeb := func(int) [6]byte { return web.MAC }
		flood(60, ofWeb)
		if n := limited(); n != 20 {
			t.Errorf("%d frames are limited with those of web, want 20 of 120", n)
		}
		if _, err := a.node.Attach(t.Context(), request("db")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if flood(20, ofWeb); limited() < 20+10 {
			t.Errorf("of 20 more of web %d are limited, want at least 10", limited()-20)
		}
	})
}

// Containers are told of the DNS server, but while there is none to be had.
func TestOfferDNS(t *testing.T) {
	alone(t, func(t *testing.T, m *member) {
		m.mustAsk()
		check := func(on bool) {
			t.Helper()
			offer := m.asks(dhcp(dhcpv4.MessageTypeDiscover, dhcpv4.WithRequestedOptions(dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName)))
			if offer == nil {
				t.Fatal("no offer")
			}
			told := len(offer.DNS()) == 1 && offer.DNS()[0].Equal(dnsServer.AsSlice()) && offer.DomainName() == "sim.mesh"
			if none := offer.DNS() == nil && offer.DomainName() == ""; told != on || none == on {
				t.Errorf("DNS offered: %v: it is told %v, %q", on, offer.DNS(), offer.DomainName())
			}
		}
		check(true)
		m.node.OfferDNS(false)
		check(false)
		m.node.OfferDNS(true)
		check(true)
	})
}
