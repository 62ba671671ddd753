package ipam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// The journal is a header and then records. A record is what one fsync made durable: one or more entries. All integers are
// big-endian, both checksums are CRC-32C.
//
//	header, 80 bytes                          record                        entry
//	 0  magic, 8 bytes                         0  mark, 4 bytes              0  kind, 1 byte: 1 lease, 2 release, 3 holder
//	 8  version, 2 bytes                       4  length of the body, 4      1  time, 8 bytes: Unix nanoseconds
//	10  zero, 2 bytes                          8  checksum of bytes 4 to     9  lease only: identifier 8, MAC 6
//	12  network ID, 16 bytes                      7 and of the body, 4          container: length 2, bytes
//	28  node ID, 32 bytes                     12  body: entries                 interface: length 2, bytes
//	60  upper half of the subnet, 8 bytes                                   not release: source: length 2, bytes
//	68  end of the snapshot, 8 bytes                                            namespace: length 2, bytes
//	76  checksum of bytes 0 to 75, 4 bytes
//
// A lease is of an attachment that has none and names its first holder. A holder entry replaces the holder of a lease and
// leaves the rest of it alone; its time is when the new holder asked.
//
// The snapshot is what was in the file when it got its name, all of it already durable; so damage below its end is never
// the trace of a crash. Above it, at most one record at a time is not durable, so a crash leaves at most maxRecord bytes.
const (
	journalVersion = 1
	headerLen      = 80
	recordHead     = 12
	maxBody        = 64 << 10 // bytes of entries in one record
	maxRecord      = recordHead + maxBody
	maxContainer   = 1024 // bytes of a container's name; CNI sets no limit
	maxIfName      = 255  // bytes of an interface's name; Linux has 15 (IFNAMSIZ, include/uapi/linux/if.h)
	maxSource      = 16   // bytes of a holder's source
	maxNetNS       = 4096 // bytes of a namespace's path (PATH_MAX, include/uapi/linux/limits.h)
	maxEntry       = 1 + 8 + 14 + 2 + maxContainer + 2 + maxIfName + 2 + maxSource + 2 + maxNetNS
)

const (
	journalMagic = "mnleases"
	recordMark   = "mnrc"
)

const (
	entryLease   = 1
	entryRelease = 2
	entryHolder  = 3
)

// header names whose leases a journal holds. Comparable.
type header struct {
	network [16]byte
	node    [32]byte
	subnet  [8]byte // upper half of the addresses
}

// entry is one change of the table: a lease, another holder of one, or the release of an attachment.
type entry struct {
	kind  byte
	lease Lease  // of a release only Attachment; of a holder also Holder
	iid   uint64 // of a lease; Lease.IPv6 is not in the journal
	at    int64  // Unix nanoseconds; of a lease = Created
}

func appendHeader(dst []byte, h header, snapshot uint64) []byte {
	start := len(dst)
	dst = append(dst, journalMagic...)
	dst = binary.BigEndian.AppendUint16(dst, journalVersion)
	dst = append(dst, 0, 0)
	dst = append(dst, h.network[:]...)
	dst = append(dst, h.node[:]...)
	dst = append(dst, h.subnet[:]...)
	dst = binary.BigEndian.AppendUint64(dst, snapshot)
	return binary.BigEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHeader returns the header at the start of b and the end of the snapshot, an offset in b.
func parseHeader(b []byte) (h header, snapshot int, err error) {
	if len(b) < headerLen {
		return header{}, 0, fmt.Errorf("the header has %d bytes, want %d", len(b), headerLen)
	}
	if string(b[:8]) != journalMagic {
		return header{}, 0, fmt.Errorf("it does not begin with %q", journalMagic)
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != journalVersion {
		return header{}, 0, fmt.Errorf("its version is %d, this meshd reads version %d", v, journalVersion)
	}
	if binary.BigEndian.Uint32(b[76:]) != checksum(b[:76]) {
		return header{}, 0, errors.New("the header's checksum is wrong")
	}
	end := binary.BigEndian.Uint64(b[68:])
	if end < headerLen || end > uint64(len(b)) {
		return header{}, 0, fmt.Errorf("the snapshot ends at %d, the file at %d", end, len(b))
	}
	return header{[16]byte(b[12:]), [32]byte(b[28:]), [8]byte(b[60:])}, int(end), nil
}

// appendRecord appends one record with body, which is entries of at most maxBody bytes.
func appendRecord(dst, body []byte) []byte {
	dst = append(dst, recordMark...)
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	dst = append(dst, length...)
	dst = binary.BigEndian.AppendUint32(dst, checksum(length, body))
	return append(dst, body...)
}

// parseRecord returns the body of the record at the start of b. Its own length is recordHead plus the body's.
func parseRecord(b []byte) (body []byte, ok bool) {
	if len(b) < recordHead || string(b[:4]) != recordMark {
		return nil, false
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n == 0 || n > maxBody || int(n) > len(b)-recordHead {
		return nil, false
	}
	body = b[recordHead : recordHead+int(n)]
	return body, binary.BigEndian.Uint32(b[8:]) == checksum(b[4:8], body)
}

// findRecord reports whether a whole record begins anywhere in b, and where.
func findRecord(b []byte) (offset int, ok bool) {
	for {
		i := bytes.Index(b[offset:], []byte(recordMark))
		if i < 0 {
			return 0, false
		}
		offset += i
		if _, ok := parseRecord(b[offset:]); ok {
			return offset, true
		}
		offset++
	}
}

func appendEntry(dst []byte, e *entry) []byte {
	dst = append(dst, e.kind)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
	if e.kind == entryLease {
		dst = binary.BigEndian.AppendUint64(dst, e.iid)
		dst = append(dst, e.lease.MAC[:]...)
	}
	dst = appendFields(dst, []byte(e.lease.Container), []byte(e.lease.IfName))
	if e.kind == entryRelease {
		return dst
	}
	return appendFields(dst, []byte(e.lease.Holder.Source), []byte(e.lease.Holder.NetNS))
}

// parseEntry returns the entry at the start of a body and what follows it.
func parseEntry(b []byte) (e entry, rest []byte, err error) {
	if len(b) < 9 {
		return entry{}, nil, errShortEntry
	}
	e.kind, e.at, b = b[0], int64(binary.BigEndian.Uint64(b[1:])), b[9:]
	switch e.kind {
	case entryLease:
		if len(b) < 14 {
			return entry{}, nil, errShortEntry
		}
		e.iid, e.lease.MAC, b = binary.BigEndian.Uint64(b), MAC(b[8:]), b[14:]
		e.lease.Created = time.Unix(0, e.at).UTC()
	case entryRelease, entryHolder:
	default:
		return entry{}, nil, fmt.Errorf("an entry is of kind %d, which this meshd does not know", e.kind)
	}
	if e.lease.Container, b, err = parseName(b); err != nil {
		return entry{}, nil, err
	}
	if e.lease.IfName, b, err = parseName(b); err != nil {
		return entry{}, nil, err
	}
	if err := e.lease.Attachment.check(); err != nil {
		return entry{}, nil, err
	}
	if e.kind == entryRelease {
		return e, b, nil
	}
	if e.lease.Holder.Source, b, err = parseName(b); err != nil {
		return entry{}, nil, err
	}
	if e.lease.Holder.NetNS, b, err = parseName(b); err != nil {
		return entry{}, nil, err
	}
	return e, b, e.lease.Holder.check()
}

var errShortEntry = errors.New("an entry is longer than its record")

func parseName(b []byte) (name string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, errShortEntry
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n {
		return "", nil, errShortEntry
	}
	return string(b[:n]), b[n:], nil
}

func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
	}
	return sum
}
