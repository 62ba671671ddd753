package answer

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// udp4 answers a DHCP client, and notices servers.
func (s *Segment) udp4(t *Tables, q *query, dst []byte) Result {
	if s.DHCP == Off {
		return Result{}
	}
	p, ok := parseIPv4(q.payload)
	if !ok {
		return Result{Outcome: DHCP4Invalid}
	}
	from, to, payload, ok := p.udp(q.partial)
	switch {
	case !ok:
		return Result{Outcome: DHCP4Invalid}
	case to != port4Server:
		return Result{Outcome: DHCP4Rogue, Event: Event{Kind: RogueDHCP, MAC: q.src}}
	case from == port4Server: // a relay agent
		return Result{Outcome: DHCP4Invalid}
	case p.dst != limitedBroadcast && !s.gateway(p.dst):
		return Result{} // to a server elsewhere, if the boundary lets it
	}
	m, err := dhcpv4.FromBytes(payload)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet ||
		!bytes.Equal(m.ClientHWAddr, q.src[:]) || !m.GatewayIPAddr.IsUnspecified() || len(m.Options.Get(dhcpv4.OptionDHCPMessageType)) != 1 {
		return Result{Outcome: DHCP4Invalid}
	}
	l, known := t.Leases[q.src]
	c := client4{s: s, m: m, mac: q.src, source: p.src, lease: l, dst: dst}
	c.requested, c.bound, c.server = ipOf(m.RequestedIPAddress()), ipOf(m.ClientIPAddr), ipOf(m.ServerIdentifier())
	return s.fits(c.answer(known), dst, DHCP4Invalid)
}

// client4 is what a DHCPv4 client says (RFC 2131, table 5).
type client4 struct {
	s         *Segment
	m         *dhcpv4.DHCPv4
	mac       MAC
	source    netip.Addr // of the packet
	lease     Lease      // what it holds; IPv4 may be invalid
	requested netip.Addr // option 50; invalid if it is not there
	bound     netip.Addr // ciaddr; invalid if it is zero
	server    netip.Addr // option 54; invalid if it is not there
	dst       []byte
}

// answer answers by the type of the message (RFC 2131, section 4.3).
func (c *client4) answer(known bool) Result {
	switch t := c.m.MessageType(); t {
	case dhcpv4.MessageTypeInform:
		return c.inform()
	case dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline:
		return c.giveBack(t)
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest:
		switch {
		case c.server.IsValid() && !c.s.gateway(c.server):
			return Result{Outcome: DHCP4Ignored} // it has chosen another server
		case !known && c.s.DHCP == Closed:
			return Result{Outcome: DHCP4Closed}
		case !known, c.lease.Temporary && !c.lease.IPv4.IsValid() && len(c.s.Pools) > 0: // there may be an address by now
			return Result{Outcome: DHCP4Waiting, Event: Event{Kind: Needs, MAC: c.mac}}
		case t == dhcpv4.MessageTypeDiscover:
			return c.discover()
		}
		return c.request()
	}
	return Result{Outcome: DHCP4Invalid} // what only servers say, or nobody
}

// discover offers the address that the attachment holds (section 4.3.1).
func (c *client4) discover() Result {
	if !c.lease.IPv4.IsValid() {
		return Result{Outcome: DHCP4Ignored}
	}
	return Result{Outcome: DHCP4Answered, Reply: c.give(dhcpv4.MessageTypeOffer)}
}

// request answers a DHCPREQUEST, which is one of four (section 4.3.2): of what was offered, with a server identifier; of an
// address from before a reboot, in option 50; to renew or to rebind, of the one in ciaddr. Whoever asks for what it does not hold is
// told so: this is the only server here.
func (c *client4) request() Result {
	want := c.requested
	switch {
	case c.server.IsValid(), want.IsValid(): // SELECTING, INIT-REBOOT
		if c.bound.IsValid() || !want.IsValid() {
			return Result{Outcome: DHCP4Invalid}
		}
	case c.bound.IsValid(): // RENEWING, REBINDING
		want = c.bound
	default:
		return Result{Outcome: DHCP4Invalid}
	}
	if !c.lease.IPv4.IsValid() || want != c.lease.IPv4.Addr() {
		return c.refuse("this container does not hold " + want.String())
	}
	return Result{
		Outcome: DHCP4Answered, Reply: c.give(dhcpv4.MessageTypeAck), Event: Event{Renewed, c.mac, want},
	}
}

// inform tells who has an address already everything else (section 4.3.5).
func (c *client4) inform() Result {
	if !c.bound.IsValid() || c.source != c.bound || c.server.IsValid() && !c.s.gateway(c.server) {
		return Result{Outcome: DHCP4Invalid}
	}
	pool, ok := c.s.pool(c.bound)
	if !ok || c.lease.IPv4.IsValid() && c.lease.IPv4.Addr() != c.bound {
		return Result{Outcome: DHCP4Ignored} // what it should know is about other addresses
	}
	r := c.reply(dhcpv4.MessageTypeAck, Gateway4(pool))
	c.configure(r, netip.PrefixFrom(c.bound, pool.Bits()))
	return Result{Outcome: DHCP4Answered, Reply: c.send(r, Gateway4(pool), c.mac, c.bound)}
}

// giveBack takes note of a DHCPRELEASE or DHCPDECLINE, which are not answered (sections 4.3.3 and 4.3.4).
func (c *client4) giveBack(t dhcpv4.MessageType) Result {
	addr, kind := c.bound, Released
	if t == dhcpv4.MessageTypeDecline {
		addr, kind = c.requested, Declined
	}
	if !c.server.IsValid() || !c.s.gateway(c.server) || !c.lease.IPv4.IsValid() || addr != c.lease.IPv4.Addr() {
		return Result{Outcome: DHCP4Ignored}
	}
	return Result{Outcome: DHCP4Noted, Event: Event{kind, c.mac, addr}}
}

// give returns the frame of a DHCPOFFER or DHCPACK of the lease.
func (c *client4) give(t dhcpv4.MessageType) []byte {
	server := Gateway4(c.lease.IPv4)
	r := c.reply(t, server)
	r.YourIPAddr = c.lease.IPv4.Addr().AsSlice()
	valid := c.lease.time()
	r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(valid))
	r.UpdateOption(dhcpv4.OptRenewTimeValue(valid / 2))
	r.UpdateOption(dhcpv4.OptRebindingTimeValue(valid / 8 * 7)) // section 4.4.5
	c.configure(r, c.lease.IPv4)
	switch {
	case c.bound.IsValid():
		return c.send(r, server, c.mac, c.bound)
	case c.m.IsBroadcast():
		return c.send(r, server, broadcast, limitedBroadcast)
	}
	return c.send(r, server, c.mac, c.lease.IPv4.Addr())
}

// refuse returns a DHCPNAK, which is broadcast (section 4.3.2).
func (c *client4) refuse(why string) Result {
	server := c.server
	if pool := c.lease.IPv4; !server.IsValid() && pool.IsValid() {
		server = Gateway4(pool)
	} else if !server.IsValid() {
		if len(c.s.Pools) == 0 {
			return Result{Outcome: DHCP4Ignored}
		}
		server = Gateway4(c.s.Pools[0])
	}
	r := c.reply(dhcpv4.MessageTypeNak, server)
	r.ClientIPAddr = net.IPv4zero
	r.UpdateOption(dhcpv4.OptMessage(why))
	return Result{Outcome: DHCP4Refused, Reply: c.send(r, server, broadcast, limitedBroadcast)}
}

// reply returns what every reply has (table 3).
func (c *client4) reply(t dhcpv4.MessageType, server netip.Addr) *dhcpv4.DHCPv4 {
	r := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        iana.HWTypeEthernet,
		ClientHWAddr:  c.mac[:],
		TransactionID: c.m.TransactionID,
		Flags:         c.m.Flags,
		ClientIPAddr:  net.IPv4zero,
		YourIPAddr:    net.IPv4zero,
		ServerIPAddr:  net.IPv4zero,
		GatewayIPAddr: net.IPv4zero,
		Options:       make(dhcpv4.Options),
	}
	if t == dhcpv4.MessageTypeAck {
		r.ClientIPAddr = c.m.ClientIPAddr
	}
	r.UpdateOption(dhcpv4.OptMessageType(t))
	r.UpdateOption(dhcpv4.OptServerIdentifier(server.AsSlice()))
	if id := c.m.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		r.UpdateOption(dhcpv4.OptClientIdentifier(id)) // RFC 6842
	}
	return r
}

// configure adds what a client with an address in pool is to know, as far as it asks for it (section 4.3.1); a client that says
// nothing gets everything.
func (c *client4) configure(r *dhcpv4.DHCPv4, pool netip.Prefix) {
	r.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(pool.Bits(), 32)))
	all := !c.m.Options.Has(dhcpv4.OptionParameterRequestList)
	add := func(code dhcpv4.OptionCode, o dhcpv4.Option) {
		if all || c.m.IsOptionRequested(code) {
			r.UpdateOption(o)
		}
	}
	add(dhcpv4.OptionInterfaceMTU, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{byte(c.s.MTU >> 8), byte(c.s.MTU)}))
	if c.lease.Name != "" {
		add(dhcpv4.OptionHostName, dhcpv4.OptHostName(c.lease.Name))
	}
	if c.s.Router {
		add(dhcpv4.OptionRouter, dhcpv4.OptRouter(Gateway4(pool).AsSlice()))
	}
	if routes := c.routes(pool); len(routes) > 0 {
		add(dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptClasslessStaticRoute(routes...))
	}
	if servers := c.s.servers(netip.Addr.Is4); len(servers) > 0 {
		add(dhcpv4.OptionDomainNameServer, dhcpv4.OptDNS(ips(servers)...))
	}
	if c.s.Domain != "" {
		add(dhcpv4.OptionDomainName, dhcpv4.OptDomainName(c.s.Domain))
		add(dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{c.s.Domain}}))
	}
}

// routes returns the other pools, which are on the same link, if there are any. Who takes them takes no router from option 3
// (RFC 3442), so that is among them.
func (c *client4) routes(pool netip.Prefix) []*dhcpv4.Route {
	var routes []*dhcpv4.Route
	for _, p := range c.s.Pools {
		if !p.Contains(pool.Addr()) {
			routes = append(routes, route(p, netip.IPv4Unspecified()))
		}
	}
	if len(routes) > 0 && c.s.Router {
		routes = append(routes, route(netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway4(pool)))
	}
	return routes
}

func route(to netip.Prefix, by netip.Addr) *dhcpv4.Route {
	return &dhcpv4.Route{
		Dest:   &net.IPNet{IP: to.Masked().Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)},
		Router: by.AsSlice(),
	}
}

// send returns the frame that brings r from server to a client.
func (c *client4) send(r *dhcpv4.DHCPv4, server netip.Addr, mac MAC, to netip.Addr) []byte {
	b := appendEthernet(c.dst, mac, c.s.source(), etherTypeIPv4)
	return appendUDP(b, netip.AddrPortFrom(server, port4Server), netip.AddrPortFrom(to, port4Client), r.ToBytes())
}

// ips returns addresses as the DHCP packages want them.
func ips(addrs []netip.Addr) []net.IP {
	list := make([]net.IP, len(addrs))
	for i, a := range addrs {
		list[i] = a.AsSlice()
	}
	return list
}

// ipOf returns ip, which may be nil, as an address; invalid if there is none or it is zero.
func ipOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
