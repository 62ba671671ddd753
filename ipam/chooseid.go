package ipam

import (
	"fmt"
	"net/netip"

	"meshnet/ipam/registry"
)

// choose returns identifier and MAC of a new lease: those that are asked for, if they are free, and else what is derived with the first
// counter whose result is free. s.mu is held.
func (s *Store) choose(r Request, taken func(netip.Addr, MAC) bool) (uint64, MAC, error) {
	if err := s.checkOwn(r, Attachment{}); err != nil {
		return 0, MAC{}, err
	}
	if r.MAC != (MAC{}) && taken != nil && taken(netip.Addr{}, r.MAC) {
		return 0, MAC{}, fmt.Errorf("%w: %v is that of a container on another host", ErrMACTaken, r.MAC)
	}
	for counter := range uint32(maxTries) {
		iid, mac, ok := s.scope.derive(r.Attachment, counter)
		if r.MAC != (MAC{}) {
			mac = r.MAC
		} else if s.hasMAC(mac) {
			continue
		}
		if r.IPv6.IsValid() {
			iid, ok = iidOf(r.IPv6), true
		}
		if !ok || s.iids[iid] {
			continue
		}
		if _, ok := s.held.iids[iid]; ok {
			continue
		}
		if taken == nil || !taken(join(s.scope.subnet, iid), mac) {
			return iid, mac, nil
		}
	}
	if r.IPv6.IsValid() {
		return 0, MAC{}, fmt.Errorf("%v is that of a container on another host: %w", r.IPv6, registry.ErrTaken)
	}
	return 0, MAC{}, fmt.Errorf("the first %d addresses derived for it are all taken", maxTries)
}

// FirstMAC returns the MAC that follows from an attachment's names, which it gets unless somebody else has it.
func (s *Store) FirstMAC(a Attachment) MAC {
	for counter := range uint32(maxTries) {
		if _, mac, ok := s.scope.derive(a, counter); ok {
			return mac
		}
	}
	return MAC{}
}

// hasMAC says whether a lease has mac, or will have it. s.mu is held.
func (s *Store) hasMAC(mac MAC) bool {
	_, held := s.held.macs[mac]
	return held || s.macs[mac]
}

// checkOwn says whether the MAC and the IPv6 address that are asked for, if they are, are free on this host. What except has is.
func (s *Store) checkOwn(r Request, except Attachment) error {
	if r.MAC != (MAC{}) {
		if other, ok := s.held.macs[r.MAC]; ok && other != except {
			return fmt.Errorf("%w: %v is that of %v", ErrMACTaken, r.MAC, other)
		}
		if r.MAC == GatewayMAC(s.scope.network) || s.macs[r.MAC] {
			return fmt.Errorf("%w: %v is the gateway's, or being given to another attachment", ErrMACTaken, r.MAC)
		}
	}
	if !r.IPv6.IsValid() {
		return nil
	}
	if other, ok := s.held.iids[iidOf(r.IPv6)]; ok && other != except {
		return fmt.Errorf("%v is held by %v: %w", r.IPv6, other, registry.ErrTaken)
	}
	if s.iids[iidOf(r.IPv6)] {
		return fmt.Errorf("%v is being given to another attachment of this host: %w", r.IPv6, registry.ErrTaken)
	}
	return nil
}
