package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

const (
	// maxLag is how many entries a copy may lack and still be given a vote: it has them within a moment.
	maxLag        = 64
	changeTimeout = 10 * time.Second // for a change of the configuration to be taken up by the leader
)

// leadership is what a leader knows of its servers, from its election on.
type leadership struct {
	store *Store
	v     *server
	began time.Time

	heard   map[serverID]time.Time // last answer
	seen    map[serverID]standing  // that answer
	lost    map[serverID]bool      // it has less than it once had, or is another incarnation now
	refused map[[32]byte]time.Time // until when a node is not asked again to serve
	expired time.Time              // last OpExpireNodes
}

// lead looks after the registry and its servers whenever v leads, until v stops.
func (s *Store) lead(v *server) {
	defer close(v.leading)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-v.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	timer := time.NewTicker(s.cfg.Timing.Plan)
	defer timer.Stop()
	var l *leadership
	for {
		select {
		case <-v.stop:
			return
		case <-v.raft.LeaderCh():
			s.signal()
		case <-v.hasten:
		case <-timer.C:
		}
		if v.raft.State() != raft.Leader {
			l = nil
			v.checked.Store(false)
			continue
		}
		if l == nil {
			s.log.Info("leading the block store", "term", v.raft.CurrentTerm())
			l = &leadership{store: s, v: v, began: time.Now(), heard: make(map[serverID]time.Time),
				seen: make(map[serverID]standing), lost: make(map[serverID]bool), refused: make(map[[32]byte]time.Time),
				expired: time.Now()}
		}
		l.round(ctx)
	}
}

// round does what is due. The time it takes is bounded by those of questions and changes.
func (l *leadership) round(ctx context.Context) {
	s := l.store
	if s.conflict() != nil || !l.begin(ctx) {
		return
	}
	if now := time.Now(); now.Sub(l.expired) >= s.cfg.Timing.Expire {
		l.expired = now
		decided, _, err := l.v.propose(ctx, registry.Command{Op: registry.OpExpireNodes})
		if err != nil {
			s.log.Debug("looking for dead nodes", "err", err)
		}
		for _, node := range decided.result.Removed {
			s.log.Warn("removed a dead node", "peer", node.Short())
		}
	}
	if !l.v.checked.Load() && l.v.raft.Barrier(s.cfg.Timing.RPC).Error() != nil {
		return // what was decided before is not applied: the copies could not be compared with it
	}
	servers, index, committed := l.v.configuration()
	if by := l.poll(ctx, servers); by != nil {
		s.forgot(l.v, *by)
		return
	}
	l.v.checked.Store(true)
	if !committed {
		return // the change before has not been agreed yet
	}
	l.dismiss(ctx, servers)
	l.act(ctx, plan(time.Now(), planTimes{s.cfg.Timing.Stable, s.cfg.Timing.Replace, s.cfg.Timing.Shrink}, l.planServers(servers),
		l.planNodes(servers)), index)
}

// begin makes the registry if there is none yet, and reports whether there is one.
func (l *leadership) begin(ctx context.Context) bool {
	if !l.v.fsm.empty() {
		return true
	}
	s := l.store
	if l.v.raft.Barrier(s.cfg.Timing.RPC).Error() != nil || !l.v.fsm.empty() {
		return !l.v.fsm.empty()
	}
	if !s.cfg.Bootstrap {
		return false
	}
	c := s.cfg.Init
	c.Op, c.Registry, c.Node = registry.OpInit, l.v.registry.ID, s.cfg.Self
	decided, _, err := l.v.propose(ctx, c)
	if err == nil {
		err = decided.result.Err()
	}
	if err != nil {
		err = fmt.Errorf("making the registry: %w", err)
		s.mu.Lock()
		known := s.unmade != nil && s.unmade.Error() == err.Error()
		s.unmade = err
		s.mu.Unlock()
		if !known {
			s.log.Error("cannot make the IPv4 registry", "err", err)
		}
		return false
	}
	s.log.Info("made the IPv4 registry", "registry", l.v.registry.ID)
	return true
}

// poll asks the servers how they stand. It returns one that knows of decisions which this node, the leader, has forgotten.
func (l *leadership) poll(ctx context.Context, servers []member) (ahead *serverID) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, m := range servers {
		if m.server == l.v.id {
			continue
		}
		wg.Go(func() {
			theirs, err := l.store.hello(ctx, m.server.node)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				l.polled(m.server, theirs)
				if theirs.incarnation == m.server.incarnation && l.v.setBack(theirs) {
					ahead = &m.server
				}
			}
		})
	}
	wg.Wait()
	return ahead
}

// forgot ends the part of v, which leads and was set back to an older state, as the server by shows. It does not decide again: others may
// own what it believes to be free. Its data are kept aside.
func (s *Store) forgot(v *server, by serverID) {
	s.wg.Go(func() { // the end of v waits for the caller
		s.life.Lock()
		defer s.life.Unlock()
		if running, _ := s.current(); running != v || s.ctx.Err() != nil {
			return
		}
		err := s.dropServer(v.registry)
		s.failed(errors.Join(fmt.Errorf("%w, as %s", errSetBack, s.name(by.node)), err))
		s.log.Error("this host was set back to an older state and leads the block store no more", "newer", s.name(by.node))
	})
}

// polled takes in an answer. A server that has less than it had, as when its disk was set back to a snapshot, counts for
// commits that it has forgotten: it must not go on under its name. Nor will it, if its node has another incarnation now.
func (l *leadership) polled(server serverID, theirs standing) {
	before := l.seen[server]
	switch {
	case theirs.registry != l.v.registry:
		return
	case theirs.incarnation != server.incarnation || theirs.lastIndex < before.applied:
		l.lost[server] = true
		return
	}
	l.seen[server], l.heard[server] = theirs, time.Now()
}

func (l *leadership) planServers(servers []member) []planServer {
	left := make(map[[32]byte]bool)
	for _, m := range l.store.cfg.Members() {
		left[m.ID] = m.Left
	}
	removed, leaving := l.v.fsm.removed(), l.store.leaves()
	out := make([]planServer, 0, len(servers))
	for _, m := range servers {
		p := planServer{server: m.server, voter: m.voter, leader: m.server == l.v.id, heard: l.heard[m.server],
			leaving: leaving[m.server.node]}
		if p.heard.IsZero() {
			p.heard = l.began
		}
		if p.leader {
			p.heard = time.Now()
		} else {
			p.gone = l.lost[m.server] || left[m.server.node] || removed[m.server.node]
			_, answers := l.seen[m.server]
			p.ready = answers && time.Since(p.heard) < 2*l.store.cfg.Timing.Plan+l.store.cfg.Timing.Ask &&
				l.seen[m.server].lastIndex+maxLag >= l.v.raft.LastIndex()
		}
		out = append(out, p)
	}
	return out
}

// planNodes returns the alive members that are no servers and may become ones.
func (l *leadership) planNodes(servers []member) []planNode {
	removed, leaving := l.v.fsm.removed(), l.store.leaves()
	isServer := map[[32]byte]bool{l.store.cfg.Self: true}
	for _, m := range servers {
		isServer[m.server.node] = true
	}
	var out []planNode
	for _, m := range l.store.cfg.Members() {
		if time.Now().Before(l.refused[m.ID]) || leaving[m.ID] {
			continue
		}
		if m.Alive && !isServer[m.ID] && !removed[m.ID] {
			out = append(out, planNode{m.ID, m.Since})
		}
	}
	return out
}

// dismiss tells former servers that they are none any more. The configuration servers is agreed.
func (l *leadership) dismiss(ctx context.Context, servers []member) {
	s := l.store
	s.mu.Lock()
	former := s.former
	s.former = nil
	s.mu.Unlock()
	for _, server := range former {
		current := false
		for _, m := range servers {
			current = current || m.server == server
		}
		if current || l.v.raft.VerifyLeader().Error() != nil {
			continue
		}
		ours := s.standing()
		asking, cancel := context.WithTimeout(ctx, s.cfg.Timing.Ask)
		st, answer, _, err := s.ask(asking, server.node, kindDismiss, binary.BigEndian.AppendUint64(ours.append(nil), server.incarnation))
		cancel()
		if err == nil && st == statusRefused {
			err = errors.New(string(answer))
		}
		if err != nil {
			s.log.Debug("dismissing a server", "peer", short(server.node), "err", err)
		}
	}
}

// act makes one change to the configuration of entry index, if that is still the latest.
func (l *leadership) act(ctx context.Context, do step, index uint64) {
	r, s := l.v.raft, l.store
	target := do.server.raftServer(raft.Voter)
	var err error
	switch do.kind {
	case stepNone:
		return
	case stepEnlist:
		var server serverID
		if server, err = l.enlist(ctx, do.server.node); err == nil {
			target = server.raftServer(raft.Nonvoter)
			err = r.AddNonvoter(target.ID, target.Address, index, changeTimeout).Error()
		} else {
			l.refused[do.server.node] = time.Now().Add(s.again(err))
		}
	case stepPromote:
		err = r.AddVoter(target.ID, target.Address, index, changeTimeout).Error()
	case stepDemote:
		err = r.DemoteVoter(target.ID, index, changeTimeout).Error()
	case stepRemove:
		if err = r.RemoveServer(target.ID, index, changeTimeout).Error(); err == nil {
			s.dismissLater(do.server)
		}
	case stepTransfer:
		// Nobody waits for the end: raft forgets to answer when it is stopped meanwhile. The next round sees what came of it.
		r.LeadershipTransferToServer(target.ID, target.Address)
	}
	name := s.name(do.server.node)
	if err != nil {
		s.log.Info("could not change the servers of the block store", "change", do.kind.String(), "server", name, "err", err)
		return
	}
	s.log.Info("changed the servers of the block store", "change", do.kind.String(), "server", name, "why", do.why)
}

// errRefused means that a node does not want to serve.
var errRefused = errors.New("it does not want to")

// again returns after how long a node that was asked in vain to serve is asked again: one that could not be reached, soon.
func (s *Store) again(err error) time.Duration {
	if errors.Is(err, errRefused) {
		return s.cfg.Timing.Replace
	}
	return s.cfg.Timing.Stable
}

// enlist asks node to become a copy and returns the server that it is now.
func (l *leadership) enlist(ctx context.Context, node [32]byte) (serverID, error) {
	ctx, cancel := context.WithTimeout(ctx, l.store.cfg.Timing.RPC)
	defer cancel()
	ours := l.store.standing()
	st, answer, _, err := l.store.ask(ctx, node, kindEnlist, ours.append(nil))
	switch {
	case err != nil:
		return serverID{}, err
	case st == statusElsewhere:
		if theirs, _, err := parseStanding(answer); err == nil {
			l.store.observe(node, theirs)
		}
		return serverID{}, errors.New("it follows another registry")
	case st != statusOK:
		return serverID{}, fmt.Errorf("%w: %s", errRefused, answer)
	case len(answer) != 8:
		return serverID{}, errMessage
	}
	return serverID{node, binary.BigEndian.Uint64(answer)}, nil
}

// dismissLater has a leader look in its next round whether server knows that it is none any more.
func (s *Store) dismissLater(server serverID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspect(server)
}

// suspect is dismissLater with s.mu held.
func (s *Store) suspect(server serverID) {
	if len(s.former) < maxServers && !slices.Contains(s.former, server) {
		s.former = append(s.former, server)
	}
}
