package raftstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meshnet/ipam"
)

const (
	resignEvery  = 250 * time.Millisecond // between two questions of who resigns
	leavesWithin = 30 * time.Second       // of the last question: who resigned is gone, or has given it up
)

// Resign hands this node's part over to the others before the node leaves the network. The leader gives its vote to a copy if
// that makes the voters that are left an odd number, and takes it out of the servers; if it leads itself, another one does so
// after it. The node is a client when Resign returns nil, and stays one; or it is the only one that ever served.
//
// An error wraps ipam.ErrNoStore: too few of the others are there. Then the node goes on as before, if need be as one voter more
// until the leader has put that right.
func (s *Store) Resign(ctx context.Context) error {
	s.setResigning(true)
	err := s.resign(ctx)
	if err != nil {
		s.setResigning(false)
	}
	return err
}

func (s *Store) setResigning(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resigning = is
}

// isResigning reports whether this node is about to leave: it must not serve again.
func (s *Store) isResigning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resigning
}

func (s *Store) resign(ctx context.Context) error {
	var last error
	for {
		if _, m := s.current(); m.Incarnation == 0 {
			return nil
		}
		if !s.othersAlive() {
			return s.lonely()
		}
		if err := s.conflict(); err != nil {
			return err
		}
		leader, ok := s.leader()
		if !ok && !s.anyoneLeads(ctx) {
			return s.noStore(errors.New("no other server answers"))
		}
		if ok {
			done, err := s.askRelease(ctx, leader)
			if done {
				return s.retire(leader)
			}
			last = err
		}
		select {
		case <-time.After(resignEvery):
		case <-ctx.Done():
			return s.unreleased(last)
		case <-s.ctx.Done():
			return s.unreleased(last)
		}
	}
}

func (s *Store) othersAlive() bool {
	return slices.ContainsFunc(s.cfg.Members(), func(m Member) bool { return m.Alive && m.ID != s.cfg.Self })
}

// lonely returns nil if this node, of which no other one is alive, leaves nobody behind, and else an error that names who serves
// with it and is down.
func (s *Store) lonely() error {
	left := make(map[[32]byte]bool)
	for _, m := range s.cfg.Members() {
		left[m.ID] = m.Left
	}
	var down []string
	for _, m := range s.servers() {
		if m.server.node != s.cfg.Self && !left[m.server.node] {
			down = append(down, s.name(m.server.node))
		}
	}
	if len(down) == 0 {
		return nil
	}
	return fmt.Errorf("%w: who could take over is down: %s", ipam.ErrNoStore, strings.Join(down, ", "))
}

// anyoneLeads looks for a leader, and reports whether there may be one soon.
func (s *Store) anyoneLeads(ctx context.Context) bool {
	s.seek(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answered) > 0
}

// unreleased explains why the leader has not done without this node in time.
func (s *Store) unreleased(last error) error {
	if _, ok := s.leader(); !ok || last != nil {
		return s.noStore(last)
	}
	return fmt.Errorf("%w: no other host could take over from this one in time", ipam.ErrNoStore)
}

// askRelease asks leader, which may be this node, to do without this node, and reports whether it does already.
func (s *Store) askRelease(ctx context.Context, leader [32]byte) (done bool, err error) {
	_, m := s.current()
	if leader == s.cfg.Self {
		if v := s.leads(m.Registry); v != nil {
			s.release(v, leader) // another one will say that it is done
		}
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timing.Ask)
	defer cancel()
	st, answer, _, err := s.ask(ctx, leader, kindResign, m.Registry.append(nil))
	switch {
	case err != nil:
		return false, fmt.Errorf("asking the leader %s: %w", s.name(leader), err)
	case st == statusElsewhere:
		theirs, _, err := parseStanding(answer)
		s.missed(leader)
		if err == nil {
			s.observe(leader, theirs)
		}
		return false, err
	case st != statusOK:
		return false, fmt.Errorf("%s refused: %s", s.name(leader), answer)
	case len(answer) != 1 || answer[0] > 1:
		return false, errMessage
	}
	return answer[0] == 1, nil
}

// retire makes this node a client of leader, which does without it.
func (s *Store) retire(leader [32]byte) error {
	s.life.Lock()
	defer s.life.Unlock()
	_, m := s.current()
	if m.Incarnation == 0 {
		return nil // it was told before it asked
	}
	if err := s.dropServer(m.Registry); err != nil {
		return fmt.Errorf("becoming a client: %w", err)
	}
	s.heard(leader)
	s.log.Info("gave up its part in the block store", "leader", short(leader))
	return nil
}

// release has v, which leads, do without the servers of node, and reports whether it does already.
func (s *Store) release(v *server, node [32]byte) (done bool) {
	s.mu.Lock()
	s.leaving[node] = time.Now()
	s.mu.Unlock()
	servers, _, committed := v.configuration()
	if committed && !slices.ContainsFunc(servers, func(m member) bool { return m.server.node == node }) {
		return true
	}
	select {
	case v.hasten <- struct{}{}:
	default:
	}
	return false
}

// leaves returns the nodes that are about to leave.
func (s *Store) leaves() map[[32]byte]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[[32]byte]bool)
	for node, asked := range s.leaving {
		if time.Since(asked) > leavesWithin {
			delete(s.leaving, node)
			continue
		}
		out[node] = true
	}
	return out
}

// answerResign has this node, if it leads, do without peer.
func (s *Store) answerResign(peer [32]byte, body []byte) (status, []byte, error) {
	asked, _, err := parseIdentity(body)
	if err != nil {
		return 0, nil, err
	}
	v := s.leads(asked)
	if v == nil {
		return s.elsewhere()
	}
	if s.release(v, peer) {
		return statusOK, []byte{1}, nil
	}
	return statusOK, []byte{0}, nil
}
