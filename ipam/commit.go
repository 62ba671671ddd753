package ipam

// batch is the changes that one fsync makes durable.
type batch struct {
	entries []entry
	body    []byte // the same, encoded; at most maxBody bytes
	done    bool   // guarded by Store.writing
	err     error  // guarded by Store.writing
}

// add puts e into the last batch of the queue, or behind it if that is full. s.mu is held.
func (s *Store) add(e entry) *batch {
	if n := len(s.queue); n == 0 || len(s.queue[n-1].body)+maxEntry > maxBody {
		s.queue = append(s.queue, &batch{})
	}
	b := s.queue[len(s.queue)-1]
	b.entries = append(b.entries, e)
	b.body = appendEntry(b.body, &e)
	s.pending[e.lease.Attachment] = b
	if e.kind == entryLease {
		s.iids[e.iid], s.macs[e.lease.MAC] = true, true
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

	b.err = s.journal.append(b.body)
	b.done = true
	s.settle(b)
	s.journal.compact(s.held)
}

// settle puts a batch that is on disk into the table, and forgets one that is not. s.writing is held.
func (s *Store) settle(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.entries {
		e := &b.entries[i]
		delete(s.pending, e.lease.Attachment)
		if e.kind == entryLease {
			delete(s.iids, e.iid)
			delete(s.macs, e.lease.MAC)
		}
		if b.err != nil {
			continue
		}
		if err := s.held.apply(e); err != nil {
			panic("ipam: a change that breaks the table was written: " + err.Error())
		}
	}
}
