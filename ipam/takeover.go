package ipam

import (
	"fmt"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

// changes reports whether r asks for something that l, its own lease, has not.
func (r Request) changes(l Lease) bool {
	v4 := r.IPv4.Addr.IsValid() && r.IPv4.Addr != l.IPv4 || r.IPv4.None && l.IPv4.IsValid()
	return v4 || r.IPv6.IsValid() && r.IPv6 != l.IPv6 || r.MAC != MAC{} && r.MAC != l.MAC
}

// startTakeover returns the lease that r makes of former, and the batch to wait for, as startLease does. Both changes, the end of the one and the beginning
// of the other, are one record of the journal, so that nobody else can get the addresses in between. s.mu is held.
func (s *Store) startTakeover(now time.Time, r Request, former Lease, taken func(netip.Addr, MAC) bool) (
	l Lease, b *batch, own bool, err error) {
	a := r.Attachment
	if _, held := s.held.leases[a]; held && a != former.Attachment {
		return Lease{}, nil, false, fmt.Errorf("it holds addresses already, so it cannot take over those of %v; detach one of them first", former.Attachment)
	}
	if s.closed {
		return Lease{}, nil, false, ErrClosed
	}
	if err := s.checkOwn(r, former.Attachment); err != nil {
		return Lease{}, nil, false, err
	}
	at := now.UnixNano()
	l = former
	l.Attachment, l.Holder, l.Created = a, r.Holder, time.Unix(0, at).UTC()
	if r.MAC != (MAC{}) {
		l.MAC = r.MAC
	}
	if r.IPv6.IsValid() {
		l.IPv6 = r.IPv6
	}
	if (l.MAC != former.MAC || l.IPv6 != former.IPv6) && taken != nil && taken(l.IPv6, l.MAC) {
		return Lease{}, nil, false, fmt.Errorf("%v, or its MAC %v, is that of a container on another host: %w", l.IPv6, l.MAC, registry.ErrTaken)
	}
	if b, err = s.takeIPv4(now, r, &l); err != nil || b != nil {
		return Lease{}, b, false, err
	}
	entries := []entry{
		{kind: entryRelease, at: s.clock.read(now), lease: Lease{Attachment: former.Attachment}},
		{kind: entryLease, at: at, iid: iidOf(l.IPv6), lease: l.part(entryLease)},
	}
	if l.Holder != l.Holder.bare() {
		entries = append(entries, entry{kind: entryLabels, at: at, lease: l.part(entryLabels)})
	}
	return l, s.add(entries...), true, nil
}

// takeIPv4 gives l the IPv4 address that r asks for. What it has, and nobody says otherwise, it keeps. s.mu is held.
func (s *Store) takeIPv4(now time.Time, r Request, l *Lease) (wait *batch, err error) {
	want := r.IPv4.Addr
	switch {
	case r.IPv4.None:
		l.IPv4, l.Bits, l.Lost = netip.Addr{}, 0, false
		return nil, nil
	case l.IPv4.IsValid() && !l.Lost && (!want.IsValid() || want == l.IPv4):
		return nil, nil
	case s.changing != nil:
		return s.changing, nil
	}
	if l.IPv4, l.Bits, err = s.pick(now, l.Attachment, r.IPv4); err != nil {
		return nil, err
	}
	l.Lost = false
	return nil, nil
}
