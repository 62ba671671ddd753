package answer

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// The network of the tests: two attachments and a machine with a temporary lease on this host, one attachment elsewhere.
var (
	macGateway = MAC{0x02, 0, 0, 0, 0, 0xfe}
	macWeb     = MAC{0x02, 0, 0, 0, 0, 1} // here
	macDB      = MAC{0x02, 0, 0, 0, 0, 2} // here
	macAPI     = MAC{0x02, 0, 0, 0, 0, 3} // on another host
	macVM      = MAC{0x02, 0, 0, 0, 0, 4} // here, when it asked
	macStray   = MAC{0x02, 0, 0, 0, 0, 9} // nobody's

	web4, web6 = addr("10.77.0.5"), addr("fd00::a1")
	db4, db6   = addr("10.77.0.6"), addr("fd00::a2")
	api4, api6 = addr("10.77.1.7"), addr("fd00::a3")
	vm4, vm6   = addr("10.77.0.8"), addr("fd00::a4")
	free4      = addr("10.77.2.2") // of nobody
	free6      = addr("fd00::ff")
	gateway4   = addr("10.77.0.1")
	gateway6   = addr("fd00::1")
	linkWeb    = addr("fe80::ff:fe00:1")
	linkStray  = addr("fe80::ff:fe00:9")
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func segment() *Segment {
	return &Segment{
		MAC: macGateway, MTU: 1500, Prefix: netip.MustParsePrefix("fd00::/64"), DHCP: Open,
		Pools: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("10.99.0.0/24")},
	}
}

func tables() *Tables {
	t := &Tables{Holders: map[netip.Addr]Holder{}, Leases: map[MAC]Lease{
		macWeb: {Name: "web", IPv4: netip.PrefixFrom(web4, 16), IPv6: web6},
		macDB:  {Name: "db", IPv4: netip.PrefixFrom(db4, 16), IPv6: db6, Temporary: true},
	}}
	for _, a := range []netip.Addr{web4, web6} {
		t.Holders[a] = Holder{MAC: macWeb, Local: true}
	}
	for _, a := range []netip.Addr{db4, db6} {
		t.Holders[a] = Holder{MAC: macDB, Local: true}
	}
	for _, a := range []netip.Addr{vm4, vm6} {
		t.Holders[a] = Holder{MAC: macVM, Local: true, Temporary: true}
	}
	for _, a := range []netip.Addr{api4, api6} {
		t.Holders[a] = Holder{MAC: macAPI, Local: false}
	}
	return t
}

// want fails unless frame comes to outcome, with a reply or without.
func want(t *testing.T, s *Segment, frame []byte, outcome Outcome, reply bool) Result {
	t.Helper()
	r := s.Answer(tables(), frame, false, nil)
	if r.Outcome != outcome || len(r.Reply) > 0 != reply {
		t.Fatalf("Answer() = %v, reply %x, want %v, reply %v", r.Outcome, r.Reply, outcome, reply)
	}
	if reply {
		checkFrame(t, r.Reply)
	}
	return r
}

// checkFrame fails if frame is not one that a kernel takes: lengths, and checksums, added up in another way than the package does.
func checkFrame(t testing.TB, frame []byte) {
	t.Helper()
	if len(frame) < 14+28 || frame[6]&1 != 0 {
		t.Fatalf("no frame: %x", frame)
	}
	p := frame[14:]
	var pseudo, upper []byte
	var protocol byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeARP:
		if len(p) != 28 {
			t.Fatalf("ARP of %d bytes", len(p))
		}
		return
	case etherTypeIPv4:
		if int(binary.BigEndian.Uint16(p[2:])) != len(p) || ones(p[:20]) != 0xffff {
			t.Fatalf("IPv4 header %x, packet of %d bytes", p[:20], len(p))
		}
		pseudo, upper, protocol = p[12:20], p[20:], p[9]
	case etherTypeIPv6:
		if int(binary.BigEndian.Uint16(p[4:])) != len(p)-40 {
			t.Fatalf("IPv6 header %x, packet of %d bytes", p[:40], len(p))
		}
		pseudo, upper, protocol = p[8:40], p[40:], p[6]
	}
	if protocol == protocolUDP && int(binary.BigEndian.Uint16(upper[4:])) != len(upper) {
		t.Fatalf("UDP header %x, datagram of %d bytes", upper[:8], len(upper))
	}
	all := append(append([]byte{}, pseudo...), byte(len(upper)>>8), byte(len(upper)), 0, protocol)
	if ones(append(all, upper...)) != 0xffff {
		t.Fatalf("checksum of %x is wrong", frame)
	}
}

// ones is the ones' complement sum, word by word.
func ones(b []byte) uint16 {
	s := uint16(0)
	for i, v := range b {
		w := uint16(v)
		if i%2 == 0 {
			w <<= 8
		}
		if s += w; s < w {
			s++
		}
	}
	return s
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		panic(err)
	}
	return b
}

// A neighbour solicitation as Linux 6.1 sends it, and what it is answered with.
func TestFramesOfAKernel(t *testing.T) {
	s := segment()
	s.Prefix = netip.MustParsePrefix("2001:db8::/64")
	tb := &Tables{Holders: map[netip.Addr]Holder{addr("2001:db8::2"): {MAC: macAPI}}}
	solicitation := unhex(`3333ff000002 02000000aa01 86dd 60000000 0020 3a ff 20010db8000000000000000000000005
		ff0200000000000000000001ff000002 8700 0000 00000000 20010db8000000000000000000000002 0101 02000000aa01`)
	p, _ := parseIPv6(solicitation[14:])
	binary.BigEndian.PutUint16(solicitation[56:], p.checksum(protocolICMPv6, p.upper))
	checkFrame(t, solicitation)
	got := hex.EncodeToString(s.Answer(tb, solicitation, false, nil).Reply)
	want := "02000000aa01020000000003" + "86dd6000000000203aff" + "20010db8000000000000000000000002" + "20010db8000000000000000000000005" + "8800"
	rest := "60000000" + "20010db8000000000000000000000002" + "0201020000000003"
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, rest) || len(got) != len(want)+4+len(rest) {
		t.Errorf("Answer() = %s, want %s####%s", got, want, rest)
	}
}

// prioritized puts a tag into frame that gives it priority 5 in no VLAN.
func prioritized(tpid uint16, frame []byte) []byte {
	b := binary.BigEndian.AppendUint16(append([]byte{}, frame[:12]...), tpid)
	return append(append(b, 0xa0, 0), frame[12:]...)
}

// "A tag of VLAN 0 says a priority; receivers take the frame as untagged": so it is judged like one. Other VLANs are links of their own.
func TestTags(t *testing.T) {
	claim := arp(broadcast, macStray, arpReply, macStray, api4, api4)
	vlan := prioritized(etherTypeVLAN, claim)
	vlan[15] = 7
	for _, test := range []struct {
		name    string
		frame   []byte
		outcome Outcome
		reply   bool
	}{
		{"claim by ARP", prioritized(etherTypeVLAN, claim), ARPClaimed, false},
		{"claim by ARP, service tag", prioritized(etherTypeQinQ, claim), ARPClaimed, false},
		{"claim by ARP, two tags", prioritized(etherTypeQinQ, prioritized(etherTypeVLAN, claim)), ARPClaimed, false},
		{"claim by ND", prioritized(etherTypeVLAN, advertisement(macDB, macStray, linkStray, db6, api6, flagSolicited, macStray)), NDClaimed, false},
		{"ARP", prioritized(etherTypeVLAN, arp(broadcast, macWeb, arpRequest, macWeb, web4, api4)), ARPAnswered, true},
		{"DHCP", prioritized(etherTypeVLAN, frame4(macWeb, discover(macWeb))), DHCP4Answered, true},
		{"router solicitation", prioritized(etherTypeVLAN, routerSolicit(macWeb, linkWeb, true)), RSAnswered, true},
		{"in a VLAN", vlan, Passed, false},
		{"in a VLAN, with a priority of its own", prioritized(etherTypeQinQ, vlan), Passed, false},
		{"nothing behind the tag", prioritized(etherTypeVLAN, claim)[:16], Passed, false},
		{"nothing behind the tags", prioritized(etherTypeQinQ, prioritized(etherTypeVLAN, claim))[:20], Passed, false},
		{"IPv4 cut short", prioritized(etherTypeVLAN, frame4(macWeb, discover(macWeb)))[:36], Passed, false},
	} {
		t.Run(test.name, func(t *testing.T) { want(t, segment(), test.frame, test.outcome, test.reply) })
	}
}

// RFC 1071, section 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2.
func TestChecksum(t *testing.T) {
	if got := ^checksum(0, unhex("0001f203f4f5f6f7")); got != 0xddf2 {
		t.Errorf("sum = %x, want ddf2", got)
	}
	if got := ^checksum(0, []byte{1}); got != 0x0100 {
		t.Errorf("sum of one byte = %x, want 0100", got)
	}
}

// "It does not allocate."
func TestResolvingDoesNotAllocate(t *testing.T) {
	s, tb, dst := segment(), tables(), make([]byte, 0, MaxAnswer)
	for name, frame := range map[string][]byte{
		"ARP":         arp(broadcast, macWeb, arpRequest, macWeb, web4, api4),
		"ARP, passed": arp(broadcast, macWeb, arpRequest, macWeb, web4, free4),
		"ND":          solicit(macWeb, web6, api6, true),
	} {
		if n := testing.AllocsPerRun(100, func() { s.Answer(tb, frame, false, dst) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
