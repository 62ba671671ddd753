package answer

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// icmpv6 returns a frame with an ICMPv6 message, of which the checksum is filled in.
func icmpv6(dst, src MAC, from, to netip.Addr, m []byte) []byte {
	return appendICMPv6(appendEthernet(nil, dst, src, etherTypeIPv6), from, to, m)
}

// group returns the MAC of an IPv6 group (RFC 2464, section 7).
func group(a netip.Addr) MAC {
	b := a.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// solicit returns a neighbour solicitation, as a kernel sends it.
func solicit(src MAC, from, target netip.Addr, link bool) []byte {
	m := append([]byte{neighborSolicitation, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	if link {
		m = append(append(m, optionSourceLink, 1), src[:]...)
	}
	return icmpv6(group(solicitedNode(target)), src, from, solicitedNode(target), m)
}

// advertisement returns a neighbour advertisement.
func advertisement(dst, src MAC, from, to, target netip.Addr, flags byte, link MAC) []byte {
	m := append([]byte{neighborAdvertisement, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice()...)
	return icmpv6(dst, src, from, to, append(append(m, optionTargetLink, 1), link[:]...))
}

// routerSolicit returns a router solicitation.
func routerSolicit(src MAC, from netip.Addr, link bool) []byte {
	m := []byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0}
	if link {
		m = append(append(m, optionSourceLink, 1), src[:]...)
	}
	all := addr("ff02::2")
	return icmpv6(group(all), src, from, all, m)
}

// unicast makes a frame one for dst alone.
func unicast(dst MAC, frame []byte) []byte { copy(frame, dst[:]); return frame }

func TestNeighborSolicitations(t *testing.T) {
	zero := netip.IPv6Unspecified()
	s := segment()
	link := s.LinkLocal()
	for _, test := range []struct {
		name    string
		frame   []byte
		outcome Outcome
		from    MAC // of the answer; zero: none
		says    MAC
		flags   byte
		to      netip.Addr
	}{
		{"for a container of another host", solicit(macWeb, web6, api6, true), NDAnswered, macAPI, macAPI, flagSolicited | flagOverride, web6},
		{"the same, without source option", solicit(macWeb, web6, api6, false), NDAnswered, macAPI, macAPI, flagSolicited | flagOverride, web6},
		{"the same, from a link-local address", solicit(macWeb, linkWeb, api6, true), NDAnswered, macAPI, macAPI, flagSolicited | flagOverride, linkWeb},
		{"for a container here", solicit(macWeb, web6, db6, true), NDKept, MAC{}, MAC{}, 0, zero},
		{"for the gateway", solicit(macWeb, web6, gateway6, true), NDAnswered, macGateway, macGateway, flagSolicited, web6},
		{"for the gateway's link-local address", solicit(macWeb, linkWeb, link, true), NDAnswered, macGateway, macGateway, flagSolicited, linkWeb},
		{"of the gateway alone", unicast(macGateway, solicit(macWeb, web6, gateway6, true)), NDAnswered, macGateway, macGateway, flagSolicited, web6},
		{"for nobody's address", solicit(macWeb, web6, free6, true), Passed, MAC{}, MAC{}, 0, zero},
		{"of one station alone", unicast(macAPI, solicit(macWeb, web6, api6, true)), Passed, MAC{}, MAC{}, 0, zero},

		// RFC 4862, section 5.4: duplicate address detection asks from the unspecified address.
		{"DAD of one's own", solicit(macWeb, zero, web6, false), NDKept, MAC{}, MAC{}, 0, zero},
		{"DAD of one in use elsewhere", solicit(macStray, zero, api6, false), NDAnswered, macAPI, macAPI, flagOverride, allNodes},
		{"DAD of one in use here", solicit(macStray, zero, web6, false), NDAnswered, macGateway, macWeb, flagOverride, allNodes},
		{"DAD of the gateway's", solicit(macStray, zero, gateway6, false), NDAnswered, macGateway, macGateway, 0, allNodes},
		{"DAD of nobody's", solicit(macStray, zero, free6, false), Passed, MAC{}, MAC{}, 0, zero},
		{"DAD of a link-local address", solicit(macWeb, zero, linkWeb, false), Passed, MAC{}, MAC{}, 0, zero},

		{"for a machine", solicit(macWeb, web6, vm6, true), Passed, MAC{}, MAC{}, 0, zero},
		{"DAD of a machine", solicit(macVM, zero, vm6, false), Passed, MAC{}, MAC{}, 0, zero},
		{"DAD of a machine's", solicit(macStray, zero, vm6, false), NDAnswered, macGateway, macVM, flagOverride, allNodes},
		{"from another's address", solicit(macStray, web6, api6, true), NDClaimed, MAC{}, MAC{}, 0, zero},
		{"from the gateway's address", solicit(macStray, gateway6, api6, true), NDClaimed, MAC{}, MAC{}, 0, zero},
		{"DAD with a source option", solicit(macStray, zero, api6, true), NDInvalid, MAC{}, MAC{}, 0, zero},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := want(t, s, test.frame, test.outcome, test.from != MAC{})
			if len(r.Reply) == 0 {
				return
			}
			dst := MAC(test.frame[6:])
			if test.to == allNodes {
				dst = allNodesMAC
			}
			if MAC(r.Reply) != dst || MAC(r.Reply[6:]) != test.from {
				t.Errorf("answer from %x to %x, want from %x to %x", r.Reply[6:12], r.Reply[:6], test.from, dst)
			}
			p, ok := parseIPv6(r.Reply[14:])
			target := netip.AddrFrom16([16]byte(test.frame[62:]))
			if !ok || p.hopLimit != 255 || p.src != target || p.dst != test.to {
				t.Errorf("packet from %v to %v, hop limit %d, want from %v to %v", p.src, p.dst, p.hopLimit, target, test.to)
			}
			m := p.upper
			if m[0] != neighborAdvertisement || m[4] != test.flags || netip.AddrFrom16([16]byte(m[8:])) != target {
				t.Errorf("message %x, want flags %x for %v", m, test.flags, target)
			}
			if l, ok := parseOptions(m[24:]); !ok || l.target != test.says {
				t.Errorf("options %x, want target link-layer address %x", m[24:], test.says)
			}
		})
	}
	// Where the kernel is the gateway, it answers itself, and its MAC does not come from the TAP.
	s.Router = true
	want(t, s, solicit(macWeb, web6, gateway6, true), NDKept, false)
	want(t, s, arp(broadcast, macWeb, arpRequest, macWeb, web4, gateway4), ARPKept, false)
	for name, frame := range map[string][]byte{
		"DAD": solicit(macStray, zero, web6, false), "RS": routerSolicit(macWeb, linkWeb, true),
		"DHCPv4": frame4(macWeb, discover(macWeb)), "DHCPv6": frame6(macWeb, linkWeb, solicit6(macWeb)),
	} {
		r := s.Answer(tables(), frame, false, nil)
		if len(r.Reply) == 0 || MAC(r.Reply[6:]) == macGateway || r.Reply[6]&1 != 0 {
			t.Errorf("%s: answer %x, want one that does not come from the gateway", name, r.Reply)
		}
	}
}

func TestNeighborAdvertisements(t *testing.T) {
	for _, test := range []struct {
		name    string
		frame   []byte
		outcome Outcome
	}{
		{"of one's own, to who asked", advertisement(macAPI, macWeb, web6, api6, web6, flagSolicited|flagOverride, macWeb), Passed},
		{"of one's own, to all", advertisement(allNodesMAC, macWeb, web6, allNodes, web6, flagOverride, macWeb), NDKept},
		{"of a machine, to all", advertisement(allNodesMAC, macVM, vm6, allNodes, vm6, flagOverride, macVM), Passed},
		{"of a machine's, to all", advertisement(allNodesMAC, macStray, linkStray, allNodes, vm6, flagOverride, macStray), NDClaimed},
		{"of a link-local address, to all", advertisement(allNodesMAC, macWeb, linkWeb, allNodes, linkWeb, flagOverride, macWeb), Passed},
		{"of another's", advertisement(macDB, macStray, linkStray, db6, api6, flagSolicited, macStray), NDClaimed},
		{"of another's, by its MAC", advertisement(macDB, macStray, linkStray, db6, api6, flagSolicited, macAPI), NDClaimed},
		{"of one's own, with a MAC that is not", advertisement(macDB, macWeb, web6, db6, web6, flagSolicited, macStray), NDClaimed},
		{"of the gateway's", advertisement(macDB, macStray, linkStray, db6, gateway6, flagSolicited, macStray), NDClaimed},
		{"solicited, to all", advertisement(allNodesMAC, macWeb, web6, allNodes, web6, flagSolicited, macWeb), NDInvalid},
	} {
		t.Run(test.name, func(t *testing.T) { want(t, segment(), test.frame, test.outcome, false) })
	}
}

// RFC 4861, section 7.1.1: what a node must discard.
func TestInvalidSolicitations(t *testing.T) {
	change := func(at int, to byte, refill bool) []byte {
		b := solicit(macWeb, web6, api6, true)
		b[at] = to
		if refill {
			binary.BigEndian.PutUint16(b[56:], 0)
			p, _ := parseIPv6(b[14:])
			binary.BigEndian.PutUint16(b[56:], p.checksum(protocolICMPv6, p.upper))
		}
		return b
	}
	other := solicit(macWeb, netip.IPv6Unspecified(), free6, false)
	wrong := icmpv6(MAC(other), macStray, netip.IPv6Unspecified(), allNodes, append([]byte(nil), other[54:]...))
	for name, frame := range map[string][]byte{
		"hop limit 254":           change(21, 254, false),
		"checksum":                change(56, 0x12, false),
		"code 1":                  change(55, 1, true),
		"multicast target":        change(62, 0xff, true),
		"option of length 0":      change(79, 0, true),
		"option too long":         change(79, 2, true),
		"source option of others": change(81, 0x55, true),
		"cut short":               solicit(macWeb, web6, api6, true)[:70],
		"DAD not to the group":    wrong,
	} {
		want(t, segment(), frame, NDInvalid, false)
		_ = name
	}
}

func TestRouterSolicitations(t *testing.T) {
	s := segment()
	s.DNS, s.Domain = []netip.Addr{gateway4, gateway6}, "prod.mesh"
	r := want(t, s, routerSolicit(macWeb, linkWeb, true), RSAnswered, true)
	p, _ := parseIPv6(r.Reply[14:])
	if MAC(r.Reply) != macWeb || MAC(r.Reply[6:]) != macGateway || p.src != s.LinkLocal() || p.dst != linkWeb || p.hopLimit != 255 {
		t.Errorf("advertisement %x: from %v to %v", r.Reply, p.src, p.dst)
	}
	want16 := unhex(`86000000 40 c0 0000 00000000 00000000
		0101 0200000000fe 0501 0000 000005dc
		0304 40 80 ffffffff ffffffff 00000000 fd000000000000000000000000000000
		1903 0000 00000708 fd000000000000000000000000000001
		1f03 0000 00000708 0470726f64046d65736800 0000000000`)
	got := append([]byte(nil), p.upper...)
	got[2], got[3] = 0, 0
	if string(got) != string(want16) {
		t.Errorf("advertisement\n%x, want\n%x", got, want16)
	}

	r = want(t, s, routerSolicit(macWeb, netip.IPv6Unspecified(), false), RSAnswered, true)
	if p, _ := parseIPv6(r.Reply[14:]); p.dst != allNodes {
		t.Errorf("advertisement for who has no address to %v, want %v", p.dst, allNodes)
	}
	s.Router = true
	r = want(t, s, routerSolicit(macWeb, linkWeb, true), RSAnswered, true)
	if got := binary.BigEndian.Uint16(r.Reply[14+40+6:]); got != 1800 {
		t.Errorf("router lifetime = %d, want 1800", got)
	}
	checkFrame(t, s.Advertise(nil))
	want(t, s, routerSolicit(macWeb, netip.IPv6Unspecified(), true), RSInvalid, false)

	rogue := icmpv6(allNodesMAC, macStray, linkStray, allNodes, append([]byte{routerAdvertisement}, make([]byte, 15)...))
	if r := want(t, s, rogue, RogueRouter, false); r.Event != (Event{Kind: RogueRA, MAC: macStray}) {
		t.Errorf("event = %v", r.Event)
	}
}

// RFC 5227, section 3, and RFC 4861, section 7.2.6: who has an address now. The MAC of a container of this host must not come from the TAP.
func TestAnnounce(t *testing.T) {
	s := segment()
	for _, test := range []struct {
		addr   netip.Addr
		holder Holder
		from   MAC
	}{{api4, Holder{MAC: macAPI, Local: false}, macAPI}, {api6, Holder{MAC: macAPI, Local: false}, macAPI}, {web4, Holder{MAC: macWeb, Local: true}, macGateway}, {web6, Holder{MAC: macWeb, Local: true}, macGateway}} {
		f := s.Announce(nil, test.addr, test.holder)
		checkFrame(t, f)
		if f[0]&1 == 0 || MAC(f[6:]) != test.from {
			t.Errorf("%v: announced from %x to %x", test.addr, f[6:12], f[:6])
		}
		if p := f[14:]; test.addr.Is4() && (MAC(p[8:]) != test.holder.MAC || [4]byte(p[14:]) != test.addr.As4() || [4]byte(p[24:]) != test.addr.As4()) {
			t.Errorf("%v: ARP %x", test.addr, p)
		} else if test.addr.Is6() && (p[44] != flagOverride || [16]byte(p[48:]) != test.addr.As16() || MAC(p[66:]) != test.holder.MAC) {
			t.Errorf("%v: advertisement %x", test.addr, p)
		}
	}
}
