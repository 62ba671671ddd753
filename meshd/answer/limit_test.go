package answer

import (
	"math/rand/v2"
	"testing"
	"time"
)

// limited returns the tables of the tests, whose leases have rates.
func limited() *Tables {
	t := tables()
	for mac, l := range t.Leases {
		l.Rates = new(Rates)
		t.Leases[mac] = l
	}
	return t
}

// "Each MAC with a lease has rates of its own": so many in a second, and as many at once.
func TestLimiter(t *testing.T) {
	now := time.Now()
	l, tb := NewLimiter(now), limited()
	count := func(frame []byte, now time.Time) (n int) {
		for range 10 * resolveRate {
			if l.Allow(now, tb, frame) {
				n++
			}
		}
		return n
	}
	dhcp, ask := frame4(macWeb, discover(macWeb)), arp(broadcast, macWeb, arpRequest, macWeb, web4, api4)
	if n := count(dhcp, now); n != dhcpRate {
		t.Errorf("DHCP at once: %d, want %d", n, dhcpRate)
	}
	if n := count(frame6(macWeb, linkWeb, solicit6(macWeb)), now); n != 0 {
		t.Errorf("DHCPv6 after that: %d, want 0", n)
	}
	if n := count(ask, now); n != resolveRate {
		t.Errorf("ARP at once: %d, want %d", n, resolveRate)
	}
	if n := count(solicit(macWeb, web6, api6, true), now); n != 0 {
		t.Errorf("ND after that: %d, want 0", n)
	}
	if n := count(prioritized(etherTypeVLAN, solicit(macWeb, web6, api6, true)), now); n != 0 {
		t.Errorf("ND with a priority after that: %d, want 0", n)
	}
	if n := count(frame4(macDB, discover(macDB)), now); n != dhcpRate {
		t.Errorf("DHCP of another container: %d, want %d", n, dhcpRate)
	}
	if n := count(frame4(macStray, discover(macStray)), now); n != dhcpRate {
		t.Errorf("DHCP of a stranger: %d, want %d", n, dhcpRate)
	}
	if n := count(dhcp, now.Add(time.Second/2)); n != dhcpRate/2 {
		t.Errorf("DHCP half a second later: %d, want %d", n, dhcpRate/2)
	}
	if n := count(dhcp, now.Add(time.Hour)); n != dhcpRate {
		t.Errorf("DHCP an hour later: %d, want %d", n, dhcpRate)
	}
}

// "All others, of which anybody can make up any number, share one of each kind": they push out no container.
func TestMadeUpMACsPushOutNobody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for name, frame := range map[string]func(MAC) []byte{
		"DHCP": func(mac MAC) []byte { return frame4(mac, discover(mac)) },
		"ARP":  func(mac MAC) []byte { return arp(broadcast, mac, arpRequest, mac, free4, api4) },
	} {
		t.Run(name, func(t *testing.T) {
			const pps = 30_000
			now := time.Now()
			l, tb := NewLimiter(now), limited()
			of := map[MAC][]byte{macWeb: frame(macWeb), macDB: frame(macDB)}
			flood := frame(macStray)
			strangers := 0
			for i := range 2 * pps {
				now = now.Add(time.Second / pps)
				mac := random.Uint64()
				copy(flood[6:], []byte{2, 0xee, byte(mac), byte(mac >> 8), byte(mac >> 16), byte(mac >> 24)})
				if l.Allow(now, tb, flood) {
					strangers++
				}
				if i%(pps/10) != 0 {
					continue
				}
				for mac, f := range of {
					if !l.Allow(now, tb, f) {
						t.Fatalf("a frame of %x is not answered, which sends ten in a second", mac)
					}
				}
			}
			if limit := 3*resolveRate + 1; strangers > limit {
				t.Errorf("%d frames of made-up MACs were answered in 2 s, want at most %d", strangers, limit)
			}
			if limit := 3*dhcpRate + 1; name == "DHCP" && strangers > limit {
				t.Errorf("%d frames of made-up MACs were answered in 2 s, want at most %d", strangers, limit)
			}
		})
	}
}
