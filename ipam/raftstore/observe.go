package raftstore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// standing returns what this node knows and is.
func (s *Store) standing() standing {
	v, m := s.current()
	s.mu.Lock()
	out := s.hint
	s.mu.Unlock()
	out.role, out.incarnation, out.lastIndex = roleClient, 0, 0
	out.applied, out.command, out.commandSum = 0, 0, 0
	out.registry = m.Registry
	if v == nil {
		return out
	}
	servers, index, _ := v.configuration()
	out.role, out.incarnation = v.role(servers), v.id.incarnation
	out.lastIndex, out.applied = v.raft.LastIndex(), v.raft.AppliedIndex()
	out.command, _ = v.fsm.applied()
	out.commandSum = v.fsm.sum(out.command)
	if len(servers) > 0 && (index >= out.configIndex || out.role == roleLeader) {
		out.servers, out.configIndex = servers, index
	}
	if term := v.raft.CurrentTerm(); term >= out.term {
		out.leader, _ = v.leader()
		out.term = term
	}
	return out
}

// observe takes in what peer says of itself. What has to be done about it is done by resume.
func (s *Store) observe(peer [32]byte, theirs standing) {
	if !theirs.registry.known() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := s.memo.Registry
	switch {
	case !ours.known():
		m := memo{Registry: theirs.registry}
		if err := s.disk.writeMemo(m); err != nil {
			s.failure = fmt.Errorf("remembering the registry: %w", err)
			return
		}
		s.failure, s.memo, s.hint = nil, m, theirs
		s.log.Info("found the block store", "peer", short(peer), "registry", m.Registry.ID)
	case theirs.registry.ID != ours.ID:
		s.meet(peer, theirs.registry)
		return
	case s.rival != nil && s.rival.peer == peer:
		s.rival = nil // it has come over
	}
	if theirs.registry.newer(s.memo.Registry) && theirs.registry.newer(s.hint.registry) {
		s.hint = theirs
		s.signal() // resume makes this node follow
	}
	if theirs.registry == s.hint.registry {
		s.learn(peer, theirs)
	}
	if theirs.incarnation != 0 && theirs.registry == s.memo.Registry {
		s.suspect(serverID{peer, theirs.incarnation})
	}
}

// learn merges theirs into the hint. s.mu is held.
func (s *Store) learn(peer [32]byte, theirs standing) {
	if theirs.configIndex >= s.hint.configIndex && len(theirs.servers) > 0 {
		s.hint.servers, s.hint.configIndex = theirs.servers, theirs.configIndex
	}
	if theirs.role == roleLeader && theirs.term >= s.hint.term {
		s.hint.term, s.hint.leader = theirs.term, peer
		s.contact, s.trouble = time.Now(), time.Time{}
		return
	}
	if theirs.term > s.hint.term || theirs.term == s.hint.term && theirs.leader != [32]byte{} {
		s.hint.term, s.hint.leader = theirs.term, theirs.leader
	}
}

// meet notes that peer follows another registry. s.mu is held.
func (s *Store) meet(peer [32]byte, other identity) {
	if s.rival == nil || s.rival.registry != other {
		s.log.Error("this network has two IPv4 registries", "peer", short(peer), "registry", other.ID,
			"creator", short(other.Creator), "created", other.Created, "older", other.older(s.memo.Registry))
	}
	if s.rival == nil || other.older(s.rival.registry) {
		s.rival = &rival{other, peer}
	}
}

// conflict returns an error if another registry of this network is older than the one this node follows.
func (s *Store) conflict() error {
	s.mu.Lock()
	rival, ours := s.rival, s.memo.Registry
	s.mu.Unlock()
	if rival == nil || !rival.registry.older(ours) {
		return nil
	}
	return fmt.Errorf("%w: %w: this host follows the registry that %s created on %s, and %s follows an older one that %s created on "+
		"%s; meshctl ipam adopt on this host makes it follow the older", ipam.ErrNoStore, registry.ErrOtherRegistry,
		s.name(ours.Creator), ours.Created.Format(time.DateTime), s.name(rival.peer), s.name(rival.registry.Creator),
		rival.registry.Created.Format(time.DateTime))
}

// leader returns the node that leads, as far as this one knows.
func (s *Store) leader() (node [32]byte, ok bool) {
	v, _ := s.current()
	if v != nil {
		if leader, ok := v.leader(); ok {
			return leader, true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hint.leader == [32]byte(s.cfg.Self) || v != nil && s.hint.term <= v.raft.CurrentTerm() { // raft would know
		return [32]byte{}, false
	}
	return s.hint.leader, s.hint.leader != [32]byte{}
}

// servers returns the newest configuration this node knows.
func (s *Store) servers() []member { return s.standing().servers }

// heard notes an answer of the leader.
func (s *Store) heard(leader [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contact, s.trouble = time.Now(), time.Time{}
	if leader != [32]byte(s.cfg.Self) {
		s.hint.leader = leader
	}
}

// missed notes that leader did not answer as one.
func (s *Store) missed(leader [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hint.leader == leader {
		s.hint.leader = [32]byte{}
	}
	if s.trouble.IsZero() {
		s.trouble = time.Now()
	}
}

// unmadeBecause returns why this node leads a registry that has not been made.
func (s *Store) unmadeBecause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.unmade, errUnmade)
}

// leaderless reports whether no leader is known, and for how long.
func (s *Store) leaderless() (time.Duration, bool) {
	_, ok := s.leader()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		if v := s.server; v != nil {
			s.trouble = time.Time{} // raft looks after it
		}
		return 0, false
	}
	if s.trouble.IsZero() {
		s.trouble = time.Now()
	}
	return time.Since(s.trouble), true
}

// givenUp reports whether there has been no leader for longer than a command waits.
func (s *Store) givenUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.trouble.IsZero() && time.Since(s.trouble) >= s.cfg.Timing.Patience
}

// name returns how people call a node.
func (s *Store) name(node registry.NodeID) string {
	members := s.cfg.Members()
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == node })
	if i < 0 || members[i].Name == "" {
		return node.Short()
	}
	return members[i].Name
}

// Status implements ipam.BlockStore.
func (s *Store) Status() ipam.StoreStatus {
	ours := s.standing()
	out := ipam.StoreStatus{Engine: "raft", Role: ipam.RoleClient}
	switch {
	case ours.blank(): // as good as none
	case ours.role == roleCopy:
		out.Role = ipam.RoleCopy
	case ours.role == roleVoter, ours.role == roleLeader:
		out.Role = ipam.RoleVoter
	}
	for _, m := range ours.servers {
		if m.voter {
			out.Voters = append(out.Voters, s.name(m.server.node))
		} else {
			out.Copies = append(out.Copies, s.name(m.server.node))
		}
	}
	leader, ok := s.leader()
	if ok {
		out.Leader = s.name(leader)
	}
	s.mu.Lock()
	v, failure := s.server, s.failure
	out.LastContact = s.contact
	s.mu.Unlock()
	if v != nil && v.raft.LastContact().After(out.LastContact) {
		out.LastContact = v.raft.LastContact()
	}
	switch conflict := s.conflict(); {
	case ok && leader == [32]byte(s.cfg.Self):
		out.LastContact = time.Now()
		out.Err = conflict
	case conflict != nil:
		out.Err = conflict
	case !ok:
		out.Err = s.noStore(nil)
	default:
		out.Err = failure
	}
	return out
}
