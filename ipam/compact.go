package ipam

import (
	"maps"
	"net/netip"
	"slices"

	"meshnet/ipam/registry"
)

// minGarbage is how many bytes of released leases and former holders a journal may always hold: below it, rewriting saves
// nothing.
const minGarbage = 64 << 10

// compact writes the journal anew if more than half of it, and more than minGarbage, is garbage. Its failure is not the
// caller's: the old file goes on, unless the journal has failed.
func (j *journal) compact(t *table) {
	if j.failed != nil || j.size < j.limit {
		return
	}
	if err := j.rewrite(t); err != nil {
		j.log.Warn("could not compact the journal", "file", j.dir.path(journalName), "err", err)
		j.limit = j.size + max(j.size, minGarbage) // not again at once
	}
}

// rewrite replaces the file by one that holds the leases of t and nothing else. The new file is durable before it gets the
// name, and has it durably before rewrite returns, so a crash at any point leaves one whole journal. After an error the old
// file is still the journal, unless j.failed is set.
func (j *journal) rewrite(t *table) error {
	b := snapshot(j.head, t)
	f, err := j.dir.create(newName)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.dir.rename(newName, journalName)
	}
	if err != nil {
		f.Truncate(0) // a full disk needs the room; whatever stays there is overwritten the next time
		f.Close()
		return err
	}
	if j.f != nil {
		j.f.Close() // all of it was durable, and it is no longer the journal
	}
	j.f, j.size = f, int64(len(b))
	j.limit = 2*j.size + minGarbage
	if err := j.dir.sync(); err != nil {
		return j.fail(err) // which of the two files a crash leaves is unknown, and the old one would get no more records
	}
	return nil
}

// snapshot returns a journal with what t holds: first what the node owns, then the idle addresses, longest idle first, then the
// leases, oldest first, and last what their holders say beside.
func snapshot(head header, t *table) []byte {
	leases := make([]entry, 0, len(t.leases))
	for _, l := range t.leases {
		leases = append(leases, entry{kind: entryLease, lease: l, iid: iidOf(l.IPv6), at: l.Created.UnixNano()})
	}
	slices.SortFunc(leases, func(a, b entry) int {
		if c := a.lease.Created.Compare(b.lease.Created); c != 0 {
			return c
		}
		return a.lease.compare(b.lease.Attachment)
	})
	var labels []entry
	for _, e := range leases {
		if h := e.lease.Holder; h != h.bare() {
			labels = append(labels, entry{kind: entryLabels, lease: e.lease.part(entryLabels), at: e.at})
		}
	}
	b := make([]byte, headerLen)
	var body []byte
	for _, entries := range [][]entry{t.v4.entries(), leases, labels, {{kind: entrySerial, iid: t.serial, at: t.latest}}} {
		for i := range entries {
			e := &entries[i]
			if len(body)+maxEntry+len(e.text) > maxBody {
				b, body = appendRecord(b, body), body[:0]
			}
			body = appendEntry(body, e)
		}
	}
	b = appendRecord(b, body)
	appendHeader(b[:0], head, uint64(len(b)))
	return b
}

// entries returns what makes h of empty holdings, but for the leases.
func (h *holdings) entries() []entry {
	var all []entry
	if h.terms.Registry != (registry.ID{}) {
		text, err := h.terms.encode()
		if err != nil {
			panic("ipam: what was in the journal does not fit into it: " + err.Error())
		}
		all = append(all, entry{kind: entryTerms, text: text})
	}
	if h.contact != 0 {
		all = append(all, entry{kind: entryContact, at: h.contact, text: h.boot})
	}
	for _, b := range h.order {
		all = append(all, entry{kind: entryGained, prefix: b.prefix})
	}
	for _, addr := range slices.SortedFunc(maps.Keys(h.claims), netip.Addr.Compare) {
		c := h.claims[addr]
		all = append(all, entry{kind: entryClaimed, prefix: single(addr), at: c.since})
		if c.by != (Attachment{}) {
			all = append(all, entry{kind: entryIdle, prefix: single(addr), at: c.since, lease: Lease{Attachment: c.by}})
		}
	}
	for _, addr := range slices.SortedFunc(maps.Keys(h.carved), netip.Addr.Compare) {
		all = append(all, entry{kind: entryCarved, prefix: single(addr)})
		if _, claimed := h.claims[addr]; claimed {
			continue // what is idle is said there
		}
		if c := h.carved[addr]; c.by != (Attachment{}) {
			all = append(all, entry{kind: entryIdle, prefix: single(addr), at: c.since, lease: Lease{Attachment: c.by}})
		}
	}
	for _, r := range h.queue {
		if !h.void(r) {
			was := h.idle[r.addr]
			all = append(all, entry{kind: entryIdle, prefix: single(r.addr), at: was.since, lease: Lease{Attachment: was.by}})
		}
	}
	return all
}

func single(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, 32) }
