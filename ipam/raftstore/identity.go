package raftstore

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

// errMessage means bytes that are not what docs/protocol.md, "Block store streams", says.
var errMessage = errors.New("malformed message")

// identityLen is the length of an encoded identity in bytes.
const identityLen = 16 + 8 + 32 + 8 + 8

// identity says which registry is meant. The zero value means none.
type identity struct {
	ID         registry.ID
	Created    time.Time // to the nanosecond
	Creator    registry.NodeID
	Generation uint64 // grows with each recovery
	Lineage    uint64 // random, of the creation or recovery: two recoveries that did not know of each other differ in it
}

func (i identity) known() bool { return i.ID != registry.ID{} }

// older reports whether i wins over o, another registry of the same network.
func (i identity) older(o identity) bool {
	if c := i.Created.Compare(o.Created); c != 0 {
		return c < 0
	}
	return string(i.ID[:]) < string(o.ID[:])
}

// newer reports whether i comes from a later recovery of the registry than o. Of two recoveries that led to one generation, the
// one with the greater lineage counts.
func (i identity) newer(o identity) bool {
	return i.ID == o.ID && cmp.Or(cmp.Compare(i.Generation, o.Generation), cmp.Compare(i.Lineage, o.Lineage)) > 0
}

// append appends ID (16), created (8, Unix nanoseconds), creator (32), generation (8), lineage (8).
func (i identity) append(dst []byte) []byte {
	dst = append(dst, i.ID[:]...)
	var created int64
	if i.known() {
		created = i.Created.UnixNano()
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(created))
	dst = append(dst, i.Creator[:]...)
	dst = binary.BigEndian.AppendUint64(dst, i.Generation)
	return binary.BigEndian.AppendUint64(dst, i.Lineage)
}

// parseIdentity reads what append has appended and returns the rest.
func parseIdentity(b []byte) (identity, []byte, error) {
	if len(b) < identityLen {
		return identity{}, nil, errMessage
	}
	i := identity{ID: registry.ID(b[:16]), Creator: registry.NodeID(b[24:56]), Generation: binary.BigEndian.Uint64(b[56:]),
		Lineage: binary.BigEndian.Uint64(b[64:])}
	created := binary.BigEndian.Uint64(b[16:24])
	if !i.known() {
		if created != 0 || i != (identity{}) {
			return identity{}, nil, errMessage
		}
		return i, b[identityLen:], nil
	}
	if created > math.MaxInt64 {
		return identity{}, nil, errMessage
	}
	i.Created = time.Unix(0, int64(created)).UTC()
	return i, b[identityLen:], nil
}

// serverID names a server of raft's: a node, and which of the raft logs it ever had. Who loses the log gets a new
// incarnation, and so can never vote, nor count as a copy, for what it once had.
type serverID struct {
	node        [32]byte
	incarnation uint64 // random, not 0
}

// String returns what raft calls the server: node ID and incarnation in hex.
func (s serverID) String() string {
	return hex.EncodeToString(s.node[:]) + "." + fmt.Sprintf("%016x", s.incarnation)
}

func parseServerID(text string) (serverID, error) {
	node, incarnation, _ := strings.Cut(text, ".")
	var s serverID
	if len(node) != 64 || len(incarnation) != 16 {
		return serverID{}, fmt.Errorf("server %q: %w", text, errMessage)
	}
	if _, err := hex.Decode(s.node[:], []byte(node)); err != nil {
		return serverID{}, fmt.Errorf("server %q: %w", text, errMessage)
	}
	n, err := strconv.ParseUint(incarnation, 16, 64)
	if err != nil {
		return serverID{}, fmt.Errorf("server %q: %w", text, errMessage)
	}
	s.incarnation = n
	if s.String() != text {
		return serverID{}, fmt.Errorf("server %q: %w", text, errMessage)
	}
	return s, nil
}

// raftServer returns s as raft's configuration has it. The address is the ID: no server is ever found elsewhere.
func (s serverID) raftServer(suffrage raft.ServerSuffrage) raft.Server {
	return raft.Server{Suffrage: suffrage, ID: raft.ServerID(s.String()), Address: raft.ServerAddress(s.String())}
}

// short returns the beginning of a node ID in hex, as it is shown everywhere.
func short(node [32]byte) string { return hex.EncodeToString(node[:5]) }
