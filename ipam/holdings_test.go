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

// "An address is not reused before a cooldown", though it was left to another node meanwhile, for the attachment that had it, and that did
// not take it; nor is that forgotten when the journal is written anew.
func TestTheCooldownOfAnAddressThatWasLeft(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		d := newMemDirectory()
		s := openOwning(t, d, "10.77.0.8/29")
		addr := mustLease4(t, s, epoch, "web")
		if _, err := s.Release(epoch, web); err != nil {
			t.Fatal(err)
		}
		if err := s.carve(epoch.Add(time.Second), addr, "db/eth0"); err == nil {
			t.Error("an address was left for an attachment that has not had it, a second after its release")
		}
		if err := s.carve(epoch.Add(time.Second), addr, "web/eth0"); err != nil {
			t.Errorf("leaving it for the one that had it: %v", err)
		}
		if compacted {
			h := newHoldings()
			for _, e := range s.held.v4.entries() {
				if err := h.own(&e, nil); err != nil {
					t.Fatal(err)
				}
			}
			s.held.v4 = h
		}
		mustHear(t, s, epoch.Add(2*time.Second), answer("10.77.0.8/29")) // nobody has it
		if l, err := s.lease4(epoch.Add(3*time.Second), "db", addr); err == nil {
			t.Errorf("compacted %v: Lease(db, %v) = %v three seconds after its release, want it kept back", compacted, addr, l)
		}
		if l, err := s.lease4(epoch.Add(3*time.Second), "web", addr); err != nil || l.IPv4 != addr {
			t.Errorf("compacted %v: Lease(web, %v) = %v, %v: it is its own", compacted, addr, l, err)
		}
		for _, wrong := range s.CheckLocal() {
			t.Error(wrong)
		}
	}
}
