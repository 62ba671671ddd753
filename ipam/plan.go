package ipam

import (
	"net/netip"
	"time"
)

// blockLoad is one own block as planBlocks sees it.
type blockLoad struct {
	prefix netip.Prefix
	usable int // addresses that are leased or can be, those that cool included
	spare  int // of these, those that nobody has
}

// planBlocks decides whether this node needs one more block: it has none, or less than a quarter of its addresses is spare. If
// not, it may name a block to give back: the last one that is all spare, if half of the other ones' addresses is spare without it. The
// gap between a quarter and a half keeps a block from going back and forth.
func planBlocks(blocks []blockLoad) (want bool, giveBack netip.Prefix) {
	var usable, spare int
	for _, b := range blocks {
		usable += b.usable
		spare += b.spare
	}
	if spare == 0 || 4*spare < usable {
		return true, netip.Prefix{}
	}
	for _, b := range blocks {
		if b.spare == b.usable && spare > b.spare && 2*(spare-b.spare) >= usable-b.usable {
			giveBack = b.prefix
		}
	}
	return false, giveBack
}

// loads returns the own blocks, and the single addresses that have been idle for longer than the cooldown.
func (s *Store) loads(now time.Time) (blocks []blockLoad, idle []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held.v4
	for _, b := range h.order {
		spare := h.spare(b)
		blocks = append(blocks, blockLoad{b.prefix, spare + b.leased, spare})
	}
	at := s.clock.read(now)
	for addr, c := range h.claims {
		if _, leased := h.leased[addr]; !leased && !s.addrs[addr] && at-c.since > int64(s.cooldown) {
			idle = append(idle, addr)
		}
	}
	return blocks, idle
}

// canLease reports whether an attachment that asks for any IPv4 address would get one, and if not, why.
func (s *Store) canLease(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.pick(now, Attachment{}, V4Request{})
	return err
}
