package etcdstore

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Pauses between two watches.
const (
	watchPause    = 200 * time.Millisecond
	maxWatchPause = 2 * time.Second
)

// run follows etcd until Close.
func (s *Store) run() {
	defer close(s.done)
	for wait := watchPause; s.ctx.Err() == nil; wait = min(2*wait, maxWatchPause) {
		began := s.config.Now()
		err := s.follow(s.ctx)
		if s.ctx.Err() == nil {
			s.config.Log.Debug("watch of etcd ended", "err", err)
		}
		if s.config.Now().Sub(began) > maxWatchPause {
			wait = watchPause
		}
		pause(s.ctx, wait)
	}
}

// follow brings the mirror up to date and keeps it so until the watch ends, be it that etcd has compacted what would come next, lost its
// leader, or turned out to be an older one. Then follow has to be called again.
func (s *Store) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.unwatch = cancel
	s.mu.Unlock()
	if err := s.sync(ctx); err != nil {
		return err
	}
	client, err := s.conn.client(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	next := s.mirror.rev + 1
	s.mu.Unlock()
	events := client.Watch(clientv3.WithRequireLeader(ctx), s.prefix, clientv3.WithPrefix(), clientv3.WithRev(next))
	probe := time.NewTicker(s.config.Probe)
	defer probe.Stop()
	for {
		select {
		case response, ok := <-events:
			if !ok {
				return ctx.Err()
			}
			if err := response.Err(); err != nil {
				return err
			}
			s.observe(response.Events)
		case <-probe.C:
			s.probe(ctx)
		}
	}
}

// observe takes over events of the watch. Those of one revision come together.
func (s *Store) observe(events []*clientv3.Event) {
	var entries []entry
	var rev int64
	deleted := ""
	for _, e := range events {
		rev = max(rev, e.Kv.ModRevision)
		if e.Type == mvccpb.Event_DELETE {
			deleted = string(e.Kv.Key)
			continue
		}
		entries = append(entries, s.entry(e.Kv))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision = max(s.revision, rev)
	if rev <= s.mirror.rev {
		return
	}
	s.mirror.follow(entries, rev)
	if deleted != "" {
		s.forget("the key " + deleted + " was deleted")
	}
}

// probe asks for something small, so that Status knows whether etcd answers and an etcd put back to an older state is noticed.
func (s *Store) probe(ctx context.Context) {
	ctx, cancel := s.bound(ctx, s.config.Attempt)
	defer cancel()
	s.mu.Lock()
	floor := s.revision
	s.mu.Unlock()
	client, err := s.conn.client(ctx)
	var answer *clientv3.GetResponse
	if err == nil {
		answer, err = client.Get(clientv3.WithRequireLeader(ctx), s.prefix+s.mark, clientv3.WithKeysOnly())
	}
	if s.answered(err); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.same(answer.Header.GetClusterId(), answer.Header.GetRevision(), floor)
	}
}

func (s *Store) entry(kv *mvccpb.KeyValue) entry {
	return entry{key: strings.TrimPrefix(string(kv.Key), s.prefix), value: kv.Value, rev: kv.ModRevision}
}

func (s *Store) entries(kvs []*mvccpb.KeyValue) []entry {
	all := make([]entry, len(kvs))
	for i, kv := range kvs {
		all[i] = s.entry(kv)
	}
	return all
}
