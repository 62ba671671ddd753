package raftstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

const (
	maxAsked   = 4 // members, besides the known servers, who are asked at once for the leader
	maxGreeted = 8 // members who are greeted at once

	pauseMin = 100 * time.Millisecond // between two attempts of one command; doubles up to pauseMax
	pauseMax = time.Second
)

// Do implements ipam.BlockStore. While a new leader may still be found it waits, up to Timing.Patience.
func (s *Store) Do(ctx context.Context, c registry.Command) (registry.Result, error) {
	var last error
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		if err := s.conflict(); err != nil {
			return registry.Result{}, err
		}
		result, done, err := s.attempt(ctx, c)
		if done {
			return result, err
		}
		if err != nil {
			last = err
		}
		if ctx.Err() != nil || s.ctx.Err() != nil || s.givenUp() {
			return registry.Result{}, s.noStore(last)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return registry.Result{}, s.noStore(last)
		case <-s.ctx.Done():
		}
	}
}

// attempt gives c to the leader. If done is false, c was not and will not be applied, and another attempt may succeed.
func (s *Store) attempt(ctx context.Context, c registry.Command) (result registry.Result, done bool, err error) {
	leader, ok := s.leader()
	if !ok {
		s.seek(ctx)
		if leader, ok = s.leader(); !ok {
			return result, false, nil
		}
	}
	if leader == s.cfg.Self {
		v, _ := s.current()
		if v == nil {
			return result, false, nil
		}
		if v.fsm.empty() {
			return result, false, s.unmadeBecause()
		}
		if !v.mayDecide() {
			return result, false, errors.New("this node asks the copies whether it was set back")
		}
		decided, applied, err := v.propose(ctx, c)
		if err == nil {
			s.heard(leader)
			s.saw(v.registry, decided.index)
		} else if applied {
			err = fmt.Errorf("%w: no majority answered this node, which leads; the command may still be decided: %w", ipam.ErrNoStore,
				cmp.Or(v.guard.failure(), err))
		}
		return decided.result, applied, err
	}
	return s.forward(ctx, leader, c)
}

// forward asks leader to decide c; see attempt.
func (s *Store) forward(ctx context.Context, leader [32]byte, c registry.Command) (result registry.Result, done bool, err error) {
	_, m := s.current()
	body, err := c.Append(m.Registry.append(nil))
	if err != nil {
		return result, true, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timing.RPC+s.cfg.Timing.Ask)
	defer cancel()
	st, answer, sent, err := s.ask(ctx, leader, kindDo, body)
	switch {
	case err != nil && sent:
		s.missed(leader)
		return result, true, fmt.Errorf("%w: the leader %s took the command and did not answer, it may still be decided: %w",
			ipam.ErrNoStore, s.name(leader), err)
	case err != nil:
		s.missed(leader)
		return result, false, fmt.Errorf("asking the leader %s: %w", s.name(leader), err)
	case st == statusUnknown:
		return result, true, fmt.Errorf("%w: the command may still be decided: %s", ipam.ErrNoStore, answer)
	case st == statusRefused:
		return result, true, fmt.Errorf("%w: %s refused: %s", ipam.ErrNoStore, s.name(leader), answer)
	case st == statusElsewhere:
		theirs, _, err := parseStanding(answer)
		s.missed(leader)
		if err == nil {
			s.observe(leader, theirs)
		}
		return result, false, err
	}
	index, answer, err := parseIndex(answer)
	if err == nil {
		result, err = registry.ParseResult(answer)
	}
	if err != nil {
		return result, true, fmt.Errorf("%w: the answer of %s: %w", ipam.ErrNoStore, s.name(leader), err)
	}
	s.heard(leader)
	s.saw(m.Registry, index)
	return result, true, nil
}

// ask sends one request to node. sent says that node may have got it.
func (s *Store) ask(ctx context.Context, node [32]byte, k kind, body []byte) (st status, answer []byte, sent bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, s.cfg.Timing.Ask)
	c, err := s.cfg.Streams.Dial(dialing, node, Protocol)
	cancel()
	if err != nil {
		return 0, nil, false, err
	}
	defer c.Close()
	for _, end := range []context.Context{ctx, s.ctx} {
		defer context.AfterFunc(end, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	}
	if err := writeMessage(c, byte(k), body); err != nil {
		return 0, nil, true, err
	}
	first, answer, err := readMessage(c, maxResponse)
	if err == nil && first > byte(statusRefused) {
		err = fmt.Errorf("%w: unknown status %d", errMessage, first)
	}
	return status(first), answer, true, err
}

// hello exchanges standings with node.
func (s *Store) hello(ctx context.Context, node [32]byte) (standing, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timing.Ask)
	defer cancel()
	ours := s.standing()
	st, answer, _, err := s.ask(ctx, node, kindHello, ours.append(nil))
	if err == nil && st != statusOK {
		err = errors.New(string(answer))
	}
	if err != nil {
		return standing{}, err
	}
	theirs, _, err := parseStanding(answer)
	if err == nil {
		s.observe(node, theirs)
	}
	return theirs, err
}

// seek asks the servers, and some members, who leads. It returns when one of them led to a leader or all have answered.
func (s *Store) seek(ctx context.Context) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered := make(map[[32]byte]struct{})
	for _, node := range s.whomToAsk() {
		wg.Go(func() {
			if _, err := s.hello(ctx, node); err != nil {
				return
			}
			mu.Lock()
			answered[node] = struct{}{}
			mu.Unlock()
			if _, ok := s.leader(); ok {
				cancel()
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	s.answered = answered
	s.mu.Unlock()
}

// whomToAsk returns the known servers and some other alive members.
func (s *Store) whomToAsk() [][32]byte {
	var nodes, others [][32]byte
	dead := make(map[[32]byte]bool)
	servers := s.servers()
	for _, m := range s.cfg.Members() {
		dead[m.ID] = !m.Alive
		known := slices.ContainsFunc(servers, func(v member) bool { return v.server.node == m.ID })
		if m.Alive && !known && m.ID != s.cfg.Self {
			others = append(others, m.ID)
		}
	}
	for _, v := range servers {
		if v.server.node != s.cfg.Self && !dead[v.server.node] {
			nodes = append(nodes, v.server.node)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return append(nodes, others[:min(len(others), maxAsked)]...)
}

// greet tells members that are new how this node stands, so that two registries find each other, clients find servers, and
// former servers learn that they are none. Only the leader does, or a server without one, and few members at a time.
func (s *Store) greet() {
	v, _ := s.current()
	if v == nil {
		return
	}
	if leader, ok := s.leader(); ok && leader != s.cfg.Self {
		return
	}
	var wg sync.WaitGroup
	asked := 0
	members := s.cfg.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] }) // some may never answer
	for _, m := range members {
		s.mu.Lock()
		known := s.greeted[m.ID] == m.Instance && m.Instance != 0
		s.mu.Unlock()
		if known || !m.Alive || m.ID == s.cfg.Self {
			continue
		}
		if asked++; asked > maxGreeted {
			break
		}
		wg.Go(func() {
			_, err := s.hello(s.ctx, m.ID)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.greeted[m.ID] = m.Instance
			}
		})
	}
	wg.Wait()
}

// View implements ipam.BlockStore. This node's copy says what is in it, unless this node has been told more: the followers of a
// leader hear of what it has decided some time after it has answered. Then, and on a client, the leader is asked, or any server.
func (s *Store) View(ctx context.Context) (registry.State, error) {
	v, m := s.current()
	seen := s.upTo(m.Registry)
	if v != nil && !v.fsm.empty() {
		if fresh, _ := v.applied(seen); fresh {
			return v.fsm.load()
		}
	}
	state, err := s.remoteView(ctx, m.Registry, seen)
	if err == nil || v == nil || v.fsm.empty() {
		return state, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.cfg.Timing.Commit)
	defer cancel()
	if !v.await(ctx, seen) {
		s.log.Debug("the copy of the block store lags and nobody else can be asked", "err", err)
	}
	return v.fsm.load()
}

// remoteView asks the leader, or any server, for the registry r with the command of entry seen.
func (s *Store) remoteView(ctx context.Context, r identity, seen uint64) (registry.State, error) {
	if len(s.servers()) == 0 {
		s.seek(ctx)
	}
	last := errors.New("no server is known")
	var nodes [][32]byte
	if leader, ok := s.leader(); ok {
		nodes = append(nodes, leader)
	}
	for _, server := range s.servers() {
		nodes = append(nodes, server.server.node)
	}
	for i, node := range nodes {
		if node == s.cfg.Self || slices.Contains(nodes[:i], node) {
			continue
		}
		st, answer, _, err := s.ask(ctx, node, kindView, binary.BigEndian.AppendUint64(r.append(nil), seen))
		if err != nil {
			last = err
			continue
		}
		if st != statusOK {
			last = fmt.Errorf("%s does not have the registry, or not all of it", s.name(node))
			continue
		}
		index, answer, err := parseIndex(answer)
		var records *registry.Map
		if err == nil {
			records, err = registry.Restore(answer)
		}
		if err != nil {
			return registry.State{}, fmt.Errorf("the registry as %s has it: %w", s.name(node), err)
		}
		s.saw(r, index)
		return registry.Load(records)
	}
	return registry.State{}, fmt.Errorf("%w: reading the registry: %w", ipam.ErrNoStore, last)
}

// saw notes that this node has been told what entry index of r's log came to: View must not show less from now on.
func (s *Store) saw(r identity, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memo.Registry == r {
		s.seen = max(s.seen, index)
	}
}

// upTo returns the last entry of r's log of which this node has been told.
func (s *Store) upTo(r identity) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memo.Registry != r {
		return 0
	}
	return s.seen
}

// noStore explains why nobody decides; last is the last attempt's error, or nil.
func (s *Store) noStore(last error) error {
	s.mu.Lock()
	failure, trouble, answered := s.failure, s.trouble, s.answered
	s.mu.Unlock()
	var voters, up []string
	for _, m := range s.servers() {
		if !m.voter {
			continue
		}
		voters = append(voters, s.name(m.server.node))
		if _, ok := answered[m.server.node]; ok || m.server.node == s.cfg.Self {
			up = append(up, s.name(m.server.node))
		}
	}
	since := "no leader"
	if !trouble.IsZero() {
		since += " for " + time.Since(trouble).Round(time.Second).String()
	}
	var why string
	switch need := len(voters)/2 + 1; {
	case len(voters) == 0:
		why = "no server of the registry has been found"
	case len(up) < need:
		why = fmt.Sprintf("%d of the %d voters (%s) can be reached from here, %d are needed", len(up), len(voters),
			strings.Join(voters, ", "), need)
	default:
		why = fmt.Sprintf("the voters (%s) have not agreed on one", strings.Join(voters, ", "))
	}
	err := fmt.Errorf("%w: %s: %s", ipam.ErrNoStore, since, why)
	if leader, ok := s.leader(); ok {
		err = fmt.Errorf("%w: the leader %s has not decided", ipam.ErrNoStore, s.name(leader))
	}
	for _, cause := range []error{failure, last} {
		if cause != nil {
			err = fmt.Errorf("%w; %w", err, cause)
		}
	}
	return err
}
