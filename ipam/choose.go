package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

// errNotOwn means that the address asked for is in a pool, but not this node's.
var errNotOwn = errors.New("not this host's")

// chooser is one choice of an IPv4 address.
type chooser struct {
	*holdings
	now      int64         // Unix nanoseconds on the store's clock
	cooldown time.Duration // negative: none
	busy     func(netip.Addr) bool
}

// any returns the address for a: the one it had, if nobody else got it; else one that was never leased; else the one that was
// released first, if its cooldown is over. The one called not comes last of all.
func (c *chooser) any(a Attachment, not netip.Addr) (netip.Addr, error) {
	if addr, ok := c.hints[a]; ok && addr != not && c.free(addr) {
		return addr, nil
	}
	for _, b := range c.order {
		if addr := c.fresh(b); addr.IsValid() {
			return addr, nil
		}
	}
	for len(c.queue) > 0 && c.void(c.queue[0]) {
		c.queue = c.queue[1:]
	}
	var last netip.Addr
	for _, r := range c.queue {
		if c.void(r) || !c.free(r.addr) {
			continue
		}
		if c.cooling(r.addr) > 0 {
			break
		}
		if r.addr != not {
			return r.addr, nil
		}
		last = not
	}
	if last.IsValid() {
		return last, nil
	}
	return netip.Addr{}, c.exhausted()
}

// free reports whether addr, which is idle, may be leased to the one who had it.
func (c *chooser) free(addr netip.Addr) bool { return !c.busy(addr) && !c.closed(addr) }

// fresh returns the first address of b that was never leased.
func (c *chooser) fresh(b *block) netip.Addr {
	for addr := b.next; b.prefix.Contains(addr); addr = addr.Next() {
		_, leased := c.leased[addr]
		_, idle := c.idle[addr]
		if !leased && !idle && !c.closed(addr) {
			if !c.busy(addr) {
				return addr
			}
		} else if addr == b.next {
			b.next = addr.Next()
		}
	}
	return netip.Addr{}
}

// cooling returns how long addr, which is idle, is still kept from others.
func (c *chooser) cooling(addr netip.Addr) time.Duration {
	return time.Duration(c.idle[addr].since-c.now) + c.cooldown
}

// requested says whether a may have addr: nil, or why not. The error wraps errNotOwn if the block store has to be asked.
func (c *chooser) requested(a Attachment, addr netip.Addr) error {
	if err := c.terms.why(addr); err != nil {
		return err
	}
	if other, ok := c.leased[addr]; ok {
		return fmt.Errorf("%v is held by %v: %w", addr, other, registry.ErrTaken)
	}
	if other, ok := c.lost[addr]; ok && other != a {
		return fmt.Errorf("%v may still be in use by %v on this host, which lost it; detach that first: %w", addr, other, registry.ErrTaken)
	}
	if c.busy(addr) {
		return fmt.Errorf("%v is being given to another attachment of this host: %w", addr, registry.ErrTaken)
	}
	if was, ok := c.claims[addr]; ok {
		return c.coolingFrom(a, addr, was.by, was.since)
	}
	if _, carved := c.carved[addr]; carved || c.blockOf(addr) == nil {
		return fmt.Errorf("%v is %w", addr, errNotOwn)
	}
	if was, ok := c.idle[addr]; ok {
		return c.coolingFrom(a, addr, was.by, was.since)
	}
	return nil
}

// coolingFrom refuses addr to a if by, another one, has released it too short a time ago.
func (c *chooser) coolingFrom(a Attachment, addr netip.Addr, by Attachment, since int64) error {
	left := time.Duration(since-c.now) + c.cooldown
	if by == a || by == (Attachment{}) || left <= 0 {
		return nil
	}
	return fmt.Errorf("%v was released by %v and is kept from others for another %v: %w", addr, by, left.Round(time.Second),
		registry.ErrTaken)
}

// exhausted says that no own address can be leased, and why.
func (c *chooser) exhausted() error {
	if len(c.order) == 0 {
		return fmt.Errorf("%w: this host has no block of %v yet", ErrNoAddress, c.terms.prefixes())
	}
	var leased, cooling, closed, size int
	for _, b := range c.order {
		u := c.use(b)
		leased, cooling, closed, size = leased+u.Leased, cooling+u.Cooling, closed+u.Closed, size+b.size()
	}
	return fmt.Errorf("%w: of the %d addresses in this host's %d blocks of %v, %d are leased, %d are cooling and %d are never leased",
		ErrNoAddress, size, len(c.order), c.terms.prefixes(), leased, cooling, closed)
}

// use counts the addresses of b.
func (c *chooser) use(b *block) BlockReport {
	u := BlockReport{Block: b.prefix}
	for addr := range registry.Addrs(b.prefix) {
		_, leased := c.leased[addr]
		_, isIdle := c.idle[addr]
		switch {
		case leased && c.inBlock(addr):
			u.Leased++
		case c.closed(addr):
			u.Closed++
		case isIdle && c.cooling(addr) > 0:
			u.Cooling++
		default:
			u.Free++
		}
	}
	return u
}

// spare returns how many addresses of b nobody has, those that cool included.
func (h *holdings) spare(b *block) int {
	if b.closed < 0 {
		b.closed = 0
		for addr := range registry.Addrs(b.prefix) {
			if _, leased := h.leased[addr]; (!leased || !h.inBlock(addr)) && h.closed(addr) {
				b.closed++
			}
		}
	}
	return b.size() - b.leased - b.closed
}
