package raftstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

// Recover makes this node, which must be a server, the only one of the next generation of the registry, with all it has in its
// copy. It is for when a majority of the voters is lost for good, and refuses while there is a leader. What the lost ones had
// agreed on without this node is gone; the next generation gives nothing out until the nodes have said what they own.
// Servers of the former generation that come back find themselves outdated and become clients.
//
// It is done when Recover returns nil, or fails and is tried again until it succeeds: a restart does not undo it.
func (s *Store) Recover(ctx context.Context) error {
	if _, m := s.current(); m.Incarnation == 0 {
		return errors.New("this node has no copy of the registry: recover on one that has")
	}
	if s.standing().blank() {
		return errors.New("this node's copy of the registry is empty: it was to become one when it lost the others")
	}
	s.seek(ctx)
	if leader, ok := s.leader(); ok {
		return fmt.Errorf("%s leads the block store: there is nothing to recover", s.name(leader))
	}
	s.life.Lock()
	defer s.life.Unlock()
	_, m := s.current()
	if m.Incarnation == 0 {
		return errors.New("this node has no copy of the registry any more: another one was recovered")
	}
	if err := s.stopServer(); err != nil {
		s.log.Debug("stopping raft", "err", err)
	}
	next := m.Registry
	next.Generation++
	next.Lineage = random()
	m = memo{Registry: m.Registry, Incarnation: random(), Recovering: &next}
	if err := s.disk.writeMemo(m); err != nil {
		s.failed(err)
		return fmt.Errorf("recovering: %w", err)
	}
	s.setMemo(m)
	return s.start(func() error { return s.finishRecovery(m) })
}

// finishRecovery does, or does again, what m has begun, and starts the server. s.life is held.
func (s *Store) finishRecovery(m memo) error {
	if err := s.rewrite(serverID{s.cfg.Self, m.Incarnation}); err != nil {
		return fmt.Errorf("recovering: %w", err)
	}
	m = memo{Registry: *m.Recovering, Incarnation: m.Incarnation}
	if err := s.disk.writeMemo(m); err != nil {
		return fmt.Errorf("recovering: %w", err)
	}
	s.setMemo(m)
	s.log.Warn("recovered the block store on this node alone", "generation", m.Registry.Generation)
	return s.run(m, false)
}

// rewrite turns the raft data into those of id alone, with the next generation of the registry.
func (s *Store) rewrite(id serverID) (err error) {
	opened, err := s.disk.open(s.raftLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	g := &guard{stores: opened, cut: func(error) {}}
	_, transport := raft.NewInmemTransport("") // only encodes addresses
	defer transport.Close()
	alone := raft.Configuration{Servers: []raft.Server{id.raftServer(raft.Voter)}}
	f := recovery{newFSM(), time.Now()}
	if err := raft.RecoverCluster(s.raftConfig(id), f, g, g, g.snapshots, transport, alone); err != nil {
		return err
	}
	return g.failure()
}

// recovery is an fsm for raft.RecoverCluster, which replays the log into it and takes a snapshot: that of the next
// generation.
type recovery struct {
	*fsm
	now time.Time
}

// Snapshot implements raft.FSM.
func (r recovery) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, err := registry.Load(r.records)
	if err != nil {
		return nil, err
	}
	result := registry.Apply(r.records, registry.Command{Op: registry.OpRecover, Time: r.now, Generation: state.Generation + 1})
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("raising the generation: %w", err)
	}
	return fsmSnapshot(r.records.Snapshot(new(history).append(nil))), nil
}

// Join gives up the registry that this node follows for the older one of the same network that it has met. A copy of the younger
// is moved aside. What this node owned in the younger it does not own in the older.
func (s *Store) Join(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	found := s.rival
	s.mu.Unlock()
	if found == nil {
		return errors.New("no other registry has been met: there is nothing to join")
	}
	if _, m := s.current(); !found.registry.older(m.Registry) {
		return fmt.Errorf("the registry that this node follows is the older one: join on %s", s.name(found.peer))
	}
	if err := s.dropServer(found.registry); err != nil {
		return fmt.Errorf("joining the older registry: %w", err)
	}
	s.mu.Lock()
	s.rival, s.failure = nil, nil
	s.mu.Unlock()
	s.log.Warn("joined the older registry", "registry", found.registry.ID, "creator", short(found.registry.Creator))
	_, _ = s.hello(ctx, found.peer) // otherwise it is found later
	return nil
}
