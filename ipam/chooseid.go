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
	for counter := range uint32(maxTries) {
		iid, mac, ok := s.scope.derive(r.Attachment, counter)
		if r.MAC != (MAC{}) {
			mac = r.MAC
		}
		if r.IPv6.IsValid() {
			iid, ok = iidOf(r.IPv6), true
		}
		if !ok || s.iids[iid] || s.macs[mac] {
			continue
		}
		if _, ok := s.held.iids[iid]; ok {
			continue
		}
		if _, ok := s.held.macs[mac]; ok {
			continue
		}
		if taken == nil || !taken(join(s.scope.subnet, iid), mac) {
			return iid, mac, nil
		}
	}
	switch {
	case r.IPv6.IsValid():
		return 0, MAC{}, fmt.Errorf("%v, or its MAC, is that of a container on another host: %w", r.IPv6, registry.ErrTaken)
	case r.MAC != MAC{}:
		return 0, MAC{}, fmt.Errorf("its MAC %v is that of a container on another host: %w", r.MAC, registry.ErrTaken)
	}
	return 0, MAC{}, fmt.Errorf("the first %d addresses derived for it are all taken", maxTries)
}

// checkOwn says whether the MAC and the IPv6 address that are asked for, if they are, are free on this host. What except has is.
func (s *Store) checkOwn(r Request, except Attachment) error {
	if r.MAC != (MAC{}) {
		if other, ok := s.held.macs[r.MAC]; ok && other != except {
			return fmt.Errorf("its MAC %v is that of %v, too: %w", r.MAC, other, registry.ErrTaken)
		}
		if r.MAC == GatewayMAC(s.scope.network) || s.macs[r.MAC] {
			return fmt.Errorf("its MAC %v is the gateway's, or being given to another attachment: %w", r.MAC, registry.ErrTaken)
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
