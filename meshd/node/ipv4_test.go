package node_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
	"meshnet/meshd/answer"
	"meshnet/meshd/node"
)

// withIPv4 runs f in a bubble with n members of a network that has a pool.
func withIPv4(t *testing.T, n int, pool string, f func(t *testing.T, c *cluster)) {
	t.Helper()
	withDHCP(t, n, pool, answer.Off, f)
}

// withDHCP is withIPv4 with members that answer DHCP.
func withDHCP(t *testing.T, n int, pool string, dhcp answer.Mode, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.pools, c.dhcp = []registry.Pool{{Prefix: netip.MustParsePrefix(pool)}}, dhcp
		defer c.close()
		for i := range n {
			if i == 0 {
				c.add()
			} else {
				c.add(c.members[0])
			}
			c.members[i].start()
		}
		c.eventually(10*time.Second, "every member has a session with every other", c.complete)
		f(t, c)
	})
}

// attach attaches a container and returns its IPv4 address.
func (m *member) attach(container string) netip.Addr {
	m.c.t.Helper()
	l, err := m.node.Attach(m.c.t.Context(), request(container))
	if err != nil {
		m.c.t.Fatalf("%s: Attach(%s) = %v", m.name, container, err)
	}
	return l.IPv4
}

// "No two attachments in one network ever hold the same address", on three hosts that lease at once; all of them are in the
// table of every member.
func TestMeshUniqueIPv4(t *testing.T) {
	withIPv4(t, 3, "10.77.0.0/16", func(t *testing.T, c *cluster) {
		seen := make(map[netip.Addr]string)
		for i := range 20 {
			for _, m := range c.members {
				a := m.attach(fmt.Sprintf("c%d", i))
				who := fmt.Sprintf("%s/c%d", m.name, i)
				if other, ok := seen[a]; ok || !a.Is4() {
					t.Errorf("%s has %v, and so has %q", who, a, other)
				}
				seen[a] = who
			}
		}
		c.eventually(30*time.Second, "every member knows all addresses", func() bool {
			for _, m := range c.members {
				known := 0
				for _, nb := range m.node.Neighbours() {
					for _, a := range nb.Addrs {
						if seen[a] != "" {
							known++
						}
					}
				}
				if known != len(seen) {
					return false
				}
			}
			return true
		})
	})
}

// "Killing the first host for ever loses nothing": the others elect a leader, and go on handing out blocks.
func TestFirstHostGone(t *testing.T) {
	withIPv4(t, 3, "10.77.0.0/24", func(t *testing.T, c *cluster) { // blocks of 16
		c.eventually(2*time.Minute, "three voters", func() bool {
			_, blocks := c.members[1].node.IPv4()
			return len(blocks.Status().Voters) == 3
		})
		first := c.members[0]
		had := first.attach("web")
		first.kill()
		c.members = c.members[1:]
		seen := map[netip.Addr]bool{had: true}
		c.eventually(time.Minute, "a leader among the others", func() bool {
			_, blocks := c.members[0].node.IPv4()
			return blocks.Status().Err == nil && blocks.Status().Leader != ""
		})
		for i := range 40 { // more than the blocks in hand
			m, r := c.members[i%2], request(fmt.Sprintf("c%d", i))
			c.eventually(time.Minute, "a lease for "+r.Attachment.String(), func() bool {
				l, err := m.node.Attach(t.Context(), r)
				if err == nil && seen[l.IPv4] {
					t.Errorf("%v is held twice", l.IPv4)
				}
				seen[l.IPv4] = true
				return err == nil
			})
		}
		c.members = append(c.members, first)
		first.start()
	})
}

// "With one of three hosts up only (no majority), attach still succeeds until its blocks are used up, then fails with an error
// that says exactly that; after the majority returns it succeeds."
func TestMinorityLeasesWhatItOwns(t *testing.T) {
	withIPv4(t, 3, "10.77.0.0/24", func(t *testing.T, c *cluster) {
		c.eventually(2*time.Minute, "three voters", func() bool {
			_, blocks := c.members[1].node.IPv4()
			return len(blocks.Status().Voters) == 3
		})
		m := c.members[0]
		m.attach("first")
		time.Sleep(time.Minute) // its reserve
		c.members[1].kill()
		c.members[2].kill()
		time.Sleep(time.Minute)
		leased, last := 0, error(nil)
		for i := range 64 {
			l, err := m.node.Attach(t.Context(), request(fmt.Sprintf("c%d", i)))
			if last = err; err != nil {
				break
			}
			if l.IPv4.IsValid() {
				leased++
			}
		}
		if leased < 10 || !errors.Is(last, ipam.ErrNoAddress) {
			t.Errorf("%d leases without a majority, then %v; want its blocks used up, then ErrNoAddress", leased, last)
		}
		t.Logf("%d leases, then: %v", leased, last)
		c.members[1].start()
		c.members[2].start()
		c.eventually(2*time.Minute, "leasing goes on", func() bool {
			_, err := m.node.Attach(t.Context(), request("again"))
			return err == nil
		})
	})
}

// A network without pools has IPv6 only, and says so to whom asks for more.
func TestIPv6Only(t *testing.T) {
	in(t, 2, func(t *testing.T, c *cluster) {
		if a := c.members[0].attach("web"); a.IsValid() {
			t.Errorf("web has %v in a network without IPv4", a)
		}
		r := request("db")
		r.IPv4.Addr = netip.MustParseAddr("10.77.0.9")
		if _, err := c.members[0].node.Attach(t.Context(), r); !errors.Is(err, node.ErrNoIPv4) {
			t.Errorf("Attach(10.77.0.9) = %v, want ErrNoIPv4", err)
		}
	})
}

// What a host loses twice it withdraws twice: the others are never told an address that is not its any more.
func TestRemovedHostWithdraws(t *testing.T) {
	withIPv4(t, 3, "10.77.0.0/24", func(t *testing.T, c *cluster) {
		removed, other := c.members[1], c.members[0]
		_, blocks := other.node.IPv4()
		known := func(a netip.Addr) bool {
			for _, nb := range other.node.Neighbours() {
				if slices.Contains(nb.Addrs, a) {
					return true
				}
			}
			return false
		}
		for range 2 {
			had := removed.attach("web")
			c.eventually(time.Minute, "the address is known", func() bool { return known(had) })
			command := registry.Command{Op: registry.OpRemoveNode, To: registry.NodeID(removed.identity.Public)}
			if _, err := blocks.Do(t.Context(), command); err != nil {
				t.Fatal(err)
			}
			c.eventually(10*time.Minute, "the lost address is withdrawn", func() bool { return !known(had) })
		}
	})
}
