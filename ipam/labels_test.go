package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
)

// What a holder says beside source and namespace is in the journal behind its lease, and in what compaction makes of it.
func TestLabelsSurvive(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	want := mustLease(t, s, web)
	want.Holder = Holder{Source: "cni", NetNS: "/run/netns/web", Config: "podnet", Aliases: "www api"}
	if _, err := s.Lease(epoch, Request{Attachment: web, Holder: want.Holder, IPv4: V4Request{None: true}}, nil); err != nil {
		t.Fatal(err)
	}
	fresh := want.Holder
	fresh.Config = "other"
	made, err := s.Lease(epoch, Request{Attachment: db, Holder: fresh, IPv4: V4Request{None: true}}, nil)
	if err != nil || made.Holder != fresh {
		t.Fatalf("Lease = %v, %v, want holder %v", made, err, fresh)
	}
	s.Close()
	for range 2 { // each Open writes the journal anew
		s = openMem(t, d)
		for _, l := range s.Leases() {
			if l != want && l != made {
				t.Errorf("after restart the lease is %+v, want %+v or %+v", l, want, made)
			}
		}
		if n := len(s.Leases()); n != 2 {
			t.Errorf("%d leases, want 2", n)
		}
		s.Close()
	}
}

// A MAC address that is asked for is had if nobody has it, here or elsewhere, and stays that of its attachment.
func TestLeaseWithMAC(t *testing.T) {
	s := openMem(t, newMemDirectory())
	want := MAC{2, 0, 0, 0, 0, 9}
	ask := func(a Attachment, mac MAC, taken func(netip.Addr, MAC) bool) (Lease, error) {
		return s.Lease(epoch, Request{Attachment: a, MAC: mac, IPv4: V4Request{None: true}}, taken)
	}
	if _, err := ask(web, MAC{1, 0, 0, 0, 0, 9}, nil); err == nil {
		t.Error("a multicast address was leased")
	}
	elsewhere := func(_ netip.Addr, mac MAC) bool { return mac == want }
	if _, err := ask(web, want, elsewhere); !errors.Is(err, ErrMACTaken) {
		t.Errorf("a MAC that another node's attachment has: error = %v, want ErrMACTaken", err)
	}
	for _, mac := range []MAC{want, want, {}} {
		if l, err := ask(web, mac, nil); err != nil || l.MAC != want {
			t.Errorf("Lease with %v = %v, %v, want %v", mac, l, err, want)
		}
	}
	if _, err := ask(web, MAC{2, 0, 0, 0, 0, 10}, nil); !errors.Is(err, ErrMACTaken) {
		t.Errorf("another MAC for the same attachment: error = %v, want ErrMACTaken", err)
	}
	if _, err := ask(db, want, nil); !errors.Is(err, ErrMACTaken) {
		t.Errorf("the MAC of another attachment: error = %v, want ErrMACTaken", err)
	}
	if n := len(s.Leases()); n != 1 {
		t.Errorf("%d leases, want 1", n)
	}
}

// Supply gets an address if there is none, says why it cannot, and leases nothing.
func TestSupply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t, "10.77.0.0/24")
		h := startHost(t, 1, store, newMemDirectory(), nil)
		if err := h.Supply(t.Context()); err != nil {
			t.Errorf("Supply with a block = %v", err)
		}
		store.setCut(true)
		if err := h.Supply(t.Context()); err != nil {
			t.Errorf("Supply with a block, cut off = %v", err)
		}
		for i := range 100 {
			if _, err := h.any(t, fmt.Sprint("c", i)); err != nil {
				break
			}
		}
		if err := h.Supply(t.Context()); !errors.Is(err, ErrNoAddress) || !errors.Is(err, ErrNoStore) {
			t.Errorf("Supply when the block is used up, cut off = %v, want ErrNoAddress and ErrNoStore", err)
		}
		store.setCut(false)
		held := len(h.store.Leases())
		if err := h.Supply(t.Context()); err != nil || len(h.store.Leases()) != held {
			t.Errorf("Supply = %v, %d leases, want another block and %d leases", err, len(h.store.Leases()), held)
		}
	})
}
