package ipam

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam/registry"
)

// "The attachment whose lease this one takes over, with the MAC and all addresses that the request does not change": whatever comes of
// it is on disk, and if nothing does, everything is as it was.
func TestTakeover(t *testing.T) {
	subnet := Subnet(testConfig().Prefix)
	own6, other6 := join(subnet, 0x9), join(subnet, 0x1234_5678)
	mac := MAC{2, 1, 2, 3, 4, 5}
	www := Attachment{"www", "eth0"}
	rows := []struct {
		name  string
		ask   Request                                                    // Former is web
		want  func(was Lease) Lease                                      // nil: an error that says
		says  string                                                     //
		taken func(was Lease) func(addr netip.Addr, mac MAC) (held bool) // by other hosts
	}{
		{"a new name keeps all", Request{Attachment: www}, func(was Lease) Lease { return was }, "", nil},
		{"the same name and nothing new is no change", Request{Attachment: web}, func(was Lease) Lease { return was }, "", nil},
		{"another MAC", Request{Attachment: web, MAC: mac}, func(was Lease) Lease { was.MAC = mac; return was }, "", nil},
		{"another IPv6 address", Request{Attachment: www, IPv6: own6}, func(was Lease) Lease { was.IPv6 = own6; return was }, "", nil},
		{"another IPv4 address", Request{Attachment: web, IPv4: V4Request{Addr: netip.MustParseAddr("10.77.0.12")}},
			func(was Lease) Lease { was.IPv4 = netip.MustParseAddr("10.77.0.12"); return was }, "", nil},
		{"no IPv4 address", Request{Attachment: web, IPv4: V4Request{None: true}},
			func(was Lease) Lease { was.IPv4, was.Bits = netip.Addr{}, 0; return was }, "", nil},
		{"onto one that has a lease", Request{Attachment: db}, nil, "it holds addresses already", nil},
		{"another's IPv4 address", Request{Attachment: web, IPv4: V4Request{Addr: netip.MustParseAddr("10.77.0.9")}}, nil, "held by db/eth0", nil},
		{"another's IPv6 address", Request{Attachment: web, IPv6: other6}, nil, "held by db/eth0", nil},
		{"an address of another host", Request{Attachment: web, IPv6: own6}, nil, "on another host",
			func(Lease) func(netip.Addr, MAC) bool { return func(a netip.Addr, _ MAC) bool { return a == own6 } }},
		{"what others say of what stays does not matter", Request{Attachment: www}, func(was Lease) Lease { return was }, "",
			func(Lease) func(netip.Addr, MAC) bool { return func(netip.Addr, MAC) bool { return true } }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newMemDirectory()
				h := startHost(t, 1, newMemStore(t, "10.77.0.0/24"), d, nil)
				was, err := h.any(t, "web")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := h.Lease(t.Context(), Request{Attachment: db, IPv6: other6, IPv4: V4Request{Addr: netip.MustParseAddr("10.77.0.9")}}, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				var taken func(netip.Addr, MAC) bool
				if row.taken != nil {
					taken = row.taken(was)
				}
				row.ask.Former, row.ask.Holder = web, cni
				got, err := h.Lease(t.Context(), row.ask, taken)
				want := was
				if row.want != nil {
					want = row.want(was)
					want.Attachment, want.Created = row.ask.Attachment, got.Created
					if err != nil || got != want {
						t.Errorf("Lease = %v, %v, want %v", got, err, want)
					}
					if again, err := h.Lease(t.Context(), row.ask, taken); err != nil || again != got {
						t.Errorf("Lease again = %v, %v, want the same", again, err)
					}
				} else if err == nil || !strings.Contains(err.Error(), row.says) {
					t.Errorf("Lease = %v, %v, want an error that says %q", got, err, row.says)
				}
				if wrong := h.store.CheckLocal(); wrong != nil {
					t.Errorf("CheckLocal() = %v", wrong)
				}
				h.stop()
				c := testConfig()
				c.Node = [32]byte{1}
				s, err := open(d, c)
				if err != nil {
					t.Fatal(err)
				}
				leases := s.Leases()
				if len(leases) != 2 || leases[0] != want && leases[1] != want {
					t.Errorf("leases after a restart = %v, want %v and db's", leases, want)
				}
			})
		})
	}
}

// "This one of the subnet": which IPv6 addresses can be asked for.
func TestRequestedIPv6(t *testing.T) {
	s := openMem(t, newMemDirectory())
	subnet := Subnet(testConfig().Prefix)
	rows := []struct {
		addr netip.Addr
		want error // nil: it can
	}{
		{join(subnet, 2), nil},
		{join(subnet, 0xffff), nil},
		{join(subnet, 0xabcd_0000_1234), nil},
		{join(subnet, 0), registry.ErrUnusable},
		{join(subnet, gatewayIID), registry.ErrUnusable},
		{join(subnet, 0xfdff_ffff_ffff_ff80), registry.ErrUnusable},
		{netip.MustParseAddr("2001:db8::5"), ErrOutsidePrefix},
	}
	for _, row := range rows {
		l, err := s.Lease(epoch, Request{Attachment: web, Holder: cni, IPv6: row.addr, IPv4: V4Request{None: true}}, nil)
		if !errors.Is(err, row.want) || err == nil && l.IPv6 != row.addr {
			t.Errorf("Lease with %v = %v, %v, want %v", row.addr, l.IPv6, err, row.want)
		}
		s.Release(epoch, web)
	}
	for _, bad := range []string{"10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0"} {
		if l, err := s.Lease(epoch, Request{Attachment: web, Holder: cni, IPv6: netip.MustParseAddr(bad), IPv4: V4Request{None: true}}, nil); err == nil {
			t.Errorf("Lease with %s = %v, want an error", bad, l)
		}
	}
	mustLease(t, s, web)
	if l, err := s.Lease(epoch, Request{Attachment: web, Holder: cni, IPv6: join(subnet, 5), IPv4: V4Request{None: true}}, nil); err == nil {
		t.Errorf("Lease of one that holds another = %v, want an error", l)
	}
}
