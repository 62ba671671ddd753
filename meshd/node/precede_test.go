package node_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"meshnet/ipam"
	"meshnet/ipam/registry"
	"meshnet/meshd/answer"
	"meshnet/meshd/node"
	"meshnet/meshd/session"
)

// holds reports whether the member has a temporary lease for mac.
func (m *member) holds(mac [6]byte) bool {
	for _, l := range m.node.Leases() {
		if l.MAC == mac && l.Holder.Source == node.SourceDHCP {
			return true
		}
	}
	return false
}

// "An attachment precedes a temporary lease": who asks in the name of a container while that restarts, on its host or another, takes neither
// its MAC nor its address.
func TestAttachmentsPrecede(t *testing.T) {
	for _, where := range []string{"on its host", "on another host"} {
		t.Run(where, func(t *testing.T) {
			answering(t, answer.Open, func(t *testing.T, a, b *member) {
				before, err := a.node.Attach(t.Context(), request("web"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := a.node.Detach(before.Attachment); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				m := a
				if where != "on its host" {
					m = b
				}
				if m.asks(dhcpFrom(before.MAC, dhcpv4.MessageTypeDiscover)) == nil || !m.holds(before.MAC) {
					t.Fatal("the one who asks in the name of web gets no offer")
				}
				after, err := a.node.Attach(t.Context(), request("web"))
				if err != nil || after.MAC != before.MAC || after.IPv6 != before.IPv6 || after.IPv4 != before.IPv4 {
					t.Errorf("web is %v, %v after its restart, want %v", after, err, before)
				}
				a.c.eventually(10*time.Second, "the temporary lease ends", func() bool { return !m.holds(before.MAC) })
				b.tap.Frames()
				b.tap.Inject(dhcpFrom(before.MAC, dhcpv4.MessageTypeDiscover))
				time.Sleep(5 * time.Second)
				if b.holds(before.MAC) {
					t.Error("who asks in the name of web while it is attached gets a lease")
				}
				if offer := a.asks(dhcpFrom(before.MAC, dhcpv4.MessageTypeDiscover)); offer == nil || !offer.YourIPAddr.Equal(after.IPv4.AsSlice()) {
					t.Errorf("web itself is offered %v, want %v", offer, after.IPv4)
				}
			})
		})
	}
}

// The same for an attachment that has a MAC already, as the host itself.
func TestAttachmentsPrecedeByMAC(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		addr := a.mustAsk()
		host := ipam.Request{
			Attachment: ipam.Attachment{IfName: "mesh0"}, Holder: ipam.Holder{Source: node.SourceHost}, MAC: stray,
		}
		l, err := a.node.Attach(t.Context(), host)
		if err != nil || l.MAC != stray {
			t.Fatalf("Attach() = %v, %v, want one with MAC %v", l, err, ipam.MAC(stray))
		}
		if a.holds(stray) {
			t.Error("the temporary lease is still there")
		}
		if l.IPv4 == addr {
			t.Errorf("the host got %v, which a client was told that it holds", addr)
		}
		time.Sleep(5 * time.Second)
		if b.asks(dhcp(dhcpv4.MessageTypeDiscover)) != nil {
			t.Error("another host gives it a lease")
		}
	})
}

// Nobody gets addresses in the name of the gateway, of what answers for it, or of a host.
func TestReservedMACs(t *testing.T) {
	for name, router := range map[string]bool{"the gateway is elsewhere": false, "the hosts are the gateway": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1)
				defer c.close()
				c.pools, c.dhcp, c.router = []registry.Pool{{Prefix: netip.MustParsePrefix("10.77.0.0/16")}}, answer.Open, router
				a := c.add()
				b := c.add(a)
				a.start()
				b.start()
				c.eventually(time.Minute, "a has blocks", a.hasBlocks)
				c.eventually(time.Minute, "they have met", c.complete)
				gateway := ipam.GatewayMAC(session.NetworkID("sim", c.psk))
				answers := gateway
				if router {
					answers[5] ^= 1
				}
				for whose, mac := range map[string][6]byte{
					"the gateway's":                gateway,
					"what answers":                 answers,
					"the bridge of host " + a.name: simBridgeMAC(a.identity.Public),
					"the bridge of host " + b.name: simBridgeMAC(b.identity.Public),
				} {
					a.tap.Frames()
					if offer := a.asks(dhcpFrom(mac, dhcpv4.MessageTypeDiscover)); offer != nil || len(a.node.Leases()) != 0 {
						t.Errorf("who asks in the name of %s gets %v", whose, a.node.Leases())
					}
				}
				st, err := a.node.Status(t.Context())
				if err != nil || !strings.Contains(strings.Join(st.Warnings, "\n"), "it gets none") {
					t.Errorf("warnings = %q, %v, want that somebody gets none", st.Warnings, err)
				}
			})
		})
	}
}
