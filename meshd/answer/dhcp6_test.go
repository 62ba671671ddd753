package answer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func duid(mac MAC) dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac[:]}
}

func message6(mac MAC, t dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: t, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	m.AddOption(dhcpv6.OptClientID(duid(mac)))
	for _, o := range options {
		m.AddOption(o)
	}
	return m
}

func ia(addrs ...netip.Addr) *dhcpv6.OptIANA {
	o := &dhcpv6.OptIANA{IaId: [4]byte{1}}
	for _, a := range addrs {
		o.Options.Add(address6(a, time.Hour))
	}
	return o
}

func solicit6(mac MAC, more ...dhcpv6.Option) *dhcpv6.Message {
	return message6(mac, dhcpv6.MessageTypeSolicit, append([]dhcpv6.Option{ia()}, more...)...)
}

// frame6 returns the frame in which a client sends m.
func frame6(src MAC, from netip.Addr, m *dhcpv6.Message) []byte {
	return appendUDP(appendEthernet(nil, group(allServers), src, etherTypeIPv6),
		netip.AddrPortFrom(from, 546), netip.AddrPortFrom(allServers, 547), m.ToBytes())
}

func reply6(t testing.TB, frame []byte) (packet, *dhcpv6.Message) {
	t.Helper()
	p, ok := parseIPv6(frame[14:])
	from, to, payload, ok2 := p.udp(false)
	if !ok || !ok2 || from != 547 || to != 546 {
		t.Fatalf("no datagram from 547 to 546: %x", frame)
	}
	m, err := dhcpv6.MessageFromBytes(payload)
	if err != nil {
		t.Fatalf("reply %x: %v", payload, err)
	}
	return p, m
}

// The messages of RFC 8415, section 18.3.
func TestDHCPv6(t *testing.T) {
	ours, others := dhcpv6.OptServerID(duid(macGateway)), dhcpv6.OptServerID(duid(macAPI))
	rapid := &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit}
	const (
		solicit, request, renew, rebind = dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind
		release, decline, confirm       = dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeConfirm
		information                     = dhcpv6.MessageTypeInformationRequest
		none, advertise, reply          = dhcpv6.MessageTypeNone, dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply
	)
	type options = []dhcpv6.Option
	for _, test := range []struct {
		name    string
		mac     MAC
		send    dhcpv6.MessageType
		options options
		outcome Outcome
		reply   dhcpv6.MessageType
		gives   bool // the attachment's address
		event   EventKind
	}{
		{"SOLICIT", macWeb, solicit, options{ia()}, DHCP6Answered, advertise, true, None},
		{"SOLICIT, rapid commit", macWeb, solicit, options{ia(), rapid}, DHCP6Answered, reply, true, Renewed},
		{"SOLICIT of another address", macWeb, solicit, options{ia(api6)}, DHCP6Answered, advertise, true, None},
		{"SOLICIT without association", macWeb, solicit, nil, DHCP6Answered, advertise, false, None},
		{"SOLICIT from nobody's MAC", macStray, solicit, options{ia()}, DHCP6Waiting, none, false, Needs},
		{"SOLICIT with a server", macWeb, solicit, options{ia(), ours}, DHCP6Invalid, none, false, None},
		{"REQUEST", macWeb, request, options{ia(web6), ours}, DHCP6Answered, reply, true, Renewed},
		{"REQUEST at another server", macWeb, request, options{ia(web6), others}, DHCP6Ignored, none, false, None},
		{"REQUEST without server", macWeb, request, options{ia(web6)}, DHCP6Invalid, none, false, None},
		{"RENEW", macWeb, renew, options{ia(web6), ours}, DHCP6Answered, reply, true, Renewed},
		{"REBIND", macWeb, rebind, options{ia(web6)}, DHCP6Answered, reply, true, Renewed},
		{"REBIND from nobody's MAC", macStray, rebind, options{ia(free6)}, DHCP6Waiting, none, false, Needs},
		{"CONFIRM", macStray, confirm, options{ia(free6)}, DHCP6Answered, reply, false, None},
		{"CONFIRM of nothing", macWeb, confirm, options{ia()}, DHCP6Ignored, none, false, None},
		{"RELEASE", macDB, release, options{ia(db6), ours}, DHCP6Answered, reply, false, Released},
		{"RELEASE of another's", macDB, release, options{ia(web6), ours}, DHCP6Answered, reply, false, None},
		{"DECLINE", macWeb, decline, options{ia(web6), ours}, DHCP6Answered, reply, false, Declined},
		{"INFORMATION-REQUEST", macStray, information, nil, DHCP6Answered, reply, false, None},
		{"INFORMATION-REQUEST with an association", macWeb, information, options{ia()}, DHCP6Invalid, none, false, None},
		{"ADVERTISE", macStray, advertise, options{ia(), ours}, DHCP6Invalid, none, false, None},
	} {
		t.Run(test.name, func(t *testing.T) {
			link := addr("fe80::1234")
			m := message6(test.mac, test.send, test.options...)
			r := want(t, segment(), frame6(test.mac, link, m), test.outcome, test.reply != none)
			if r.Event.Kind != test.event || test.event != None && r.Event.MAC != test.mac {
				t.Errorf("event = %v, want %v", r.Event, test.event)
			}
			if test.reply == none {
				return
			}
			p, got := reply6(t, r.Reply)
			if MAC(r.Reply) != test.mac || MAC(r.Reply[6:]) != macGateway || p.dst != link || p.src != segment().LinkLocal() {
				t.Errorf("reply from %v to %x, %v", p.src, r.Reply[:6], p.dst)
			}
			if got.MessageType != test.reply || got.TransactionID != m.TransactionID ||
				!got.Options.ClientID().Equal(duid(test.mac)) || !got.Options.ServerID().Equal(duid(macGateway)) {
				t.Errorf("reply %v, want %v", got.LongString(0), test.reply)
			}
			if rapid := got.GetOneOption(dhcpv6.OptionRapidCommit) != nil; rapid != (test.send == solicit && test.reply == reply) {
				t.Errorf("rapid commit: %v", rapid)
			}
			gave := false
			for _, ia := range got.Options.IANA() {
				for _, a := range ia.Options.Addresses() {
					gave = gave || a.IPv6Addr.Equal(web6.AsSlice()) && a.ValidLifetime == LeaseTime && ia.T1 == LeaseTime/2
				}
			}
			if gave != test.gives {
				t.Errorf("gives the address: %v, want %v: %v", gave, test.gives, got.LongString(0))
			}
		})
	}
}

// What was another address is none any more; who asks for more than one gets one.
func TestOtherAddresses(t *testing.T) {
	m := message6(macWeb, dhcpv6.MessageTypeRenew, ia(web6, free6), &dhcpv6.OptIANA{IaId: [4]byte{2}},
		&dhcpv6.OptIATA{IaId: [4]byte{3}}, &dhcpv6.OptIAPD{IaId: [4]byte{4}}, dhcpv6.OptServerID(duid(macGateway)))
	_, got := reply6(t, want(t, segment(), frame6(macWeb, linkWeb, m), DHCP6Answered, true).Reply)
	ias := got.Options.IANA()
	if len(ias) != 2 || len(ias[0].Options.Addresses()) != 2 || ias[0].Options.Addresses()[1].ValidLifetime != 0 {
		t.Fatalf("associations: %v", got.LongString(0))
	}
	for name, s := range map[string]*dhcpv6.OptStatusCode{
		"second": ias[1].Options.Status(), "temporary": got.Options.OneIATA().Options.Status(),
	} {
		if s == nil || s.StatusCode != iana.StatusNoAddrsAvail {
			t.Errorf("%s: status %v, want NoAddrsAvail", name, s)
		}
	}
	if s := got.Options.OneIAPD().Options.Status(); s == nil || s.StatusCode != iana.StatusNoPrefixAvail {
		t.Errorf("prefix: status %v, want NoPrefixAvail", s)
	}
	status := func(m *dhcpv6.Message) iana.StatusCode {
		_, got := reply6(t, want(t, segment(), frame6(macWeb, linkWeb, m), DHCP6Answered, true).Reply)
		return got.Options.Status().StatusCode
	}
	if got := status(message6(macWeb, dhcpv6.MessageTypeConfirm, ia(web6, addr("2001:db8::1")))); got != iana.StatusNotOnLink {
		t.Errorf("CONFIRM of an address of elsewhere: %v", got)
	}
	if got := status(message6(macWeb, dhcpv6.MessageTypeConfirm, ia(web6))); got != iana.StatusSuccess {
		t.Errorf("CONFIRM: %v", got)
	}
}

func TestConfigurationByDHCPv6(t *testing.T) {
	s := segment()
	s.DNS, s.Domain = []netip.Addr{gateway4, gateway6}, "prod.mesh"
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeInformationRequest}
	_, got := reply6(t, want(t, s, frame6(macStray, linkStray, m), DHCP6Answered, true).Reply)
	if dns := got.Options.DNS(); len(dns) != 1 || !dns[0].Equal(gateway6.AsSlice()) {
		t.Errorf("DNS = %v, want %v", dns, gateway6)
	}
	if l := got.Options.DomainSearchList(); l == nil || len(l.Labels) != 1 || l.Labels[0] != "prod.mesh" {
		t.Errorf("search list = %v", l)
	}
}

func TestInvalidDHCPv6(t *testing.T) {
	raw := func(from netip.Addr, fromPort uint16, to netip.Addr, toPort uint16, payload []byte) []byte {
		return appendUDP(appendEthernet(nil, group(allServers), macWeb, etherTypeIPv6), netip.AddrPortFrom(from, fromPort), netip.AddrPortFrom(to, toPort), payload)
	}
	good := solicit6(macWeb).ToBytes()
	many := solicit6(macWeb)
	for range 60 {
		many.AddOption(ia())
	}
	flipped := raw(linkWeb, 546, allServers, 547, good)
	flipped[70] ^= 1
	for name, test := range map[string]struct {
		frame   []byte
		outcome Outcome
	}{
		"to one server":           {raw(linkWeb, 546, segment().LinkLocal(), 547, good), DHCP6Ignored},
		"from a global address":   {raw(web6, 546, allServers, 547, good), DHCP6Invalid},
		"from a relay agent":      {raw(linkWeb, 547, allServers, 547, good), DHCP6Invalid},
		"checksum":                {flipped, DHCP6Invalid},
		"cut short":               {raw(linkWeb, 546, allServers, 547, good)[:70], DHCP6Invalid},
		"an option too long":      {raw(linkWeb, 546, allServers, 547, good[:len(good)-1]), DHCP6Invalid},
		"empty":                   {raw(linkWeb, 546, allServers, 547, nil), DHCP6Invalid},
		"relayed":                 {raw(linkWeb, 546, allServers, 547, append([]byte{12}, make([]byte, 33)...)), DHCP6Invalid},
		"without client":          {raw(linkWeb, 546, allServers, 547, []byte{1, 0, 0, 0}), DHCP6Invalid},
		"more than a reply holds": {frame6(macWeb, linkWeb, many), DHCP6Invalid},
	} {
		t.Run(name, func(t *testing.T) { want(t, segment(), test.frame, test.outcome, false) })
	}
	want(t, segment(), raw(linkWeb, 547, linkStray, 546, good), DHCP6Rogue, false)
}
