package answer

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// allServers is All_DHCP_Relay_Agents_and_Servers, to which clients send (RFC 8415, section 7.1).
var allServers = netip.MustParseAddr("ff02::1:2")

// udp6 answers a DHCPv6 client, and notices servers.
func (s *Segment) udp6(t *Tables, q *query, dst []byte) Result {
	if s.DHCP == Off {
		return Result{}
	}
	p, ok := parseIPv6(q.payload)
	if !ok {
		return Result{Outcome: DHCP6Invalid}
	}
	from, to, payload, ok := p.udp(q.partial)
	switch {
	case !ok:
		return Result{Outcome: DHCP6Invalid}
	case to != port6Server:
		return Result{Outcome: DHCP6Rogue, Event: Event{Kind: RogueDHCP, MAC: q.src}}
	case from == port6Server: // a relay agent
		return Result{Outcome: DHCP6Invalid}
	case p.dst != allServers: // nobody was told that it may send to one server alone (section 18.4)
		return Result{Outcome: DHCP6Ignored}
	case !p.src.IsLinkLocalUnicast():
		return Result{Outcome: DHCP6Invalid}
	}
	m, err := dhcpv6.MessageFromBytes(payload)
	if err != nil {
		return Result{Outcome: DHCP6Invalid}
	}
	l, known := t.Leases[q.src]
	c := client6{s: s, m: m, mac: q.src, source: p.src, lease: l, dst: dst}
	return s.fits(c.answer(known), dst, DHCP6Invalid)
}

// fits returns r, or invalid if its reply, which has what the client sent in it, is longer than a frame can be.
func (s *Segment) fits(r Result, dst []byte, invalid Outcome) Result {
	if len(r.Reply)-len(dst) > ethernetLen+s.MTU {
		return Result{Outcome: invalid}
	}
	return r
}

// client6 is what a DHCPv6 client says.
type client6 struct {
	s      *Segment
	m      *dhcpv6.Message
	mac    MAC
	source netip.Addr // of the packet
	lease  Lease      // what it holds
	dst    []byte
}

// answer answers by the type of the message (RFC 8415, section 18.3), if it has the identifiers that it has to (section 16).
func (c *client6) answer(known bool) Result {
	t := c.m.MessageType
	if !c.valid() {
		return Result{Outcome: DHCP6Invalid}
	}
	if id := c.m.Options.ServerID(); id != nil && !id.Equal(c.server()) {
		return Result{Outcome: DHCP6Ignored} // for another server
	}
	switch t {
	case dhcpv6.MessageTypeInformationRequest:
		return c.inform()
	case dhcpv6.MessageTypeConfirm:
		return c.confirm()
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		return c.giveBack(known)
	}
	switch {
	case !known && c.s.DHCP == Closed:
		return Result{Outcome: DHCP6Closed}
	case !known:
		return Result{Outcome: DHCP6Waiting, Event: Event{Kind: Needs, MAC: c.mac}}
	}
	return c.give()
}

// valid reports whether client and server identifier are there, and not there, as the type of the message wants it (section 16).
func (c *client6) valid() bool {
	o := c.m.Options
	client, server := o.ClientID() != nil, o.GetOne(dhcpv6.OptionServerID) != nil
	switch c.m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		return client && !server
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		return client && server && o.ServerID() != nil
	case dhcpv6.MessageTypeInformationRequest:
		return len(o.IANA()) == 0 && len(o.IATA()) == 0 && len(o.IAPD()) == 0 && (!server || o.ServerID() != nil)
	}
	return false
}

// server returns the server's identifier: by the gateway's MAC, so that a container that moves keeps its server.
func (c *client6) server() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: c.s.MAC[:]}
}

// give answers SOLICIT, REQUEST, RENEW and REBIND (sections 18.3.1, 2, 4 and 5) with the address that the attachment holds, for
// the first identity association; it has no others.
func (c *client6) give() Result {
	t := c.m.MessageType
	r := c.reply()
	if t == dhcpv6.MessageTypeSolicit {
		if c.m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		} else {
			r.MessageType = dhcpv6.MessageTypeAdvertise
		}
		r.AddOption(dhcpv6.OptPreference(255)) // it need not wait for others (section 18.2.1)
	}
	given := false
	for i, ia := range c.m.Options.IANA() {
		o := &dhcpv6.OptIANA{IaId: ia.IaId}
		if i == 0 && c.lease.IPv6.IsValid() {
			o.T1, o.T2 = c.lease.time()/2, c.lease.time()/5*4
			o.Options.Add(address6(c.lease.IPv6, c.lease.time()))
			given = true
		} else {
			o.Options.Add(status(iana.StatusNoAddrsAvail, "a container has one address"))
		}
		for _, a := range ia.Options.Addresses() {
			if old, ok := netip.AddrFromSlice(a.IPv6Addr); ok && (i > 0 || old != c.lease.IPv6) && t != dhcpv6.MessageTypeSolicit {
				o.Options.Add(address6(old, 0)) // not any more
			}
		}
		r.AddOption(o)
	}
	c.refuseOthers(r)
	c.configure(r)
	result := Result{Outcome: DHCP6Answered, Reply: c.send(r)}
	if given && r.MessageType == dhcpv6.MessageTypeReply {
		result.Event = Event{Renewed, c.mac, c.lease.IPv6}
	}
	return result
}

// refuseOthers answers what is asked for beside addresses: temporary ones, and prefixes.
func (c *client6) refuseOthers(r *dhcpv6.Message) {
	for _, ia := range c.m.Options.IATA() {
		o := &dhcpv6.OptIATA{IaId: ia.IaId}
		o.Options.Add(status(iana.StatusNoAddrsAvail, "there are no temporary addresses"))
		r.AddOption(o)
	}
	for _, ia := range c.m.Options.IAPD() {
		o := &dhcpv6.OptIAPD{IaId: ia.IaId}
		o.Options.Add(status(iana.StatusNoPrefixAvail, "there are no prefixes"))
		r.AddOption(o)
	}
}

// confirm says whether the client's addresses are right for this link (section 18.3.3).
func (c *client6) confirm() Result {
	r, count, code, text := c.reply(), 0, iana.StatusSuccess, "on this link"
	for _, ia := range c.m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			addr, _ := netip.AddrFromSlice(a.IPv6Addr)
			if count++; !c.s.Prefix.Contains(addr) {
				code, text = iana.StatusNotOnLink, "not on this link"
			}
		}
	}
	if count == 0 {
		return Result{Outcome: DHCP6Ignored}
	}
	r.AddOption(status(code, text))
	return Result{Outcome: DHCP6Answered, Reply: c.send(r)}
}

// inform answers an INFORMATION-REQUEST (section 18.3.6).
func (c *client6) inform() Result {
	r := c.reply()
	c.configure(r)
	return Result{Outcome: DHCP6Answered, Reply: c.send(r)}
}

// giveBack answers RELEASE and DECLINE (sections 18.3.7 and 8).
func (c *client6) giveBack(known bool) Result {
	r := c.reply()
	kind := Released
	if c.m.MessageType == dhcpv6.MessageTypeDecline {
		kind = Declined
	}
	result := Result{Outcome: DHCP6Answered}
	for _, ia := range c.m.Options.IANA() {
		held := false
		for _, a := range ia.Options.Addresses() {
			if addr, _ := netip.AddrFromSlice(a.IPv6Addr); known && addr == c.lease.IPv6 {
				held = true
				result.Event = Event{kind, c.mac, addr}
			}
		}
		if !held {
			o := &dhcpv6.OptIANA{IaId: ia.IaId}
			o.Options.Add(status(iana.StatusNoBinding, "this container does not hold it"))
			r.AddOption(o)
		}
	}
	r.AddOption(status(iana.StatusSuccess, ""))
	result.Reply = c.send(r)
	return result
}

// reply returns what every reply has.
func (c *client6) reply() *dhcpv6.Message {
	r := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: c.m.TransactionID}
	if id := c.m.GetOneOption(dhcpv6.OptionClientID); id != nil {
		r.AddOption(id)
	}
	r.AddOption(dhcpv6.OptServerID(c.server()))
	return r
}

// configure adds what is the same for all containers.
func (c *client6) configure(r *dhcpv6.Message) {
	if servers := c.s.servers(netip.Addr.Is6); len(servers) > 0 {
		r.AddOption(dhcpv6.OptDNS(ips(servers)...))
	}
	if c.s.Domain != "" {
		r.AddOption(dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{c.s.Domain}}))
	}
}

func address6(a netip.Addr, valid time.Duration) dhcpv6.Option {
	return &dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice(), PreferredLifetime: valid, ValidLifetime: valid}
}

func status(code iana.StatusCode, text string) dhcpv6.Option {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: text}
}

// send returns the frame that brings r to the client.
func (c *client6) send(r *dhcpv6.Message) []byte {
	b := appendEthernet(c.dst, c.mac, c.s.source(), etherTypeIPv6)
	return appendUDP(b, netip.AddrPortFrom(c.s.LinkLocal(), port6Server), netip.AddrPortFrom(c.source, port6Client), r.ToBytes())
}
