package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"meshnet/ipam/registry"
)

// holdings is what one node owns of the IPv4 pools and what it has done with it. It is what the entries of the journal say,
// applied in their order; it has no disk, clock or goroutine. An address of an own block is in exactly one of leased, idle and
// closed (not to be leased: see closed), or it is fresh, never leased since the block was gained.
type holdings struct {
	terms   terms
	contact int64  // Unix nanoseconds: when the last Refresh that was answered was sent; 0: never
	boot    string // of the kernel at that time

	blocks map[netip.Prefix]*block
	order  []*block                  // the same by address
	claims map[netip.Addr]claim      // single addresses
	carved map[netip.Addr]claim      // addresses of own blocks that other nodes have, with who had them here last
	leased map[netip.Addr]Attachment // in own blocks and claims
	lost   map[netip.Addr]Attachment // leases of which it is unknown who has the address now
	idle   map[netip.Addr]idle       // of own blocks
	hints  map[Attachment]netip.Addr // the newest idle address of each that has one
	queue  []released                // the idle ones, longest first; those that do not match idle are void
	serial uint64                    // numbers releases
}

type block struct {
	prefix netip.Prefix
	leased int
	closed int        // addresses, -1: to be counted
	next   netip.Addr // all below it are not fresh; only a shortcut
}

func (b *block) size() int { return 1 << (32 - b.prefix.Bits()) }

// claim is a single address. Unless it is leased, it is idle.
type claim struct {
	since int64      // Unix nanoseconds on the store's clock: of the release, or of the claim if nobody has had it
	by    Attachment // zero: nobody has had it
}

type idle struct {
	since  int64 // Unix nanoseconds on the store's clock
	by     Attachment
	serial uint64
}

type released struct {
	addr   netip.Addr
	serial uint64
}

func newHoldings() *holdings {
	return &holdings{
		blocks: map[netip.Prefix]*block{},
		claims: map[netip.Addr]claim{},
		carved: map[netip.Addr]claim{},
		leased: map[netip.Addr]Attachment{},
		lost:   map[netip.Addr]Attachment{},
		idle:   map[netip.Addr]idle{},
		hints:  map[Attachment]netip.Addr{},
	}
}

// blockOf returns the own block that addr is in, nil if there is none.
func (h *holdings) blockOf(addr netip.Addr) *block {
	i, ok := slices.BinarySearchFunc(h.order, addr, func(b *block, addr netip.Addr) int { return b.prefix.Addr().Compare(addr) })
	if !ok {
		i--
	}
	if i < 0 || !h.order[i].prefix.Contains(addr) {
		return nil
	}
	return h.order[i]
}

// closed reports whether addr of an own block must not be leased to anyone who asks for any address.
func (h *holdings) closed(addr netip.Addr) bool {
	_, carved := h.carved[addr]
	_, claimed := h.claims[addr]
	_, lost := h.lost[addr]
	return carved || claimed || lost || h.terms.why(addr) != nil
}

// lease gives l.IPv4 to its attachment, as entryLease and entryAddress do.
func (h *holdings) lease(l *Lease) error {
	addr, a := l.IPv4, l.Attachment
	if !addr.IsValid() {
		return nil
	}
	if other, ok := h.leased[addr]; ok {
		return fmt.Errorf("%v and %v have the same IPv4 address", other, a)
	}
	if other, ok := h.lost[addr]; ok {
		return fmt.Errorf("%v has the IPv4 address of the lost lease of %v", a, other)
	}
	if l.Lost {
		h.lost[addr] = a
		h.recount(addr)
		return nil
	}
	b := h.blockOf(addr)
	_, carved := h.carved[addr]
	if _, claimed := h.claims[addr]; !claimed && (b == nil || carved) {
		return fmt.Errorf("%v has the IPv4 address %v, which is not this node's", a, addr)
	}
	h.forget(addr)
	h.leased[addr] = a
	if b != nil && h.inBlock(addr) {
		b.leased++
	}
	return nil
}

// inBlock reports whether addr counts as one of its own block rather than as a claim.
func (h *holdings) inBlock(addr netip.Addr) bool {
	_, claimed := h.claims[addr]
	return !claimed
}

// release makes the IPv4 address of l idle at time at.
func (h *holdings) release(l *Lease, at int64) {
	addr := l.IPv4
	if !addr.IsValid() {
		return
	}
	if h.lost[addr] == l.Attachment && l.Lost {
		delete(h.lost, addr)
		h.recount(addr)
		return
	}
	delete(h.leased, addr)
	if _, ok := h.claims[addr]; ok {
		h.claims[addr] = claim{at, l.Attachment}
		return
	}
	h.blockOf(addr).leased--
	h.putIdle(addr, at, l.Attachment)
}

func (h *holdings) putIdle(addr netip.Addr, at int64, by Attachment) {
	h.serial++
	h.idle[addr] = idle{at, by, h.serial}
	h.hints[by] = addr
	h.queue = append(h.queue, released{addr, h.serial})
	if len(h.queue) > 2*len(h.idle)+64 { // attachments that get their old address back leave void ones
		h.queue = slices.DeleteFunc(h.queue, h.void)
	}
}

func (h *holdings) void(r released) bool { return h.idle[r.addr].serial != r.serial }

// forget makes addr no longer idle.
func (h *holdings) forget(addr netip.Addr) {
	was, ok := h.idle[addr]
	if !ok {
		return
	}
	delete(h.idle, addr)
	if h.hints[was.by] == addr {
		delete(h.hints, was.by)
	}
}

// recount notes that addr may have become closed or open.
func (h *holdings) recount(addr netip.Addr) {
	if b := h.blockOf(addr); b != nil {
		b.closed, b.next = -1, b.prefix.Addr()
	}
}

// own changes what this node owns. lose is called with each address whose lease is thereby lost.
func (h *holdings) own(e *entry, lose func(netip.Addr)) error {
	addr := e.prefix.Addr()
	switch e.kind {
	case entryTerms:
		return h.setTerms(e.text)
	case entryContact:
		h.contact, h.boot = e.at, e.text
		return nil
	case entryGained:
		return h.gain(e.prefix)
	case entryGone:
		return h.loseBlock(e.prefix, lose)
	case entryClaimed:
		return h.addClaim(addr, e.at)
	case entryUnclaimed:
		return h.unclaim(addr, lose)
	case entryCarved:
		return h.carve(addr, lose)
	case entryUncarved:
		was, ok := h.carved[addr]
		if !ok {
			return fmt.Errorf("%v is given back, but nobody else had it", addr)
		}
		delete(h.carved, addr)
		if _, claimed := h.claims[addr]; !claimed && was.by != (Attachment{}) {
			h.putIdle(addr, was.since, was.by) // its cooldown goes on
		}
		h.recount(addr)
		return nil
	case entryIdle:
		if _, ok := h.claims[addr]; ok {
			h.claims[addr] = claim{e.at, e.lease.Attachment}
			return nil
		}
		if _, ok := h.carved[addr]; ok {
			h.carved[addr] = claim{e.at, e.lease.Attachment}
			return nil
		}
		if b := h.blockOf(addr); b == nil || h.leased[addr] != (Attachment{}) || h.idle[addr].serial != 0 {
			return fmt.Errorf("%v is idle, but not this node's or not free", addr)
		}
		h.putIdle(addr, e.at, e.lease.Attachment)
		return nil
	default: // entryFenced
		for _, b := range slices.Clone(h.order) {
			h.loseBlock(b.prefix, lose)
		}
		for _, addr := range slices.SortedFunc(maps.Keys(h.claims), netip.Addr.Compare) {
			h.unclaim(addr, lose)
		}
		h.terms.Epoch, h.contact = 0, 0
		return nil
	}
}

func (h *holdings) setTerms(text string) error {
	t, err := parseTerms(text)
	if err != nil {
		return err
	}
	if h.terms.Epoch != 0 && t.Epoch != h.terms.Epoch && len(h.blocks)+len(h.claims) > 0 {
		return fmt.Errorf("the epoch changes from %d to %d with blocks of the old one", h.terms.Epoch, t.Epoch)
	}
	h.terms = t
	for _, b := range h.order {
		b.closed, b.next = -1, b.prefix.Addr()
	}
	return nil
}

func (h *holdings) gain(p netip.Prefix) error {
	if h.terms.Epoch == 0 {
		return fmt.Errorf("block %v is gained without an epoch", p)
	}
	if pool, ok := registry.PoolOf(h.terms.Pools, p.Addr()); !ok || !pool.IsBlock(p) {
		return fmt.Errorf("%v is gained, which is no block of a pool", p)
	}
	i, _ := slices.BinarySearchFunc(h.order, p.Addr(), func(b *block, addr netip.Addr) int { return b.prefix.Addr().Compare(addr) })
	if h.blockOf(p.Addr()) != nil || i < len(h.order) && h.order[i].prefix.Overlaps(p) {
		return fmt.Errorf("block %v is gained twice", p)
	}
	b := &block{prefix: p, closed: -1, next: p.Addr()}
	h.blocks[p] = b
	h.order = slices.Insert(h.order, i, b)
	return nil
}

func (h *holdings) loseBlock(p netip.Prefix, lose func(netip.Addr)) error {
	if h.blocks[p] == nil {
		return fmt.Errorf("block %v is lost, but it is not this node's", p)
	}
	for addr := range registry.Addrs(p) {
		if a, ok := h.leased[addr]; ok && h.inBlock(addr) {
			h.lost[addr] = a
			delete(h.leased, addr)
			lose(addr)
		}
		h.forget(addr)
		delete(h.carved, addr)
	}
	delete(h.blocks, p)
	h.order = slices.DeleteFunc(h.order, func(b *block) bool { return b.prefix == p })
	return nil
}

// addClaim makes addr a claim. It may be in an own block, and even be leased there: the registry then has not heard yet that the
// claim was given back.
func (h *holdings) addClaim(addr netip.Addr, at int64) error {
	if _, ok := h.claims[addr]; ok || h.terms.Epoch == 0 {
		return fmt.Errorf("%v is claimed twice or without an epoch", addr)
	}
	c := claim{since: at}
	if was, ok := h.idle[addr]; ok {
		c = claim{was.since, was.by} // its cooldown goes on
		h.forget(addr)
	}
	if _, leased := h.leased[addr]; leased {
		h.blockOf(addr).leased-- // it counts as a claim from now on
	}
	h.claims[addr] = c
	h.recount(addr)
	return nil
}

// unclaim ends a claim. In an own block the address is the block's again, and so is its lease; elsewhere the lease is lost.
func (h *holdings) unclaim(addr netip.Addr, lose func(netip.Addr)) error {
	c, ok := h.claims[addr]
	if !ok {
		return fmt.Errorf("%v is given back, but it is not this node's", addr)
	}
	delete(h.claims, addr)
	b := h.blockOf(addr)
	if _, carved := h.carved[addr]; carved {
		b = nil
	}
	a, leased := h.leased[addr]
	switch {
	case leased && b != nil:
		b.leased++
	case leased:
		h.lost[addr] = a
		delete(h.leased, addr)
		lose(addr)
	case b != nil && c.by != (Attachment{}):
		h.putIdle(addr, c.since, c.by)
	}
	h.recount(addr)
	return nil
}

func (h *holdings) carve(addr netip.Addr, lose func(netip.Addr)) error {
	b := h.blockOf(addr)
	if _, ok := h.carved[addr]; ok || b == nil {
		return errors.New(addr.String() + " is left to another node, but it is not this node's")
	}
	if a, ok := h.leased[addr]; ok && h.inBlock(addr) {
		h.lost[addr] = a
		delete(h.leased, addr)
		b.leased--
		lose(addr)
	}
	was := h.idle[addr]
	h.forget(addr)
	h.carved[addr] = claim{was.since, was.by}
	h.recount(addr)
	return nil
}
