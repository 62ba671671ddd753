package node_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"meshnet/meshd/answer"
)

// madeUp returns the i-th of a row of MACs that nobody has.
func madeUp(i int) [6]byte { return [6]byte{0x02, 0xee, 0, 0, byte(i >> 8), byte(i)} }

// addressesUsed returns how many addresses the member's leases keep from others, those that cool included.
func (m *member) addressesUsed() (n int) {
	manager, _ := m.node.IPv4()
	for _, b := range manager.Report().Pools[0].Blocks {
		n += b.Leased + b.Cooling
	}
	return n
}

// churn asks in the name of n MACs from the first, one in every, gives back what is offered, and returns how many offers there were.
func (m *member) churn(first, n int, every time.Duration) (offers int) {
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(answer.Gateway4(netip.MustParsePrefix("10.77.0.0/16")).AsSlice()))
	for i := first; i < first+n; i++ {
		if offer := m.asksFor(every, dhcpFrom(madeUp(i), dhcpv4.MessageTypeDiscover)); offer != nil {
			offers++
			m.tap.Inject(dhcpFrom(madeUp(i), dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(offer.YourIPAddr), server))
		}
	}
	return offers
}

// "64 MACs at once get a first lease, then one in a second", whatever they give back.
func TestNewcomersAreAdmittedOneByOne(t *testing.T) {
	alone(t, func(t *testing.T, m *member) {
		const every = 50 * time.Millisecond
		n := 600
		offers := m.churn(0, n, every)
		if limit := 64 + int(time.Duration(n)*every/time.Second) + 1; offers < 64 || offers > limit {
			t.Errorf("%d MACs in %v got %d offers, want 64 to %d", n, time.Duration(n)*every, offers, limit)
		}
		if used := m.addressesUsed(); used > 64+31 {
			t.Errorf("they keep %d addresses from others, want at most 95", used)
		}
		st, err := m.node.Status(t.Context())
		if err != nil || len(st.Warnings) == 0 {
			t.Errorf("warnings = %q, %v, want one", st.Warnings, err)
		}
		time.Sleep(time.Minute)
		m.tap.Frames()
		m.mustAsk() // others are served on
	})
}

// "512 at most, those that cool down after a lease included."
func TestCoolingLeasesCount(t *testing.T) {
	alone(t, func(t *testing.T, m *member) {
		held := 0
		for i := range 460 {
			if m.asksFor(1100*time.Millisecond, dhcpFrom(madeUp(i), dhcpv4.MessageTypeDiscover)) != nil {
				held++
			}
		}
		if held != 460 {
			t.Fatalf("%d MACs of 460 got a lease, want all: they came one in a second", held)
		}
		time.Sleep(2 * time.Minute) // and others may come at once again
		m.tap.Frames()
		if offers := m.churn(1000, 64, 100*time.Millisecond); offers != 52 {
			t.Errorf("64 more got %d offers, want 52", offers)
		}
		if used := m.addressesUsed(); used != 512 {
			t.Errorf("they keep %d addresses from others, want 512", used)
		}
	})
}
