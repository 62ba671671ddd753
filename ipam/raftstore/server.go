package raftstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

// snapshot policy: entries are small and few, so the log stays short and a restart quick.
const (
	snapshotThreshold = 1024
	snapshotInterval  = 2 * time.Minute
	trailingLogs      = 1024
	logCacheSize      = 512

	enqueueTimeout = 5 * time.Second // for a leader to take up a command
)

// server is this node's part in raft from start to stop.
type server struct {
	id       serverID
	registry identity
	raft     *raft.Raft
	fsm      *fsm
	guard    *guard
	layer    *layer
	started  time.Time
	stop     chan struct{} // closed by Store.stopServer; ends lead
	leading  chan struct{} // closed when lead has ended
	hasten   chan struct{} // the leader's next round is due now
	checked  atomic.Bool   // the leader has asked its servers whether they have been told more than it knows
}

// raftConfig returns raft's configuration for this node.
func (s *Store) raftConfig(id serverID) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id.String())
	c.HeartbeatTimeout = s.cfg.Timing.Heartbeat
	c.ElectionTimeout = s.cfg.Timing.Election
	c.LeaderLeaseTimeout = s.cfg.Timing.Lease
	c.CommitTimeout = s.cfg.Timing.Commit
	c.SnapshotThreshold = snapshotThreshold
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = trailingLogs
	c.ShutdownOnRemove = false // Store stops it
	c.NoLegacyTelemetry = true
	c.Logger = s.raftLog
	return c
}

// startServer runs raft as m says. s.life is held. With Founding it makes the log
// that starts the registry; otherwise the log must not be empty, unless fresh.
func (s *Store) startServer(m memo, fresh bool) (*server, error) {
	opened, err := s.disk.open(s.raftLog)
	if err != nil {
		return nil, err
	}
	if !m.Founding && !fresh {
		if data, err := raft.HasExistingState(opened.log, opened.stable, opened.snapshots); err != nil || !data {
			return nil, errors.Join(cmp.Or(err, errNoData), opened.close())
		}
	}
	v := &server{id: serverID{s.cfg.Self, m.Incarnation}, registry: m.Registry, fsm: newFSM(), started: time.Now(),
		stop: make(chan struct{}), leading: make(chan struct{}), hasten: make(chan struct{}, 1)}
	v.layer = newLayer(s.cfg.Streams, m.Registry, v.id)
	v.guard = &guard{stores: opened, decided: func() uint64 { index, _ := v.fsm.applied(); return index }, cut: func(cause error) {
		v.layer.Close()
		s.serverFailed(v, cause)
	}}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  v.layer,
		Logger:  s.raftLog,
		MaxPool: 2, // a stream for heartbeats and one for the rest; see dialed
		Timeout: s.cfg.Timing.RPC,
	})
	inbox := newInbox(transport)
	if v.raft, err = s.startRaft(v, m, inbox); err != nil {
		return nil, errors.Join(err, inbox.Close(), v.layer.Close(), opened.close())
	}
	if servers, _, _ := v.configuration(); v.alone(servers) {
		inbox.hurry()
	}
	return v, nil
}

func (s *Store) startRaft(v *server, m memo, transport raft.Transport) (*raft.Raft, error) {
	config := s.raftConfig(v.id)
	if m.Founding {
		alone := raft.Configuration{Servers: []raft.Server{v.id.raftServer(raft.Voter)}}
		err := raft.BootstrapCluster(config, v.guard, v.guard, v.guard.snapshots, transport, alone)
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return nil, fmt.Errorf("making the registry: %w", err)
		}
		m.Founding = false
		if err := s.disk.writeMemo(m); err != nil {
			return nil, fmt.Errorf("making the registry: %w", err)
		}
		s.setMemo(m)
	}
	cache, err := raft.NewLogCache(logCacheSize, v.guard)
	if err != nil {
		return nil, err
	}
	r, err := raft.NewRaft(config, v.fsm, cache, v.guard, v.guard.snapshots, transport)
	if err != nil {
		return nil, corrupt(v.guard.path, err)
	}
	return r, nil
}

// close ends raft and waits until it has ended. The layer goes first, so that nobody waits for a peer.
func (v *server) close() error {
	close(v.stop)
	v.layer.Close()
	err := v.raft.Shutdown().Error()
	<-v.leading
	return errors.Join(err, v.guard.close())
}

// alone reports whether v is the only voter.
func (v *server) alone(servers []member) bool {
	for _, m := range servers {
		if m.voter != (m.server == v.id) {
			return false
		}
	}
	return len(servers) > 0
}

// role returns what v is in raft's present configuration.
func (v *server) role(servers []member) role {
	if v.raft.State() == raft.Leader {
		return roleLeader
	}
	for _, m := range servers {
		if m.server == v.id && m.voter {
			return roleVoter
		}
	}
	return roleCopy
}

// configuration returns the latest configuration and its index; committed says that it cannot be undone.
func (v *server) configuration() (servers []member, index uint64, committed bool) {
	future := v.raft.GetConfiguration()
	if future.Error() != nil {
		return nil, 0, false
	}
	for _, s := range future.Configuration().Servers {
		if id, err := parseServerID(string(s.ID)); err == nil {
			servers = append(servers, member{id, s.Suffrage == raft.Voter})
		}
	}
	return servers, future.Index(), future.Index() <= v.raft.CommitIndex()
}

// mayDecide reports whether v, which leads, may decide. An only voter leads at once when it starts. If its disk was set back it knows
// nothing of that, but its copies do: it asks them first, those that answer.
func (v *server) mayDecide() bool {
	if v.checked.Load() {
		return true
	}
	servers, _, _ := v.configuration()
	return len(servers) == 1 || !v.alone(servers)
}

// setBack reports whether v, which leads, lacks a command that was decided, as another server's standing proves: no leader of a
// later term lacks one, unless it was set back to an older state. It may have another one at its place by then, and raft takes the two
// for one if their terms are the same, as it counts terms anew; but the histories differ from there on.
func (v *server) setBack(theirs standing) bool {
	if theirs.registry != v.registry || v.raft.State() != raft.Leader || theirs.term > v.raft.CurrentTerm() {
		return false // it may be led by another one by now
	}
	if theirs.applied > v.raft.LastIndex() {
		return true
	}
	if theirs.command == 0 || theirs.command > v.raft.AppliedIndex() {
		return false // not known yet
	}
	ours := v.fsm.sum(theirs.command)
	return ours != 0 && theirs.commandSum != 0 && ours != theirs.commandSum
}

// leader returns the node that leads, as far as raft knows.
func (v *server) leader() (node [32]byte, ok bool) {
	_, id := v.raft.LeaderWithID()
	server, err := parseServerID(string(id))
	return server.node, err == nil
}

// lost reports whether a command that raft answered with err may still be applied.
func lost(err error) bool {
	return !errors.Is(err, raft.ErrNotLeader) && !errors.Is(err, raft.ErrEnqueueTimeout) &&
		!errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

// applied reports whether the command of entry index is in the copy, and returns a channel that is closed when that may have
// changed. raft's own AppliedIndex is that of entries which the fsm may not have looked at yet.
func (v *server) applied(index uint64) (bool, <-chan struct{}) {
	at, moved := v.fsm.applied()
	if at >= index {
		return true, moved
	}
	snapshot, err := strconv.ParseUint(v.raft.Stats()["last_snapshot_index"], 10, 64) // raft tells it nowhere else
	return err == nil && snapshot >= index, moved
}

// await waits until the command of entry index is in the copy, until ctx ends, and reports whether it is.
func (v *server) await(ctx context.Context, index uint64) bool {
	for {
		ok, moved := v.applied(index)
		if ok {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		case <-v.stop:
			return false
		}
	}
}

// decision is how a command was decided, and by which entry of the log.
type decision struct {
	index  uint64
	result registry.Result
}

// propose has c decided here, within ctx. applied says whether c was or may be applied: if it is false, nothing happened.
func (v *server) propose(ctx context.Context, c registry.Command) (d decision, applied bool, err error) {
	c.Time = time.Now()
	b, err := c.Append(nil)
	if err != nil {
		return d, false, err
	}
	timeout := enqueueTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(end)), time.Millisecond) // 0 would mean for ever
	}
	future := v.raft.Apply(b, timeout)
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }() // ends with raft at the latest; a disk may keep it waiting
	select {
	case err = <-answered:
	case <-ctx.Done():
		return d, true, ctx.Err()
	}
	if err != nil {
		return d, lost(err), err
	}
	switch r := future.Response().(type) {
	case registry.Result:
		return decision{future.Index(), r}, true, nil
	case error:
		return d, true, r
	}
	return d, true, errMessage
}
