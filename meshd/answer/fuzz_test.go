package answer

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// fuzz calls Answer for anything, and fails if it panics, if it answers what is not valid, or if an answer is not valid or not for
// who asked. frame is what the fuzzer changes, from its seeds.
func fuzz(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s, false)
		f.Add(s, true)
	}
	s, tb := segment(), tables()
	s.Router, s.DNS, s.Domain = true, []netip.Addr{gateway4, gateway6}, "prod.mesh"
	f.Fuzz(func(t *testing.T, frame []byte, fix bool) {
		if len(frame) < 14 || len(frame) > 1518 || frame[12] == 0x81 && frame[13] == 0 || frame[12] == 0x88 && frame[13] == 0xa8 {
			return // tags come below
		}
		if fix {
			repair(frame) // else hardly any is right in all its lengths and checksums
		}
		before := string(frame)
		r := s.Answer(tb, frame, false, nil)
		if string(frame) != before {
			t.Fatal("the frame was changed")
		}
		if p := s.Answer(tb, prioritized(etherTypeQinQ, prioritized(etherTypeVLAN, frame)), false, nil); p.Outcome != r.Outcome || !bytes.Equal(p.Reply, r.Reply) {
			t.Fatalf("with a priority: %v %x, without: %v %x", p.Outcome, p.Reply, r.Outcome, r.Reply)
		}
		if len(r.Reply) == 0 {
			return
		}
		checkFrame(t, r.Reply)
		if dst := MAC(r.Reply); dst != MAC(frame[6:]) && dst != broadcast && dst != allNodesMAC {
			t.Fatalf("answer to %x of a question from %x", dst, frame[6:12])
		}
		if binary.BigEndian.Uint16(frame[12:]) != etherTypeARP {
			checkFrame(t, trim(frame))
		}
		switch r.Outcome {
		case DHCP4Answered, DHCP4Refused:
			reply4(t, r.Reply)
		case DHCP6Answered:
			reply6(t, r.Reply)
		case NDAnswered, RSAnswered:
			if p, ok := parseIPv6(r.Reply[14:]); !ok || frame[21] != 255 || p.hopLimit != 255 {
				t.Fatalf("hop limits %d and %d", frame[21], p.hopLimit)
			}
		}
	})
}

// trim cuts off what is behind an IP packet. A UDP checksum of zero over IPv4 is none, and is filled in.
func trim(frame []byte) []byte {
	b := append([]byte(nil), frame...)
	if binary.BigEndian.Uint16(b[12:]) == etherTypeIPv6 {
		b = b[:14+40+int(binary.BigEndian.Uint16(b[18:]))]
	} else {
		b = b[:14+int(binary.BigEndian.Uint16(b[16:]))]
		if b[14]&0x0f != 5 || b[40] == 0 && b[41] == 0 {
			repair(b)
			b = append(b[:34:34], b[14+int(b[14]&0x0f)*4:]...) // checkFrame knows no options
			b[14] = 0x45
			binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
			repair(b)
		}
	}
	if b[12] == 0x86 && b[20] == protocolUDP || b[12] == 0x08 {
		at := 54
		if b[12] == 0x08 {
			at = 34
		}
		if n := int(binary.BigEndian.Uint16(b[at+4:])); at+n < len(b) { // bytes behind the datagram
			b = b[:at+n]
			repair(b)
		}
	}
	return b
}

// repair makes lengths and checksums right, where there is room for them.
func repair(b []byte) {
	if len(b) < 14+40+8 {
		return
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherTypeIPv4:
		b[14] = 0x45
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		b[20], b[21] = 0, 0
		binary.BigEndian.PutUint16(b[24:], 0)
		binary.BigEndian.PutUint16(b[24:], checksum(0, b[14:34]))
		p, _ := parseIPv4(b[14:])
		binary.BigEndian.PutUint16(b[38:], uint16(len(b)-34))
		binary.BigEndian.PutUint16(b[40:], 0)
		binary.BigEndian.PutUint16(b[40:], p.checksum(protocolUDP, b[34:]))
	case etherTypeIPv6:
		b[14] = 0x60
		binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
		p, _ := parseIPv6(b[14:])
		at := 56
		if b[20] == protocolUDP {
			binary.BigEndian.PutUint16(b[58:], uint16(len(b)-54))
			at = 60
		}
		binary.BigEndian.PutUint16(b[at:], 0)
		binary.BigEndian.PutUint16(b[at:], p.checksum(b[20], b[54:]))
	}
}

func FuzzARP(f *testing.F) {
	fuzz(f, arp(broadcast, macWeb, arpRequest, macWeb, web4, api4), arp(broadcast, macStray, arpReply, macStray, web4, api4),
		arp(macGateway, macStray, arpRequest, macStray, addr("0.0.0.0"), gateway4))
}

func FuzzND(f *testing.F) {
	fuzz(f, solicit(macWeb, web6, api6, true), solicit(macStray, addr("::"), web6, false),
		advertisement(macAPI, macWeb, web6, api6, web6, flagSolicited, macWeb), routerSolicit(macWeb, linkWeb, true))
}

func FuzzDHCPv4(f *testing.F) {
	fuzz(f, frame4(macWeb, discover(macWeb, dhcpv4.WithRequestedOptions(dhcpv4.OptionRouter, dhcpv4.OptionClasslessStaticRoute))),
		frame4(macWeb, message4(macWeb, dhcpv4.MessageTypeRequest, requested(web4), server(gateway4))),
		frame4(macDB, message4(macDB, dhcpv4.MessageTypeRequest, ciaddr(web4))),
		frame4(macDB, message4(macDB, dhcpv4.MessageTypeInform, ciaddr(db4))),
		frame4(macDB, message4(macDB, dhcpv4.MessageTypeRelease, ciaddr(db4), server(gateway4))))
}

func FuzzDHCPv6(f *testing.F) {
	ours := dhcpv6.OptServerID(duid(macGateway))
	fuzz(f, frame6(macWeb, linkWeb, solicit6(macWeb)),
		frame6(macWeb, linkWeb, message6(macWeb, dhcpv6.MessageTypeRenew, ia(web6, free6), ours, &dhcpv6.OptIAPD{IaId: [4]byte{4}})),
		frame6(macDB, linkWeb, message6(macDB, dhcpv6.MessageTypeRelease, ia(db6), ours)),
		frame6(macDB, linkWeb, message6(macDB, dhcpv6.MessageTypeConfirm, ia(db6))),
		frame6(macDB, linkWeb, message6(macDB, dhcpv6.MessageTypeInformationRequest)))
}
