package neighbour

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"meshnet/meshd/session"
)

const (
	// MaxEntries bounds the attachments of one node. A host has hundreds, the largest a few thousand.
	MaxEntries = 4096
	// MaxRequest bounds the tables that one request may ask for.
	MaxRequest = 256

	markLen        = idLen + 8 + 8
	tableHeaderLen = idLen + 8 + 8 + 4 + 2
	maxTableLen    = tableHeaderLen + MaxEntries*maxEncoded
)

// Mark is a point in the history of a node's table. The zero Epoch and Version come before all.
type Mark struct {
	Owner   session.NodeID
	Epoch   uint64
	Version uint64
}

// Table is a whole table at one version.
type Table struct {
	Owner   session.NodeID
	Epoch   uint64
	Version uint64
	Age     time.Duration // since the owner was last heard of; in whole seconds
	Entries []Neighbour
}

// AppendRequest appends a request for all that is newer than what the requester holds: count (2), and of each mark
// owner (32), epoch (8), version (8). There are at most MaxRequest.
func AppendRequest(dst []byte, held []Mark) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(held)))
	for _, m := range held {
		dst = append(dst, m.Owner[:]...)
		dst = binary.BigEndian.AppendUint64(dst, m.Epoch)
		dst = binary.BigEndian.AppendUint64(dst, m.Version)
	}
	return dst
}

// ReadRequest reads one request.
func ReadRequest(r io.Reader) ([]Mark, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	count := int(binary.BigEndian.Uint16(head[:]))
	if count > MaxRequest {
		return nil, fmt.Errorf("%w: %d tables requested", ErrInvalid, count)
	}
	b := make([]byte, count*markLen)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	f := &reader{b: b}
	held := make([]Mark, count)
	for i := range held {
		held[i] = Mark{Owner: f.node(), Epoch: f.uint64(), Version: f.uint64()}
	}
	return held, nil
}

// Append appends a table: length of what follows (4), owner (32), epoch (8), version (8), age in seconds (4), number
// of entries (2), the entries.
func (t Table) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(append(dst, 0, 0, 0, 0), t.Owner[:]...)
	dst = binary.BigEndian.AppendUint64(dst, t.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, t.Version)
	dst = binary.BigEndian.AppendUint32(dst, seconds(t.Age))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.Entries)))
	for _, n := range t.Entries {
		dst = n.append(dst)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// ReadTable reads one table. The error is io.EOF if there is none.
func ReadTable(r io.Reader) (Table, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Table{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int(n) > maxTableLen {
		return Table{}, fmt.Errorf("%w: a table of %d bytes", ErrInvalid, n)
	}
	// Not all at once: the length is not yet known to be true.
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return Table{}, err
	}
	if len(b) < int(n) {
		return Table{}, io.ErrUnexpectedEOF
	}
	return parseTable(b)
}

// parseTable parses a table without its length.
func parseTable(b []byte) (Table, error) {
	r := &reader{b: b}
	t := Table{Owner: r.node(), Epoch: r.uint64(), Version: r.uint64(), Age: time.Duration(r.uint32()) * time.Second}
	count := int(r.uint16())
	if count > MaxEntries {
		r.fail("a table of %d entries", count)
	}
	for i := 0; i < count && r.err == nil; i++ {
		t.Entries = append(t.Entries, r.neighbour(t.Owner))
	}
	return t, r.end()
}
