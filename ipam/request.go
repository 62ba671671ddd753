package ipam

import (
	"errors"
	"fmt"
	"net/netip"

	"meshnet/ipam/registry"
)

// ErrOutsidePrefix means that the IPv6 address that is asked for is not in the network's subnet.
var ErrOutsidePrefix = errors.New("outside the prefix")

// Request is what an attachment asks for.
type Request struct {
	Attachment Attachment
	Holder     Holder
	IPv4       V4Request
	IPv6       netip.Addr // this one of the subnet; zero: the one that is derived
	MAC        MAC        // its interface has this one already; zero: it is to be given one
	// Former is the attachment whose lease this one takes over, with the MAC and all addresses that the request does not change, or the
	// attachment itself, to change them. Zero, or without a lease: none.
	Former Attachment
}

func (r Request) check(subnet netip.Prefix) error {
	var former error
	if r.Former != (Attachment{}) {
		former = r.Former.check()
	}
	return errors.Join(r.Attachment.check(), r.Holder.check(), r.MAC.check(), r.IPv4.check(), r.checkIPv6(subnet), former)
}

// checkIPv6 says whether the IPv6 address, if one is given, can be an attachment's. Those that are kept for people's own use can.
func (r Request) checkIPv6(subnet netip.Prefix) error {
	switch {
	case r.IPv6 == netip.Addr{}:
		return nil
	case !r.IPv6.Is6() || r.IPv6.Is4In6() || r.IPv6.Zone() != "":
		return fmt.Errorf("%v is not an IPv6 address", r.IPv6)
	case !subnet.Contains(r.IPv6):
		return fmt.Errorf("%v is %w: the network's is %v", r.IPv6, ErrOutsidePrefix, subnet)
	}
	if iid := iidOf(r.IPv6); iid <= gatewayIID || iid > maxOwnUse && reserved(iid) {
		return fmt.Errorf("%v is %w to containers: it is the gateway's or an anycast address", r.IPv6, registry.ErrUnusable)
	}
	return nil
}

// V4Request says which IPv4 address an attachment wants. The zero V4Request is any one.
type V4Request struct {
	None bool       // IPv6 only; an attachment that holds an IPv4 address keeps it
	Addr netip.Addr // this one, from any pool; zero: any
	Not  netip.Addr // rather another than this one, even if the attachment had it before. One that holds it keeps it
}

func (v V4Request) check() error {
	switch {
	case v.None && v.Addr.IsValid():
		return errors.New("an IPv4 address is asked for and none as well")
	case v.Addr.IsValid() && !v.Addr.Is4():
		return fmt.Errorf("%v is not an IPv4 address", v.Addr)
	case v.Not.IsValid() && v.Not == v.Addr:
		return fmt.Errorf("%v is asked for, and any other as well", v.Addr)
	}
	return nil
}
