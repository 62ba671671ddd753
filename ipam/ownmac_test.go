package ipam

import (
	"net/netip"
	"testing"
)

// "Its interface has this one already": the lease has the MAC that is asked with, or there is none.
func TestLeaseWithAMACOfItsOwn(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	own := MAC{0x02, 1, 2, 3, 4, 5}
	lease := func(a Attachment, mac MAC, taken func(netip.Addr, MAC) bool) (Lease, error) {
		return s.Lease(epoch, Request{Attachment: a, Holder: cni, MAC: mac, IPv4: V4Request{None: true}}, taken)
	}
	first, err := lease(web, own, nil)
	if err != nil || first.MAC != own {
		t.Fatalf("Lease = %v, %v, want MAC %v", first, err, own)
	}
	if derived := mustLease(t, openMem(t, newMemDirectory()), web); derived.IPv6 != first.IPv6 {
		t.Errorf("the address %v depends on the MAC, want %v", first.IPv6, derived.IPv6)
	}
	if again, err := lease(web, MAC{}, nil); again != first || err != nil {
		t.Errorf("Lease without MAC = %v, %v, want the first", again, err)
	}
	if again := mustLease(t, openMem(t, d), web); again != first {
		t.Errorf("Lease after restart = %v, want %v", again, first)
	}
	elsewhere := func(_ netip.Addr, m MAC) bool { return m == MAC{0x02, 7, 7, 7, 7, 7} }
	for name, test := range map[string]struct {
		a   Attachment
		mac MAC
	}{
		"another than it has":  {web, MAC{0x02, 9, 9, 9, 9, 9}},
		"one that another has": {db, own},
		"one that a host has":  {db, MAC{0x02, 7, 7, 7, 7, 7}},
		"the gateway's":        {db, GatewayMAC(testConfig().NetworkID)},
		"that of a group":      {db, MAC{0x01, 0, 0x5e, 0, 0, 1}},
	} {
		if l, err := lease(test.a, test.mac, elsewhere); err == nil {
			t.Errorf("%s: Lease = %v, want an error", name, l)
		}
	}
}
