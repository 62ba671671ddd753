package answer

import (
	"testing"
	"time"
)

// "Each MAC has a rate of its own": so many in a second, and as many at once.
func TestLimiter(t *testing.T) {
	now := time.Now()
	l := NewLimiter(now)
	count := func(frame []byte, now time.Time) (n int) {
		for range 10 * resolveRate {
			if l.Allow(now, frame) {
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
	if n := count(dhcp, now.Add(time.Second/2)); n != dhcpRate/2 {
		t.Errorf("DHCP half a second later: %d, want %d", n, dhcpRate/2)
	}
	if n := count(dhcp, now.Add(time.Hour)); n != dhcpRate {
		t.Errorf("DHCP an hour later: %d, want %d", n, dhcpRate)
	}
	others := 0
	for i := range 100 {
		mac := MAC{2, 1, 1, 1, 1, byte(i)}
		if l.Allow(now.Add(time.Hour), frame4(mac, discover(mac))) {
			others++
		}
	}
	if others < 90 {
		t.Errorf("of 100 other MACs %d are answered", others)
	}
}
