package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A snapshot holds all records of a Map.
//
//	magic "mnblocks", 8 bytes
//	version, 1 byte
//	number of records, 8 bytes, big-endian
//	each record: length of the key, 2 bytes; of the value, 4 bytes; key; value. Keys are in the order of Map.All
//	CRC-32C of all before, 4 bytes
const (
	snapshotMagic   = "mnblocks"
	snapshotVersion = 1
	snapshotHead    = len(snapshotMagic) + 1 + 8
	snapshotTail    = 4
	recordHead      = 2 + 4
)

// Snapshot appends all records to dst and returns the extended slice. Equal records give equal bytes.
func (m *Map) Snapshot(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = append(dst, snapshotVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Len()))
	for key, value := range m.All() {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(key)))
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
		dst = append(dst, key...)
		dst = append(dst, value...)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], crc32.MakeTable(crc32.Castagnoli)))
}

// Restore makes a Map of what Snapshot gave. It keeps nothing of b. The error wraps ErrCorrupt.
func Restore(b []byte) (*Map, error) {
	m, err := restore(bytes.Clone(b))
	if err != nil {
		return nil, fmt.Errorf("reading snapshot of %d bytes: %w: %w", len(b), ErrCorrupt, err)
	}
	return m, nil
}

// restore keeps b: the values are parts of it.
func restore(b []byte) (*Map, error) {
	switch {
	case len(b) < snapshotHead+snapshotTail:
		return nil, errShort
	case string(b[:len(snapshotMagic)]) != snapshotMagic:
		return nil, errors.New("not a snapshot")
	case b[len(snapshotMagic)] != snapshotVersion:
		return nil, fmt.Errorf("version %d, this program knows %d: update it", b[len(snapshotMagic)], snapshotVersion)
	}
	body, sum := b[:len(b)-snapshotTail], binary.BigEndian.Uint32(b[len(b)-snapshotTail:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, errors.New("the checksum is wrong")
	}
	m := &Map{}
	n := binary.BigEndian.Uint64(b[len(snapshotMagic)+1:])
	last := ""
	for body = body[snapshotHead:]; n > 0; n-- {
		key, value, rest, err := cutRecord(body)
		switch {
		case err != nil:
			return nil, err
		case last != "" && !before(last, key):
			return nil, fmt.Errorf("record %q is out of order", key)
		}
		m.Put(key, value)
		last, body = key, rest
	}
	if len(body) != 0 {
		return nil, errTrailing
	}
	return m, nil
}

func cutRecord(b []byte) (key string, value, rest []byte, err error) {
	if len(b) < recordHead {
		return "", nil, nil, errShort
	}
	k, v := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint32(b[2:]))
	if b = b[recordHead:]; k == 0 || len(b) < k || len(b)-k < v {
		return "", nil, nil, errShort
	}
	return string(b[:k]), b[k : k+v : k+v], b[k+v:], nil
}

// before says whether a comes before b in Map.All.
func before(a, b string) bool {
	if table(a) != table(b) {
		return table(a) < table(b)
	}
	return a < b
}
