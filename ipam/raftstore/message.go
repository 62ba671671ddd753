package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// Protocol is the name of the streams that carry requests, one each.
	Protocol = "ipam"
	// RaftProtocol is the name of the streams that carry raft.
	RaftProtocol = "raft"

	version = 1 // of both

	maxRequest  = 80 << 10 // bytes of a body: a command has at most 64 KB
	maxResponse = 64 << 20 // bytes of a body: a view of everything
)

// kind is what a request asks for.
type kind uint8

const (
	kindHello   kind = iota + 1 // body: standing; answer: standing
	kindDo                      // body: identity, command; answer: index of the entry (8), result
	kindView                    // body: identity, index of an entry that the asker knows of (8); answer: index (8), a snapshot
	kindEnlist                  // body: standing of the leader; answer: incarnation (8)
	kindDismiss                 // body: standing of the leader, incarnation (8); answer: empty
	kindResign                  // body: identity; answer: whether it is done (1: 0 or 1)
)

// status is how a request ended.
type status uint8

const (
	statusOK        status = iota
	statusElsewhere        // nothing was done: this node does not lead, or follows another registry; body: standing
	statusUnknown          // the command may or may not be applied some time; body: why, UTF-8
	statusRefused          // nothing was done and never will be; body: why, UTF-8
)

// standing is what a node knows about the registry, and its part in it.
type standing struct {
	registry    identity // the zero value: it knows of none
	role        role
	incarnation uint64 // of its raft log; 0 if it has none
	term        uint64 // of raft, as far as the node knows; orders what follows
	lastIndex   uint64 // of its log
	applied     uint64 // index of the last entry applied
	command     uint64 // index of the last command applied; 0: not known
	commandSum  uint32 // checksum of all commands up to it, see history
	configIndex uint64 // of the configuration that follows
	leader      [32]byte
	servers     []member // raft's configuration
}

// blank reports whether the node is to be a copy and has nothing yet.
func (s standing) blank() bool { return s.role == roleCopy && s.lastIndex == 0 }

// member is a server of the configuration.
type member struct {
	server serverID
	voter  bool
}

// role is a node's part in the block store.
type role uint8

const (
	roleClient role = iota // asks the servers
	roleCopy               // has the log, and no vote
	roleVoter
	roleLeader
)

// String returns "client", "copy", "voter" or "leader".
func (r role) String() string { return [...]string{"client", "copy", "voter", "leader"}[r] }

const (
	standingLen = identityLen + 1 + 6*8 + 4 + 32 + 1 // bytes without servers
	memberLen   = 32 + 8 + 1                         // bytes
)

// append appends registry (72), role (1), incarnation, term, last index, applied, last command (8 each), its checksum (4),
// configuration's index (8), leader's node (32; zeros: unknown), number of servers (1), and of each node (32), incarnation (8), voter (1: 0 or 1).
func (s *standing) append(dst []byte) []byte {
	dst = s.registry.append(dst)
	dst = append(dst, byte(s.role))
	for _, n := range [...]uint64{s.incarnation, s.term, s.lastIndex, s.applied, s.command} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = binary.BigEndian.AppendUint32(dst, s.commandSum)
	dst = binary.BigEndian.AppendUint64(dst, s.configIndex)
	dst = append(dst, s.leader[:]...)
	dst = append(dst, byte(len(s.servers)))
	for _, m := range s.servers {
		dst = append(dst, m.server.node[:]...)
		dst = binary.BigEndian.AppendUint64(dst, m.server.incarnation)
		if m.voter {
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

// parseStanding reads what append has appended and returns the rest.
func parseStanding(b []byte) (standing, []byte, error) {
	var s standing
	if len(b) < standingLen {
		return s, nil, errMessage
	}
	var err error
	if s.registry, b, err = parseIdentity(b); err != nil {
		return s, nil, err
	}
	s.role, b = role(b[0]), b[1:]
	if s.role > roleLeader {
		return s, nil, errMessage
	}
	for _, n := range [...]*uint64{&s.incarnation, &s.term, &s.lastIndex, &s.applied, &s.command} {
		*n, b = binary.BigEndian.Uint64(b), b[8:]
	}
	s.commandSum, b = binary.BigEndian.Uint32(b), b[4:]
	s.configIndex, b = binary.BigEndian.Uint64(b), b[8:]
	s.leader, b = [32]byte(b[:32]), b[32:]
	n := int(b[0])
	b = b[1:]
	if n > maxServers || len(b) < n*memberLen {
		return s, nil, errMessage
	}
	for range n {
		if b[40] > 1 {
			return s, nil, errMessage
		}
		s.servers = append(s.servers, member{serverID{[32]byte(b[:32]), binary.BigEndian.Uint64(b[32:40])}, b[40] == 1})
		b = b[memberLen:]
	}
	return s, b, nil
}

// parseIndex reads the index of an entry (8) and returns the rest.
func parseIndex(b []byte) (uint64, []byte, error) {
	if len(b) < 8 {
		return 0, nil, errMessage
	}
	return binary.BigEndian.Uint64(b), b[8:], nil
}

// writeMessage sends a request (first is its kind) or a response (first is its status): version (1), first (1), length of
// the body (4), body.
func writeMessage(w io.Writer, first byte, body []byte) error {
	b := make([]byte, 0, 6+len(body))
	b = append(b, version, first)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

// readMessage reads what writeMessage sends; a body may have limit bytes.
func readMessage(r io.Reader, limit int) (first byte, body []byte, err error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0] != version {
		return 0, nil, fmt.Errorf("%w: version %d, want %d", errMessage, head[0], version)
	}
	n := binary.BigEndian.Uint32(head[2:])
	if uint64(n) > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes, want at most %d", errMessage, n, limit)
	}
	body, err = io.ReadAll(io.LimitReader(r, int64(n))) // grows with what arrives, not with what is announced
	if err == nil && len(body) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return head[1], body, err
}
