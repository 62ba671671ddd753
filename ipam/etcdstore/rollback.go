package etcdstore

import (
	"context"
	"fmt"

	"meshnet/ipam/registry"
)

// loss is what is known of records that etcd has forgotten: it was put back to a backup, or somebody deleted keys. The blocks that they
// gave to nodes are in use all the same. Only a recovery, after which all nodes say what they own, makes good for it.
type loss struct {
	how        string
	generation uint64 // of the registry before
}

func (l *loss) err() *storeError {
	return &storeError{
		text:  fmt.Sprintf("etcd has forgotten records (%s): run `meshctl ipam recover` once all nodes are up, so that they say what they own", l.how),
		final: true,
	}
}

// forget begins anew after a loss. The caller holds mu.
func (s *Store) forget(how string) {
	if s.loss == nil {
		s.loss = &loss{how: how}
		if state, err := registry.Load(s.mirror); err == nil {
			s.loss.generation = state.Generation
		}
		s.config.Log.Error("etcd has forgotten records: no command but a recovery is sent to it", "reason", how)
	}
	s.mirror = newMirror()
	if s.unwatch != nil {
		s.unwatch()
	}
}

// same reports whether an answer to a request that was sent when floor was the newest revision is from the etcd that answered before and has
// not gone back. The caller holds mu.
func (s *Store) same(cluster uint64, rev, floor int64) bool {
	known := s.cluster
	s.cluster = cluster
	switch {
	case known != 0 && cluster != known:
		s.revision = rev
		s.forget(fmt.Sprintf("its cluster had the ID %x and has %x now", known, cluster))
		return false
	case rev < floor:
		s.revision = rev
		s.forget(fmt.Sprintf("its revision was %d and is %d now", floor, rev))
		return false
	}
	s.revision = max(s.revision, rev)
	return true
}

// absorb takes over what was read.
func (s *Store) absorb(cluster uint64, rev, floor int64, entries []entry, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.same(cluster, rev, floor) && !s.mirror.catchUp(entries, count, rev) {
		s.forget(fmt.Sprintf("it holds %d keys and held more", count))
	}
}

// committed takes over what was written. It fails if etcd turns out to have been put back: what it has granted may be somebody else's.
func (s *Store) committed(cluster uint64, rev, floor int64, entries []entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.same(cluster, rev, floor) {
		return s.loss.err()
	}
	s.mirror.commit(entries, rev)
	return nil
}

// admit refuses commands after a loss, until a recovery has raised the registry's generation.
func (s *Store) admit(ctx context.Context, op registry.Op) error {
	if !s.lossy() || op == registry.OpRecover {
		return nil
	}
	if err := s.sync(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state, err := registry.Load(s.mirror)
	if s.loss == nil || err == nil && state.Generation > s.loss.generation {
		if s.loss != nil {
			s.config.Log.Info("the registry in etcd was recovered", "generation", state.Generation)
		}
		s.loss = nil
		return nil
	}
	return s.loss.err()
}

func (s *Store) lossy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loss != nil
}
