package ipam

import (
	"net/netip"
	"testing"

	"meshnet/ipam/registry"
)

// The registry tells a snapshot from the node by the position of its journal.
func TestRefreshSaysWhereTheJournalIs(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.8/29")
	c := registry.Command{Op: registry.OpRefresh}
	s.standing(&c)
	if c.Journal == 0 || c.Journal != s.held.serial {
		t.Errorf("Refresh has journal position %d, want %d", c.Journal, s.held.serial)
	}
}

// A lease may come between the plan to give a block back and doing so.
func TestABlockInUseIsNotGivenUp(t *testing.T) {
	s := openOwning(t, newMemDirectory(), "10.77.0.8/29")
	if _, err := s.lease4(epoch, "web", addr4(9)); err != nil {
		t.Fatal(err)
	}
	given, err := s.giveUp(netip.MustParsePrefix("10.77.0.8/29"))
	if given || err != nil || len(s.lost()) > 0 {
		t.Errorf("giveUp of a block in use = %v, %v, lost %v; want false, nothing lost", given, err, s.lost())
	}
}
