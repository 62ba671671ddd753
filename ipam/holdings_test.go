package ipam

import (
	"net/netip"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

// withClaim is what the block store says to a node that owns the block and, as far as the block store has heard, the single address.
func withClaim(addr netip.Addr, block string) *registry.Result {
	r := answer(block)
	r.Claims = []registry.AddressUse{{Addr: addr}}
	return r
}

// A single address that was given back, of which the block store has not heard, is named by it once more. Meanwhile it may have been
// leased again, as one of an own block: then nothing is lost, whatever the block store says next.
func TestAClaimInAnOwnBlockThatIsLeased(t *testing.T) {
	d := newMemDirectory()
	s := openOwning(t, d, "10.77.0.8/29")
	l, err := s.lease4(epoch, "web", addr4(9))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*registry.Result{withClaim(addr4(9), "10.77.0.8/29"), answer("10.77.0.8/29")} {
		mustHear(t, s, epoch.Add(time.Minute), r)
		again, err := s.lease4(epoch.Add(time.Minute), "web", netip.Addr{})
		if err != nil || again.IPv4 != l.IPv4 || again.Lost {
			t.Errorf("Lease(web) = %v, %v, want %v still", again, err, l.IPv4)
		}
		for _, wrong := range s.CheckLocal() {
			t.Error(wrong)
		}
	}
	if used := s.held.v4.blocks[netip.MustParsePrefix("10.77.0.8/29")].leased; used != 1 {
		t.Errorf("leases of the block = %d, want 1", used)
	}
	mustHear(t, s, epoch.Add(time.Minute), answer())
	if lost := s.lost(); len(lost) != 1 {
		t.Errorf("lost leases without the block = %v, want web's", lost)
	}
}

// "An address is not reused before a cooldown", though it becomes a claim, and is none any more, meanwhile.
func TestTheCooldownOfAClaimInAnOwnBlock(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.8/29")
	addr := mustLease4(t, s, epoch, "web")
	if _, err := s.Release(epoch, Attachment{"web", "eth0"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*registry.Result{withClaim(addr, "10.77.0.8/29"), answer("10.77.0.8/29")} {
		mustHear(t, s, epoch.Add(time.Second), r)
		if l, err := s.lease4(epoch.Add(time.Second), "db", addr); err == nil {
			t.Errorf("Lease(db, %v) = %v a second after its release, want it kept back", addr, l)
		}
	}
	if l, err := s.lease4(epoch.Add(2*time.Minute), "db", addr); err != nil || l.IPv4 != addr {
		t.Errorf("Lease(db, %v) = %v, %v after the cooldown", addr, l, err)
	}
	for _, wrong := range s.CheckLocal() {
		t.Error(wrong)
	}
}
