package answer

import "testing"

// BenchmarkAsks is what answering costs a frame that asks nothing.
func BenchmarkAsks(b *testing.B) {
	frame := make([]byte, 1514)
	copy(frame, append(appendEthernet(nil, macAPI, macWeb, etherTypeIPv4), 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6))
	for b.Loop() {
		if Asks(frame) {
			b.Fatal("TCP asks nothing")
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	s, tb, dst := segment(), tables(), make([]byte, 0, MaxAnswer)
	for name, frame := range map[string][]byte{
		"ARP":    arp(broadcast, macWeb, arpRequest, macWeb, web4, api4),
		"ND":     solicit(macWeb, web6, api6, true),
		"DHCPv4": frame4(macWeb, discover(macWeb)),
		"DHCPv6": frame6(macWeb, linkWeb, solicit6(macWeb)),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Answer(tb, frame, false, dst)
			}
		})
	}
}
