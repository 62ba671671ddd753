package raftstore

import (
	"encoding/binary"
	"hash/fnv"
)

// maxHistory is how many commands a server can be asked about: as many as it keeps entries of behind a snapshot.
const maxHistory = trailingLogs

// history is a checksum of all commands that a server has applied, as it was after each of the last ones. Two servers of a registry
// that had the same commands have the same; one command of another time, or elsewhere, and all that follow differ.
type history struct {
	chain uint64
	marks []mark // by index; the last is the present one
}

// mark is the checksum after the command with an index of the log.
type mark struct {
	index uint64
	sum   uint32 // never 0
}

// add notes the command with this index.
func (h *history) add(index uint64, command []byte) {
	sum := fnv.New64a()
	sum.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.chain), index))
	sum.Write(command)
	h.chain = sum.Sum64()
	h.mark(index)
}

func (h *history) mark(index uint64) {
	if len(h.marks) >= 2*maxHistory {
		h.marks = append(h.marks[:0], h.marks[len(h.marks)-maxHistory:]...)
	}
	h.marks = append(h.marks, mark{index, max(uint32(h.chain), 1)})
}

// at returns the checksum after all commands up to index; 0 if it is not known any more.
func (h *history) at(index uint64) uint32 {
	for i := len(h.marks) - 1; i >= 0; i-- {
		if h.marks[i].index <= index {
			return h.marks[i].sum
		}
	}
	return 0
}

// historyLen is the length of a history in a snapshot, in bytes: index of the last command (8), chain (8).
const historyLen = 16

func (h *history) append(dst []byte) []byte {
	var last uint64
	if n := len(h.marks); n > 0 {
		last = h.marks[n-1].index
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, last), h.chain)
}

// restoreHistory reads what append has appended, and returns the rest.
func restoreHistory(b []byte) (h history, rest []byte, ok bool) {
	if len(b) < historyLen {
		return h, nil, false
	}
	h.chain = binary.BigEndian.Uint64(b[8:])
	h.mark(binary.BigEndian.Uint64(b))
	return h, b[historyLen:], true
}
