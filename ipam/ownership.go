package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meshnet/ipam/registry"
)

// The block store's answers become entries here. One goroutine, the Manager's, calls these methods, one at a time and in the
// order of the answers: an answer that is older than what the journal says must not be taken for news.

// standing fills in what this node says of itself with every command.
func (s *Store) standing(c *registry.Command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held.v4
	c.Registry, c.Generation, c.Epoch = h.terms.Registry, h.terms.Generation, h.terms.Epoch
	switch c.Op {
	case registry.OpRefresh:
		c.Journal = s.held.serial
		for _, b := range h.order {
			c.Uses = append(c.Uses, registry.BlockUse{Block: b.prefix, Leased: b.leased})
		}
		for addr := range h.claims {
			c.Claims = append(c.Claims, registry.AddressUse{Addr: addr, Attachment: clipText(h.leased[addr].String())})
		}
		slices.SortFunc(c.Claims, func(a, b registry.AddressUse) int { return a.Addr.Compare(b.Addr) })
	case registry.OpClaim:
		for _, b := range h.order {
			c.Have = append(c.Have, b.prefix)
		}
	}
}

func clipText(s string) string { return s[:min(len(s), registry.MaxText)] }

// change makes entries durable, in order, each of them alone if need be. After an error those before it hold, and no IPv4 address
// is leased before a Refresh that succeeds.
func (s *Store) change(entries ...entry) error {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && size+maxEntry+len(entries[n].text) <= maxBody {
			size += maxEntry + len(entries[n].text)
			n++
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		b := s.add(entries[:n]...)
		s.mu.Unlock()
		if err := s.commit(b); err != nil {
			s.bar(fmt.Errorf("%w: what the block store decided could not be kept: %w", ErrNoAddress, err))
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// bar refuses IPv4 addresses for the reason err until the next Refresh.
func (s *Store) bar(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = err
}

// refreshed takes the answer to a Refresh that was sent at that time. It says what this node owns, and so, what it does not.
func (s *Store) refreshed(sent time.Time, r *registry.Result) error {
	text, err := (&terms{r.Registry, r.Generation, r.Epoch, r.Pools, r.Reserved, r.Timing}).encode()
	if err != nil {
		return err
	}
	s.mu.Lock()
	at := s.clock.read(sent)
	entries := s.held.v4.losses(r)
	if now, err := s.held.v4.terms.encode(); err != nil || now != text {
		entries = append(entries, entry{kind: entryTerms, at: at, text: text})
	}
	entries = append(entries, s.held.v4.gains(r, at)...)
	entries = append(entries, entry{kind: entryContact, at: sent.UnixNano(), text: s.boot})
	s.mu.Unlock()
	if err := s.change(entries...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure, s.contacted, s.barred = true, sent, nil
	return nil
}

// losses returns entries for what h has and r does not name.
func (h *holdings) losses(r *registry.Result) []entry {
	var entries []entry
	for _, b := range h.order {
		if !slices.ContainsFunc(r.Blocks, func(g registry.Grant) bool { return g.Block == b.prefix }) {
			entries = append(entries, entry{kind: entryGone, prefix: b.prefix})
		}
	}
	for addr := range h.claims {
		if !slices.ContainsFunc(r.Claims, func(u registry.AddressUse) bool { return u.Addr == addr }) {
			entries = append(entries, entry{kind: entryUnclaimed, prefix: single(addr)})
		}
	}
	return entries
}

// gains returns entries for what r names and h does not have. An address that is not its block's owner's is left out of the
// block from now on, and one that is again is taken back.
func (h *holdings) gains(r *registry.Result, at int64) []entry {
	var entries []entry
	own := map[netip.Addr]bool{}
	for _, u := range r.Claims {
		own[u.Addr] = true
		if _, ok := h.claims[u.Addr]; !ok {
			entries = append(entries, entry{kind: entryClaimed, prefix: single(u.Addr), at: at})
		}
	}
	for _, g := range r.Blocks {
		if h.blocks[g.Block] == nil {
			entries = append(entries, entry{kind: entryGained, prefix: g.Block, at: at})
		}
		for _, addr := range g.Except {
			if _, carved := h.carved[addr]; !carved && !own[addr] {
				entries = append(entries, entry{kind: entryCarved, prefix: single(addr)})
			}
		}
		for addr := range h.carved {
			if g.Block.Contains(addr) && !slices.Contains(g.Except, addr) {
				entries = append(entries, entry{kind: entryUncarved, prefix: single(addr)})
			}
		}
	}
	return entries
}

// granted takes the blocks that a Claim was answered with.
func (s *Store) granted(now time.Time, grants []registry.Grant) error {
	s.mu.Lock()
	var entries []entry
	for _, g := range grants {
		if s.held.v4.blocks[g.Block] != nil {
			continue
		}
		entries = append(entries, entry{kind: entryGained, prefix: g.Block, at: s.clock.read(now)})
		for _, addr := range g.Except {
			if _, own := s.held.v4.claims[addr]; !own {
				entries = append(entries, entry{kind: entryCarved, prefix: single(addr)})
			}
		}
	}
	s.mu.Unlock()
	return s.change(entries...)
}

// claimed takes a single address.
func (s *Store) claimed(now time.Time, addr netip.Addr) error {
	s.mu.Lock()
	_, has := s.held.v4.claims[addr]
	at := s.clock.read(now)
	s.mu.Unlock()
	if has {
		return nil
	}
	return s.change(entry{kind: entryClaimed, prefix: single(addr), at: at})
}

// fence gives up all that this node owned under its epoch.
func (s *Store) fence() error {
	s.bar(fmt.Errorf("%w: what this host owned is no longer its own", ErrNoAddress))
	return s.change(entry{kind: entryFenced})
}

// giveUp gives up a block of which no address is leased, or a single address that is not, and reports whether it did.
func (s *Store) giveUp(p netip.Prefix) (bool, error) {
	s.mu.Lock()
	h := s.held.v4
	kind := byte(entryUnclaimed)
	_, own := h.claims[p.Addr()]
	if !p.IsSingleIP() {
		kind, own = entryGone, h.blocks[p] != nil
	}
	if s.closed || !own || s.using(p) {
		s.mu.Unlock()
		return false, nil
	}
	b := s.add(entry{kind: kind, prefix: p})
	s.mu.Unlock()
	return true, s.commit(b)
}

// using reports whether an address in p, which this node owns, is leased or about to be. s.mu is held.
func (s *Store) using(p netip.Prefix) bool {
	for addr := range registry.Addrs(p) {
		_, leased := s.held.v4.leased[addr]
		if _, claimed := s.held.v4.claims[addr]; claimed && !p.IsSingleIP() {
			continue
		}
		if leased || s.addrs[addr] {
			return true
		}
	}
	return false
}

// carve stops leasing addr of an own block, so that another node may have it for an attachment, which is known by its text. One that had
// the address here before, and is moved there, need not wait for the cooldown.
func (s *Store) carve(now time.Time, addr netip.Addr, attachment string) error {
	s.mu.Lock()
	h := s.held.v4
	if _, done := h.carved[addr]; done {
		s.mu.Unlock()
		return nil
	}
	var a Attachment
	if was, ok := h.idle[addr]; ok && clipText(was.by.String()) == attachment {
		a = was.by
	}
	if err := s.chooser(now).requested(a, addr); err != nil {
		s.mu.Unlock()
		return err
	}
	if h.blockOf(addr) == nil || !h.inBlock(addr) {
		s.mu.Unlock()
		return fmt.Errorf("%v is not in a block of this host: %w", addr, registry.ErrNotOwner)
	}
	b := s.add(entry{kind: entryCarved, prefix: single(addr)})
	s.mu.Unlock()
	return s.commit(b)
}

// lost returns the leases whose IPv4 address is no longer this node's.
func (s *Store) lost() []Lease {
	return slices.DeleteFunc(s.Leases(), func(l Lease) bool { return !l.Lost })
}
