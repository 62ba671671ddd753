package ipam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The journal is a header and then records. A record is what one fsync made durable: one or more entries. All integers are
// big-endian, both checksums are CRC-32C.
//
//	header, 80 bytes                          record
//	 0  magic, 8 bytes                         0  mark, 4 bytes
//	 8  version, 2 bytes                       4  length of the body, 4
//	10  zero, 2 bytes                          8  checksum of bytes 4 to 7 and of the body, 4
//	12  network ID, 16 bytes                  12  body: entries (entry.go)
//	28  node ID, 32 bytes
//	60  upper half of the subnet, 8 bytes
//	68  end of the snapshot, 8 bytes
//	76  checksum of bytes 0 to 75, 4 bytes
//
// The snapshot is what was in the file when it got its name, all of it already durable; so damage below its end is never
// the trace of a crash. Above it, at most one record at a time is not durable, so a crash leaves at most maxRecord bytes.
const (
	journalVersion = 2 // with entries of kind entryLabels; all else is as in version 1
	oldestVersion  = 1
	headerLen      = 80
	recordHead     = 12
	maxBody        = 64 << 10 // bytes of entries in one record
	maxRecord      = recordHead + maxBody
	maxContainer   = 1024 // bytes of a container's name; CNI sets no limit
	maxIfName      = 255  // bytes of an interface's name; Linux has 15 (IFNAMSIZ, include/uapi/linux/if.h)
	maxSource      = 16   // bytes of a holder's source
	maxNetNS       = 4096 // bytes of a namespace's path (PATH_MAX, include/uapi/linux/limits.h)
	maxConfig      = 255  // bytes of the name of a runtime's configuration; CNI sets no limit
	maxAliases     = 2048 // bytes of all aliases
)

const (
	journalMagic = "mnleases"
	recordMark   = "mnrc"
)

// header names whose leases a journal holds. Comparable.
type header struct {
	network [16]byte
	node    [32]byte
	subnet  [8]byte // upper half of the addresses
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
	if v := binary.BigEndian.Uint16(b[8:]); v < oldestVersion || v > journalVersion {
		return header{}, 0, fmt.Errorf("its version is %d, this meshd reads versions %d to %d: start the meshd that wrote it, or a newer one", v,
			oldestVersion, journalVersion)
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

func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
	}
	return sum
}
