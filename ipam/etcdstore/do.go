package etcdstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"meshnet/ipam/registry"
)

const (
	maxAttempts = 100 // of one command, each refused because another node was quicker
	// maxOps is how many keys a transaction compares or writes one by one. etcd takes 128 (--max-txn-ops) unless told otherwise; where
	// a transaction lies in another, it wants the two to have no more together.
	maxOps = 60
	// Longest pauses between attempts.
	conflictPause = 300 * time.Millisecond
	outagePause   = 200 * time.Millisecond
)

// Do implements ipam.BlockStore.
func (s *Store) Do(ctx context.Context, c registry.Command) (registry.Result, error) {
	ctx, cancel := s.bound(ctx, s.config.Timeout)
	defer cancel()
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return registry.Result{}, s.explain(ctx.Err())
	}
	return s.persist(ctx, &call{command: c})
}

// persist makes attempts until one is answered, of no use, or out of time.
func (s *Store) persist(ctx context.Context, c *call) (registry.Result, error) {
	var why error // there is no answer yet
	for conflicts := 0; ; {
		done, err := s.attempt(ctx, c)
		if done {
			return c.result, nil
		}
		wait := outagePause
		if err == nil {
			conflicts++
			wait = min(conflictPause, time.Millisecond<<min(conflicts-1, 10))
			err = &storeError{
				text:  fmt.Sprintf("other nodes were quicker at the same records, %d times in a row", conflicts),
				final: conflicts == maxAttempts,
			}
		}
		if why == nil || ctx.Err() == nil { // the end of ctx tells less than what was before
			why = err
		}
		if e := s.explain(why); e.final || !pause(ctx, wait) {
			return registry.Result{}, e
		}
	}
}

// call is one command on its way.
type call struct {
	command registry.Command
	fresh   bool // the mirror has been read since the command came
	unsure  []transaction
	result  registry.Result // once it is done
}

// transaction is one attempt at a command.
type transaction struct {
	compares []clientv3.Cmp
	puts     []entry
	mark     string // the number that it gives the node's mark
	base     int64  // revision of the node's mark before
	rev      int64  // of the mirror that it is based on
	result   registry.Result
}

// attempt applies the command to the mirror and has etcd commit it. Neither done nor an error means that the mirror was not up to date,
// and is now.
func (s *Store) attempt(ctx context.Context, c *call) (done bool, err error) {
	if err := s.admit(ctx, c.command.Op); err != nil {
		return false, err
	}
	if settled, err := s.settle(c); settled || err != nil {
		return settled, err
	}
	t := s.prepare(c.command)
	if len(t.puts) > 0 {
		return s.commit(ctx, c, t)
	}
	if c.fresh {
		c.result = t.result
		return true, nil
	}
	err = s.sync(ctx)
	c.fresh = err == nil
	return false, err
}

// settle looks whether an earlier attempt, the answer to which got lost, has counted.
func (s *Store) settle(c *call) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range c.unsure {
		if s.mirror.marks[s.config.Self.String()] == t.mark {
			c.result = t.result
			return true, nil
		}
	}
	for _, t := range c.unsure {
		if s.mirror.revs[s.mark] != t.base {
			return false, &storeError{
				text:  "the answer of etcd got lost, and another daemon with this node's identity has written since",
				final: true,
			}
		}
	}
	return false, nil
}

// prepare applies c to the mirror, and the Init of the configuration first where there is no registry.
func (s *Store) prepare(c registry.Command) transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	c.Time = s.clock.stamp(now)
	overlay := registry.NewOverlay(s.mirror)
	result := registry.Apply(overlay, c)
	if result.Code == registry.Empty && s.config.Init != nil && c.Op != registry.OpInit {
		init := *s.config.Init
		init.Time = c.Time
		if result = registry.Apply(overlay, init); result.Code == registry.OK {
			result = registry.Apply(overlay, c)
		}
	}
	if !result.Time.IsZero() {
		s.clock.hear(now, result.Time)
	}
	t := transaction{mark: rand.Text(), base: s.mirror.revs[s.mark], rev: s.mirror.rev, result: result}
	for key, value := range overlay.Writes() {
		t.puts = append(t.puts, entry{key: recordsKey + key, value: value})
	}
	if len(t.puts) == 0 {
		return t
	}
	t.puts = append(t.puts, entry{key: s.mark, value: []byte(t.mark)})
	t.compares = append(s.compares(overlay.Keys()), clientv3.Compare(clientv3.ModRevision(s.prefix+s.mark), "=", t.base))
	return t
}

// compares returns the condition that keys are as the mirror has them: key by key, or, where they are too many, that no record at all
// has been written.
func (s *Store) compares(keys []string) []clientv3.Cmp {
	if len(keys) > maxOps {
		return []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.prefix+recordsKey).WithPrefix(), "<", s.mirror.rev+1)}
	}
	var all []clientv3.Cmp
	for _, key := range keys {
		all = append(all, clientv3.Compare(clientv3.ModRevision(s.prefix+recordsKey+key), "=", s.mirror.revs[recordsKey+key]))
	}
	return all
}

// operations returns the writes of one transaction, in groups if there are many: a node that refreshes after a recovery has all its
// blocks settled at once.
func (s *Store) operations(puts []entry) []clientv3.Op {
	var ops []clientv3.Op
	for _, e := range puts {
		ops = append(ops, clientv3.OpPut(s.prefix+e.key, string(e.value)))
	}
	if len(ops) <= maxOps {
		return ops
	}
	var groups []clientv3.Op
	for group := range slices.Chunk(ops, maxOps) {
		groups = append(groups, clientv3.OpTxn(nil, group, nil))
	}
	return groups
}

// commit sends t. If etcd refuses it, the mirror has what was written in the meantime.
func (s *Store) commit(ctx context.Context, c *call, t transaction) (done bool, err error) {
	ctx, cancel := s.bound(ctx, s.config.Attempt)
	defer cancel()
	client, err := s.conn.client(ctx)
	if err != nil {
		s.answered(err)
		return false, err
	}
	s.mu.Lock()
	floor := s.revision
	s.mu.Unlock()
	answer, err := client.Txn(clientv3.WithRequireLeader(ctx)).If(t.compares...).Then(s.operations(t.puts)...).
		Else(clientv3.OpGet(s.prefix, s.since(t.rev)...)).Commit()
	if s.answered(err); err != nil {
		c.unsure = append(c.unsure, t)
		return false, err
	}
	header := answer.Header
	if answer.Succeeded {
		c.result = t.result
		err = s.committed(header.GetClusterId(), header.GetRevision(), floor, t.puts)
		return err == nil, err
	}
	read := answer.Responses[0].GetResponseRange()
	c.fresh = true
	s.absorb(header.GetClusterId(), header.GetRevision(), floor, s.entries(read.Kvs), int(read.Count))
	return false, nil
}
