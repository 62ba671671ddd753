package answer

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// discover returns a DHCPDISCOVER that asks for everything.
func discover(mac MAC, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	return message4(mac, dhcpv4.MessageTypeDiscover, more...)
}

func message4(mac MAC, t dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac[:]), dhcpv4.WithMessageType(t)}, more...)...)
	if err != nil {
		panic(err)
	}
	return m
}

// frame4 returns the frame in which a client sends m: to everybody, from no address or from the one in ciaddr.
func frame4(src MAC, m *dhcpv4.DHCPv4) []byte {
	from, _ := netip.AddrFromSlice(m.ClientIPAddr.To4())
	return appendUDP(appendEthernet(nil, broadcast, src, etherTypeIPv4),
		netip.AddrPortFrom(from, 68), netip.AddrPortFrom(limitedBroadcast, 67), m.ToBytes())
}

func requested(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a.AsSlice()))
}
func server(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(a.AsSlice()))
}
func ciaddr(a netip.Addr) dhcpv4.Modifier { return dhcpv4.WithClientIP(a.AsSlice()) }

// reply4 returns the DHCP message in a frame.
func reply4(t testing.TB, frame []byte) (packet, *dhcpv4.DHCPv4) {
	t.Helper()
	p, ok := parseIPv4(frame[14:])
	from, to, payload, ok2 := p.udp(false)
	if !ok || !ok2 || from != 67 || to != 68 {
		t.Fatalf("no datagram from 67 to 68: %x", frame)
	}
	m, err := dhcpv4.FromBytes(payload)
	if err != nil {
		t.Fatalf("reply %x: %v", payload, err)
	}
	return p, m
}

// The four DHCPREQUESTs and the other messages of RFC 2131, section 4.3.
func TestDHCPv4(t *testing.T) {
	const (
		discover = dhcpv4.MessageTypeDiscover
		request  = dhcpv4.MessageTypeRequest
		none     = dhcpv4.MessageTypeNone
	)
	all := netip.MustParseAddr("255.255.255.255")
	for _, test := range []struct {
		name    string
		mac     MAC
		send    dhcpv4.MessageType
		with    []dhcpv4.Modifier
		outcome Outcome
		reply   dhcpv4.MessageType
		to      netip.Addr
		event   EventKind
	}{
		{"DISCOVER", macWeb, discover, nil, DHCP4Answered, dhcpv4.MessageTypeOffer, web4, None},
		{"DISCOVER, broadcast", macWeb, discover, []dhcpv4.Modifier{dhcpv4.WithBroadcast(true)}, DHCP4Answered, dhcpv4.MessageTypeOffer, all, None},
		{"DISCOVER of another address", macWeb, discover, []dhcpv4.Modifier{requested(api4)}, DHCP4Answered, dhcpv4.MessageTypeOffer, web4, None},
		{"DISCOVER from nobody's MAC", macStray, discover, nil, DHCP4Waiting, none, all, Needs},

		{"SELECTING", macWeb, request, []dhcpv4.Modifier{requested(web4), server(gateway4)}, DHCP4Answered, dhcpv4.MessageTypeAck, web4, Renewed},
		{"SELECTING, broadcast", macWeb, request, []dhcpv4.Modifier{requested(web4), server(gateway4), dhcpv4.WithBroadcast(true)},
			DHCP4Answered, dhcpv4.MessageTypeAck, all, Renewed},
		{"SELECTING another server", macWeb, request, []dhcpv4.Modifier{requested(web4), server(addr("10.77.0.77"))}, DHCP4Ignored, none, all, None},
		{"SELECTING another address", macWeb, request, []dhcpv4.Modifier{requested(db4), server(gateway4)}, DHCP4Refused, dhcpv4.MessageTypeNak, all, None},
		{"SELECTING with ciaddr", macWeb, request, []dhcpv4.Modifier{requested(web4), server(gateway4), ciaddr(web4)}, DHCP4Invalid, none, all, None},
		{"SELECTING nothing", macWeb, request, []dhcpv4.Modifier{server(gateway4)}, DHCP4Invalid, none, all, None},
		{"INIT-REBOOT", macWeb, request, []dhcpv4.Modifier{requested(web4)}, DHCP4Answered, dhcpv4.MessageTypeAck, web4, Renewed},
		{"INIT-REBOOT on another network", macWeb, request, []dhcpv4.Modifier{requested(addr("192.168.1.2"))}, DHCP4Refused, dhcpv4.MessageTypeNak, all, None},
		{"INIT-REBOOT of nobody's MAC", macStray, request, []dhcpv4.Modifier{requested(free4)}, DHCP4Waiting, none, all, Needs},
		{"RENEWING, REBINDING", macWeb, request, []dhcpv4.Modifier{ciaddr(web4)}, DHCP4Answered, dhcpv4.MessageTypeAck, web4, Renewed},
		{"RENEWING what it holds no more", macWeb, request, []dhcpv4.Modifier{ciaddr(free4)}, DHCP4Refused, dhcpv4.MessageTypeNak, all, None},
		{"REQUEST of nothing", macWeb, request, nil, DHCP4Invalid, none, all, None},

		{"INFORM", macWeb, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(web4)}, DHCP4Answered, dhcpv4.MessageTypeAck, web4, None},
		{"INFORM of a static address", macStray, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(free4)}, DHCP4Answered, dhcpv4.MessageTypeAck, free4, None},
		{"INFORM of another's", macWeb, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(db4)}, DHCP4Ignored, none, all, None},
		{"INFORM without address", macWeb, dhcpv4.MessageTypeInform, nil, DHCP4Invalid, none, all, None},
		{"RELEASE", macDB, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{ciaddr(db4), server(gateway4)}, DHCP4Noted, none, all, Released},
		{"RELEASE of another's", macDB, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{ciaddr(web4), server(gateway4)}, DHCP4Ignored, none, all, None},
		{"RELEASE at another server", macDB, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{ciaddr(db4), server(web4)}, DHCP4Ignored, none, all, None},
		{"DECLINE", macWeb, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{requested(web4), server(gateway4)}, DHCP4Noted, none, all, Declined},
		{"DECLINE by nobody", macStray, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{requested(web4), server(gateway4)}, DHCP4Ignored, none, all, None},
		{"OFFER", macStray, dhcpv4.MessageTypeOffer, nil, DHCP4Invalid, none, all, None},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := message4(test.mac, test.send, test.with...)
			m.UpdateOption(dhcpv4.OptClientIdentifier([]byte{1, 2, 3}))
			r := want(t, segment(), frame4(test.mac, m), test.outcome, test.reply != none)
			if r.Event.Kind != test.event || test.event != None && r.Event.MAC != test.mac {
				t.Errorf("event = %v, want %v", r.Event, test.event)
			}
			if test.reply == none {
				return
			}
			p, got := reply4(t, r.Reply)
			dst := test.mac
			if test.to == all {
				dst = broadcast
			}
			if MAC(r.Reply) != dst || MAC(r.Reply[6:]) != macGateway || p.dst != test.to || p.src != gateway4 {
				t.Errorf("reply from %x, %v to %x, %v, want to %x, %v", r.Reply[6:12], p.src, r.Reply[:6], p.dst, dst, test.to)
			}
			if got.MessageType() != test.reply || got.TransactionID != m.TransactionID || !got.ServerIdentifier().Equal(gateway4.AsSlice()) {
				t.Errorf("reply %v, want %v", got.Summary(), test.reply)
			}
			if string(got.Options.Get(dhcpv4.OptionClientIdentifier)) != "\x01\x02\x03" { // RFC 6842
				t.Errorf("the client identifier is not returned: %v", got.Summary())
			}
			leased := test.reply != dhcpv4.MessageTypeNak && test.send != dhcpv4.MessageTypeInform
			if has := !got.YourIPAddr.IsUnspecified() || got.Options.Has(dhcpv4.OptionIPAddressLeaseTime); has != leased {
				t.Errorf("an address is given: %v, want %v: %v", has, leased, got.Summary())
			}
		})
	}
}

func TestWhatAContainerIsTold(t *testing.T) {
	s := segment()
	s.Router, s.DNS, s.Domain, s.MTU = true, []netip.Addr{gateway4, gateway6}, "prod.mesh", 1400
	_, got := reply4(t, want(t, s, frame4(macWeb, discover(macWeb)), DHCP4Answered, true).Reply)
	if !got.YourIPAddr.Equal(web4.AsSlice()) || got.SubnetMask().String() != "ffff0000" || got.HostName() != "web" || got.DomainName() != "prod.mesh" {
		t.Errorf("offer: %v", got.Summary())
	}
	if !slices.EqualFunc(got.DNS(), []net.IP{gateway4.AsSlice()}, net.IP.Equal) || !slices.EqualFunc(got.Router(), []net.IP{gateway4.AsSlice()}, net.IP.Equal) {
		t.Errorf("DNS %v, routers %v, want %v", got.DNS(), got.Router(), gateway4)
	}
	if labels := got.DomainSearch(); labels == nil || !slices.Equal(labels.Labels, []string{"prod.mesh"}) {
		t.Errorf("search list %v", labels)
	}
	if mtu := got.Options.Get(dhcpv4.OptionInterfaceMTU); string(mtu) != "\x05\x78" {
		t.Errorf("MTU %x, want 1400", mtu)
	}
	// RFC 3442: 10.99.0.0/24 on the link, and the default route, which option 3 does not give to who reads option 121.
	if routes := got.Options.Get(dhcpv4.OptionClasslessStaticRoute); string(routes) != string(unhex("18 0a6300 00000000 00 0a4d0001")) {
		t.Errorf("routes %x", routes)
	}
	if a, b, c := got.IPAddressLeaseTime(0), got.IPAddressRenewalTime(0), got.IPAddressRebindingTime(0); a != 6*time.Hour || b != 3*time.Hour || c != 315*time.Minute {
		t.Errorf("lease, T1, T2 = %v, %v, %v, want 6h, 3h, 5h15m", a, b, c)
	}
	_, got = reply4(t, want(t, s, frame4(macDB, discover(macDB)), DHCP4Answered, true).Reply)
	if a := got.IPAddressLeaseTime(0); a != time.Hour {
		t.Errorf("a temporary lease is for %v, want 1h", a)
	}
	_, got = reply4(t, want(t, s, frame4(macWeb, discover(macWeb, dhcpv4.WithRequestedOptions(dhcpv4.OptionRouter))), DHCP4Answered, true).Reply)
	if got.HostName() != "" || got.DNS() != nil || got.Router() == nil || got.SubnetMask() == nil {
		t.Errorf("who asks for the router gets %v", got.Summary())
	}
	s.Pools, s.Router = s.Pools[:1], false
	_, got = reply4(t, want(t, s, frame4(macWeb, discover(macWeb)), DHCP4Answered, true).Reply)
	if got.Router() != nil || got.Options.Has(dhcpv4.OptionClasslessStaticRoute) {
		t.Errorf("without a gateway and other pools: %v", got.Summary())
	}
}

// "Open: and others. Closed: attachments."
func TestClosed(t *testing.T) {
	s := segment()
	s.DHCP = Closed
	want(t, s, frame4(macWeb, discover(macWeb)), DHCP4Answered, true)
	want(t, s, frame4(macStray, discover(macStray)), DHCP4Closed, false)
	want(t, s, frame6(macWeb, linkWeb, solicit6(macWeb)), DHCP6Answered, true)
	want(t, s, frame6(macStray, linkStray, solicit6(macStray)), DHCP6Closed, false)
}

// An attachment without IPv4, or whose address was lost, is offered none, and told that it has none.
func TestWithoutIPv4(t *testing.T) {
	s, tb := segment(), tables()
	tb.Leases[macWeb] = Lease{Name: "web", IPv6: web6}
	if r := s.Answer(tb, frame4(macWeb, discover(macWeb)), false, nil); r.Outcome != DHCP4Ignored {
		t.Errorf("DISCOVER: %v", r.Outcome)
	}
	if r := s.Answer(tb, frame4(macWeb, message4(macWeb, dhcpv4.MessageTypeRequest, ciaddr(web4))), false, nil); r.Outcome != DHCP4Refused {
		t.Errorf("RENEWING: %v", r.Outcome)
	}
	s.Pools = nil
	if r := s.Answer(tb, frame4(macWeb, message4(macWeb, dhcpv4.MessageTypeRequest, ciaddr(web4))), false, nil); r.Outcome != DHCP4Ignored {
		t.Errorf("RENEWING in a network without IPv4: %v", r.Outcome)
	}
}

// "Only what is valid is answered."
func TestInvalidDHCPv4(t *testing.T) {
	change := func(f func(m *dhcpv4.DHCPv4)) []byte { m := discover(macWeb); f(m); return frame4(macWeb, m) }
	flip := func(at int) []byte { b := frame4(macWeb, discover(macWeb)); b[at] ^= 0x10; return b }
	raw := func(payload []byte, from, to uint16) []byte {
		return appendUDP(appendEthernet(nil, broadcast, macWeb, etherTypeIPv4), netip.AddrPortFrom(netip.IPv4Unspecified(), from),
			netip.AddrPortFrom(limitedBroadcast, to), payload)
	}
	for name, frame := range map[string][]byte{
		"of another MAC":      frame4(macWeb, discover(macDB)),
		"by a relay agent":    change(func(m *dhcpv4.DHCPv4) { m.GatewayIPAddr = web4.AsSlice() }),
		"a reply":             change(func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }),
		"not Ethernet":        change(func(m *dhcpv4.DHCPv4) { m.HWType = 6 }),
		"MAC of 5 bytes":      change(func(m *dhcpv4.DHCPv4) { m.ClientHWAddr = m.ClientHWAddr[:5] }),
		"BOOTP":               change(func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionDHCPMessageType) }),
		"two types":           change(func(m *dhcpv4.DHCPv4) { m.Options[53] = []byte{1, 3} }),
		"IPv4 checksum":       flip(24),
		"IPv4 length":         flip(16),
		"UDP checksum":        flip(60),
		"a fragment":          flip(20),
		"cut short":           frame4(macWeb, discover(macWeb))[:200],
		"no cookie":           raw(make([]byte, 300), 68, 67),
		"empty":               raw(nil, 68, 67),
		"from a relay's port": raw(discover(macWeb).ToBytes(), 67, 67),
	} {
		r := segment().Answer(tables(), frame, false, nil)
		if (r.Outcome != DHCP4Invalid && (name != "a fragment" || r.Outcome != Passed)) || len(r.Reply) > 0 {
			t.Errorf("%s: %v, reply %x, want %v", name, r.Outcome, r.Reply, DHCP4Invalid)
		}
	}
	rogue := raw(discover(macWeb).ToBytes(), 67, 68)
	if r := want(t, segment(), rogue, DHCP4Rogue, false); r.Event != (Event{Kind: RogueDHCP, MAC: macWeb}) {
		t.Errorf("event of an offer = %v", r.Event)
	}
}

// A datagram whose checksum the kernel has left to be done is as good as one that has it.
func TestPartialChecksum(t *testing.T) {
	b := frame4(macWeb, message4(macWeb, dhcpv4.MessageTypeRequest, ciaddr(web4)))
	b[40], b[41] = 0x12, 0x34
	if r := segment().Answer(tables(), b, false, nil); r.Outcome != DHCP4Invalid {
		t.Errorf("whole: %v", r.Outcome)
	}
	if r := segment().Answer(tables(), b, true, nil); r.Outcome != DHCP4Answered {
		t.Errorf("partial: %v", r.Outcome)
	}
}
