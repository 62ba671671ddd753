package ipam

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"meshnet/ipam/registry"
)

// CheckLocal proves the invariants of what this node holds and returns one sentence for each violation: in memory, and that the
// disk says the same. No lease is made or released meanwhile.
func (s *Store) CheckLocal() []string {
	s.writing.Lock()
	defer s.writing.Unlock()
	wrong := s.held.check()
	if s.journal.failed != nil {
		return append(wrong, s.journal.failed.Error())
	}
	path := s.dir.path(journalName)
	b, err := s.dir.read(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		return append(wrong, fmt.Sprintf("the journal %s is gone", path))
	}
	if err != nil {
		return append(wrong, fmt.Sprintf("the journal cannot be read: %v", err))
	}
	_, disk, good, err := replay(b)
	switch {
	case err != nil:
		wrong = append(wrong, fmt.Sprintf("the journal %s is damaged %v", path, err))
	case int64(good) != s.journal.size:
		wrong = append(wrong, fmt.Sprintf("the journal %s has %d good bytes, %d were written", path, good, s.journal.size))
	case !maps.Equal(disk.leases, s.held.leases):
		wrong = append(wrong, fmt.Sprintf("the journal %s holds %d leases that are not the %d in memory", path, len(disk.leases), len(s.held.leases)))
	case !slices.Equal(disk.v4.entries(), s.held.v4.entries()) || disk.serial != s.held.serial:
		wrong = append(wrong, fmt.Sprintf("the journal %s has other blocks or idle addresses than the memory", path))
	}
	return wrong
}

// check returns one sentence for each invariant that t breaks.
func (t *table) check() []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(t.iids) != len(t.leases) || len(t.macs) != len(t.leases) {
		add("%d leases have %d IPv6 addresses and %d MACs", len(t.leases), len(t.iids), len(t.macs))
	}
	holder := map[netip.Addr]Attachment{}
	for a, l := range t.leases {
		if l.Attachment != a || t.iids[iidOf(l.IPv6)] != a || t.macs[l.MAC] != a || !t.subnet.Contains(l.IPv6) {
			add("%v has %v; that address is %v's, the MAC %v's", a, l, t.iids[iidOf(l.IPv6)], t.macs[l.MAC])
		}
		if !l.IPv4.IsValid() {
			continue
		}
		if other, ok := holder[l.IPv4]; ok {
			add("%v and %v both have %v", other, a, l.IPv4)
		}
		holder[l.IPv4] = a
		if of := map[bool]map[netip.Addr]Attachment{false: t.v4.leased, true: t.v4.lost}[l.Lost]; of[l.IPv4] != a {
			add("%v has %v (lost: %v), which is listed as %v's", a, l.IPv4, l.Lost, of[l.IPv4])
		}
	}
	if n := len(t.v4.leased) + len(t.v4.lost); n != len(holder) {
		add("%d leases have an IPv4 address, %d are listed", len(holder), n)
	}
	return append(wrong, t.v4.check()...)
}

func (h *holdings) check() []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if h.terms.Epoch == 0 && len(h.blocks)+len(h.claims)+len(h.leased) > 0 {
		add("%d blocks, %d single addresses and %d leases are held without an epoch", len(h.blocks), len(h.claims), len(h.leased))
	}
	for addr, a := range h.leased {
		b := h.blockOf(addr)
		_, claimed := h.claims[addr]
		_, carved := h.carved[addr]
		if !claimed && (b == nil || carved) {
			add("%v leases %v, which is not this node's", a, addr)
		}
		if _, ok := h.idle[addr]; ok {
			add("%v is leased by %v and idle as well", addr, a)
		}
	}
	queued := map[released]bool{}
	for _, r := range h.queue {
		queued[r] = true
	}
	for addr, was := range h.idle {
		if h.blockOf(addr) == nil {
			add("%v is idle, but in no block of this node", addr)
		}
		if !queued[released{addr, was.serial}] {
			add("%v is idle and will never be leased again", addr)
		}
	}
	for i, b := range h.order {
		if i > 0 && h.order[i-1].prefix.Overlaps(b.prefix) {
			add("blocks %v and %v overlap", h.order[i-1].prefix, b.prefix)
		}
		leased := 0
		for addr := range registry.Addrs(b.prefix) {
			if _, ok := h.leased[addr]; ok && h.inBlock(addr) {
				leased++
			}
		}
		if leased != b.leased {
			add("block %v has %d leases and counts %d", b.prefix, leased, b.leased)
		}
	}
	return wrong
}
