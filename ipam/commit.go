package ipam

// batch is the changes that one fsync makes durable.
type batch struct {
	entries []entry
	body    []byte // the same, encoded; at most maxBody bytes
	done    bool   // guarded by Store.writing
	err     error  // guarded by Store.writing
	doubt   bool   // it may be on disk or not; guarded by Store.writing
}

// add puts entries into the last batch of the queue, or behind it if that is full: all into one, so that they are on disk
// together or not at all. They are short enough for one. s.mu is held.
func (s *Store) add(entries ...entry) *batch {
	var body []byte
	for i := range entries {
		body = appendEntry(body, &entries[i])
	}
	if n := len(s.queue); n == 0 || len(s.queue[n-1].body)+len(body) > maxBody {
		s.queue = append(s.queue, &batch{})
	}
	b := s.queue[len(s.queue)-1]
	b.entries = append(b.entries, entries...)
	b.body = append(b.body, body...)
	for i := range entries {
		e := &entries[i]
		if !ofLease(e.kind) {
			s.changing = b
			continue
		}
		s.pending[e.lease.Attachment] = b
		if e.kind == entryLease {
			s.iids[e.iid], s.macs[e.lease.MAC] = true, true
		}
		if hasIPv4(e.kind) && e.lease.IPv4.IsValid() {
			s.addrs[e.lease.IPv4] = true
		}
	}
	return b
}

// commit returns when b is on disk, or the error if it will not be. Whoever comes first writes the batch for all that have
// joined it; those that come meanwhile gather in the next one. So under load one fsync serves many, and a caller that is alone
// does not wait for company.
func (s *Store) commit(b *batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for !b.done { // batches are written in the order of the queue, and b is in it
		s.writeFirst()
	}
	return b.err
}

// writeFirst writes the first batch of the queue. s.writing is held.
func (s *Store) writeFirst() {
	s.mu.Lock()
	b := s.queue[0]
	s.queue = s.queue[1:]
	s.mu.Unlock()

	sound := s.journal.failed == nil
	b.err = s.journal.append(b.body)
	b.done, b.doubt = true, sound && s.journal.failed != nil
	s.settle(b)
	s.journal.compact(s.held)
}

// settle puts a batch that is on disk into the table, and forgets one that is not. s.writing is held.
func (s *Store) settle(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.entries {
		e := &b.entries[i]
		s.forget(b, e)
		if b.doubt && ofLease(e.kind) {
			s.doubt[e.lease.Attachment] = b.err
		}
		if b.err != nil {
			continue
		}
		if err := s.held.apply(e); err != nil {
			panic("ipam: a change that breaks the table was written: " + err.Error())
		}
	}
}

// forget ends what e, which is in b, kept others from. s.mu is held.
func (s *Store) forget(b *batch, e *entry) {
	if !ofLease(e.kind) {
		if s.changing == b {
			s.changing = nil
		}
		return
	}
	delete(s.pending, e.lease.Attachment)
	if e.kind == entryLease {
		delete(s.iids, e.iid)
		delete(s.macs, e.lease.MAC)
	}
	if hasIPv4(e.kind) {
		delete(s.addrs, e.lease.IPv4)
	}
}
