package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"meshnet/ipam/registry"
)

const requestTimeout = 10 * time.Second // for a request to arrive, and again for its answer to leave

// route hands a raft stream to the server, if it is about its log.
func (s *Store) route(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(preambleTimeout)) // fails only on a closed stream, and so will Read
	p, err := readPreamble(c)
	v, _ := s.current()
	if err != nil || v == nil || c.SetReadDeadline(time.Time{}) != nil {
		c.Close()
		return
	}
	v.layer.deliver(p, c)
}

// serve answers one request.
func (s *Store) serve(c net.Conn) {
	defer c.Close()
	peer, err := peerOf(c)
	if err != nil {
		s.log.Debug("dropped a request", "err", err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
	first, body, err := readMessage(c, maxRequest)
	if err != nil {
		return
	}
	st, answer := s.answer(peer, kind(first), body)
	_ = c.SetWriteDeadline(time.Now().Add(requestTimeout))
	if err := writeMessage(c, byte(st), answer); err != nil {
		s.log.Debug("answering a request", "peer", short(peer), "err", err)
	}
}

// answer does what peer asks for.
func (s *Store) answer(peer [32]byte, k kind, body []byte) (status, []byte) {
	var st status
	var answer []byte
	var err error
	switch k {
	case kindHello:
		st, answer, err = s.answerHello(peer, body)
	case kindDo:
		st, answer, err = s.answerDo(peer, body)
	case kindView:
		st, answer, err = s.answerView(body)
	case kindEnlist:
		st, answer, err = s.answerEnlist(peer, body)
	case kindDismiss:
		st, answer, err = s.answerDismiss(peer, body)
	case kindResign:
		st, answer, err = s.answerResign(peer, body)
	default:
		err = fmt.Errorf("%w: unknown request %d", errMessage, k)
	}
	if err != nil {
		return statusRefused, []byte(err.Error())
	}
	return st, answer
}

func (s *Store) answerHello(peer [32]byte, body []byte) (status, []byte, error) {
	theirs, _, err := parseStanding(body)
	if err != nil {
		return 0, nil, err
	}
	s.observe(peer, theirs)
	ours := s.standing()
	return statusOK, ours.append(nil), nil
}

// elsewhere is the answer of who cannot decide.
func (s *Store) elsewhere() (status, []byte, error) {
	ours := s.standing()
	return statusElsewhere, ours.append(nil), nil
}

// leads returns the server if it leads the registry that the asker means; asked is zero if the asker knows of none.
func (s *Store) leads(asked identity) *server {
	v, _ := s.current()
	if v == nil || asked.known() && asked != v.registry || s.conflict() != nil {
		return nil
	}
	if leader, ok := v.leader(); !ok || leader != s.cfg.Self || v.fsm.empty() || !v.mayDecide() {
		return nil
	}
	return v
}

func (s *Store) answerDo(peer [32]byte, body []byte) (status, []byte, error) {
	asked, rest, err := parseIdentity(body)
	if err != nil {
		return 0, nil, err
	}
	command, err := registry.ParseCommand(rest)
	if err != nil {
		return 0, nil, err
	}
	if err := mayAsk(peer, command); err != nil {
		return 0, nil, err
	}
	v := s.leads(asked)
	if v == nil {
		return s.elsewhere()
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timing.RPC)
	defer cancel()
	decided, applied, err := v.propose(ctx, command)
	switch {
	case err != nil && applied:
		return statusUnknown, []byte(err.Error()), nil
	case err != nil:
		return s.elsewhere()
	}
	return statusOK, decided.result.Append(binary.BigEndian.AppendUint64(nil, decided.index)), nil
}

// mayAsk refuses what peer must not ask for: nobody speaks for another node, and no registry is made or recovered from afar.
func mayAsk(peer registry.NodeID, c registry.Command) error {
	switch c.Op {
	case registry.OpInit, registry.OpRecover:
		return errors.New("a registry is made and recovered only by the node that serves it")
	case registry.OpRemoveNode, registry.OpExpireNodes, registry.OpReserve, registry.OpUnreserve, registry.OpAddPool:
		return nil
	}
	if c.Node != peer {
		return fmt.Errorf("node %s must not speak for node %s", peer.Short(), c.Node.Short())
	}
	return nil
}

func (s *Store) answerView(body []byte) (status, []byte, error) {
	asked, rest, err := parseIdentity(body)
	if err != nil {
		return 0, nil, err
	}
	index, _, err := parseIndex(rest)
	if err != nil {
		return 0, nil, err
	}
	v, _ := s.current()
	if v == nil || asked.known() && asked != v.registry {
		return s.elsewhere()
	}
	if has, _ := v.applied(index); !has {
		return s.elsewhere()
	}
	known, records := v.fsm.encode()
	return statusOK, append(binary.BigEndian.AppendUint64(nil, known), records...), nil
}

// answerEnlist makes this node a copy because the leader wants one more.
func (s *Store) answerEnlist(peer [32]byte, body []byte) (status, []byte, error) {
	theirs, _, err := parseStanding(body)
	if err != nil {
		return 0, nil, err
	}
	s.observe(peer, theirs)
	s.life.Lock()
	defer s.life.Unlock()
	s.resume() // what observe found may have to be done first
	v, m := s.current()
	if m.Registry != theirs.registry || s.ctx.Err() != nil {
		return s.elsewhere()
	}
	if s.isResigning() {
		return 0, nil, errors.New("this node is about to leave the network")
	}
	if v == nil {
		if err := s.disk.discard(); err != nil {
			return 0, nil, fmt.Errorf("becoming a copy: %w", err)
		}
		m = memo{Registry: m.Registry, Incarnation: random()}
		if err := s.disk.writeMemo(m); err != nil {
			return 0, nil, fmt.Errorf("becoming a copy: %w", err)
		}
		s.setMemo(m)
		if err := s.start(func() error { return s.run(m, true) }); err != nil {
			return 0, nil, fmt.Errorf("becoming a copy: %w", err)
		}
		s.log.Info("became a copy of the block store", "leader", short(peer))
	}
	return statusOK, binary.BigEndian.AppendUint64(nil, m.Incarnation), nil
}

// answerDismiss makes this node a client because it is no server any more. A leader that was replaced without its knowledge
// would know an older configuration than this node.
func (s *Store) answerDismiss(peer [32]byte, body []byte) (status, []byte, error) {
	theirs, rest, err := parseStanding(body)
	if err != nil || len(rest) < 8 {
		return 0, nil, errMessage
	}
	s.observe(peer, theirs)
	s.life.Lock()
	defer s.life.Unlock()
	v, m := s.current()
	if v == nil || m.Registry != theirs.registry || m.Incarnation != binary.BigEndian.Uint64(rest) {
		return s.elsewhere()
	}
	if _, index, _ := v.configuration(); index > theirs.configIndex {
		return 0, nil, fmt.Errorf("the configuration of entry %d is newer than that of entry %d", index, theirs.configIndex)
	}
	if err := s.dropServer(m.Registry); err != nil {
		return 0, nil, fmt.Errorf("becoming a client: %w", err)
	}
	s.log.Info("became a client of the block store", "leader", short(peer))
	return statusOK, nil, nil
}
