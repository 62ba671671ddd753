package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A receiver index is, from the high bits: 10 random bits, so that the index of a past keypair does not name its
// successor in the same entry; 14 bits of table entry; 8 bits of slot, by which the hub finds the network.
const (
	slotBits   = 8
	entryBits  = 14
	randomBits = 32 - entryBits - slotBits
	entries    = 1 << entryBits
)

// errIndexFull says that every receiver index is in use.
var errIndexFull = errors.New("all receiver indexes are in use")

// indexTable hands out receiver indexes and finds the keypairs that they name. lookup is lock-free and safe from the
// frame path; everything else belongs to the machine's goroutine.
type indexTable struct {
	slot     uint8
	random   io.Reader
	keypairs [entries]atomic.Pointer[Keypair]
	free     []uint16 // ring of free entries: the one free for longest is taken next
	head     int      // of the ring
	count    int      // of free entries
}

func newIndexTable(slot uint8, random io.Reader) *indexTable {
	t := &indexTable{slot: slot, random: random, free: make([]uint16, entries), count: entries}
	for i := range t.free {
		t.free[i] = uint16(i)
	}
	return t
}

// allocate returns an unused index. The error is errIndexFull or the random reader's.
func (t *indexTable) allocate() (uint32, error) {
	if t.count == 0 {
		return 0, errIndexFull
	}
	var b [2]byte
	if _, err := io.ReadFull(t.random, b[:]); err != nil {
		return 0, fmt.Errorf("choosing a receiver index: %w", err)
	}
	entry := t.free[t.head]
	t.head = (t.head + 1) % entries
	t.count--
	random := uint32(binary.BigEndian.Uint16(b[:])) & (1<<randomBits - 1)
	return random<<(entryBits+slotBits) | uint32(entry)<<slotBits | uint32(t.slot), nil
}

// release returns an index that allocate gave; its keypair, if any, is not found any more.
func (t *indexTable) release(index uint32) {
	entry := entryOf(index)
	t.keypairs[entry].Store(nil)
	t.free[(t.head+t.count)%entries] = uint16(entry)
	t.count++
}

// publish makes lookup find k by its index.
func (t *indexTable) publish(k *Keypair) { t.keypairs[entryOf(k.index)].Store(k) }

// lookup returns the keypair that index names, or nil.
func (t *indexTable) lookup(index uint32) *Keypair {
	if k := t.keypairs[entryOf(index)].Load(); k != nil && k.index == index {
		return k
	}
	return nil
}

func entryOf(index uint32) uint32 { return index >> slotBits & (entries - 1) }
