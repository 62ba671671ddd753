package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ledger is what one command sees and changes: the records it has read, in plain form, and which of them it will write. Nothing
// reaches the Tx before commit.
type ledger struct {
	tx     Tx
	reg    *registryRecord // nil: there is no registry yet
	stored clockRecord     // as recorded
	clock  clockRecord     // now
	nodes  map[NodeID]*nodeRecord
	blocks map[string]*blockRecord
	looked map[NodeID]*nodeRecord // of lookNode
	dirty  []dirtyRecord
	fault  error // the first record that could not be read or written
}

type dirtyRecord struct {
	key string
	record
}

func newLedger(tx Tx, now time.Time) *ledger {
	l := &ledger{
		tx:     tx,
		nodes:  make(map[NodeID]*nodeRecord),
		blocks: make(map[string]*blockRecord),
		looked: make(map[NodeID]*nodeRecord),
	}
	var reg registryRecord
	if l.read(registryKey, tx.Get, &reg) {
		l.reg = &reg
	}
	l.read(clockKey, tx.Get, &l.stored)
	l.clock = l.stored.advance(now)
	return l
}

// read decodes the record of key, if there is one.
func (l *ledger) read(key string, get func(string) ([]byte, bool), r record) bool {
	value, ok := get(key)
	if !ok {
		return false
	}
	if err := decodeRecord(value, r); err != nil {
		l.broken(key, err)
		return false
	}
	return true
}

func (l *ledger) broken(key string, err error) {
	if l.fault == nil {
		l.fault = fmt.Errorf("record %s: %w", key, err)
	}
}

// node returns the record of a node on which the outcome depends, nil if there is none.
func (l *ledger) node(id NodeID) *nodeRecord {
	n, ok := l.nodes[id]
	if !ok {
		n = &nodeRecord{id: id}
		if !l.read(nodeKey(id), l.tx.Get, n) {
			n = nil
		}
		l.nodes[id] = n
	}
	return n
}

// lookNode is node for a record that only explains or skips. It is not to be changed.
func (l *ledger) lookNode(id NodeID) *nodeRecord {
	if n, ok := l.nodes[id]; ok {
		return n
	}
	n, ok := l.looked[id]
	if !ok {
		n = &nodeRecord{id: id}
		if !l.read(nodeKey(id), l.tx.Look, n) {
			n = nil
		}
		l.looked[id] = n
	}
	return n
}

// block returns the record of a block on which the outcome depends; an empty one if there is none.
func (l *ledger) block(p netip.Prefix) *blockRecord {
	key := blockKey(p)
	b, ok := l.blocks[key]
	if !ok {
		b = &blockRecord{}
		if !l.read(key, l.tx.Get, b) {
			b = &blockRecord{}
		}
		b.block = p
		l.blocks[key] = b
	}
	return b
}

// lookBlock is block for a record that only explains or skips. It is not to be changed.
func (l *ledger) lookBlock(p netip.Prefix) *blockRecord {
	key := blockKey(p)
	if b, ok := l.blocks[key]; ok {
		return b
	}
	b := &blockRecord{}
	if !l.read(key, l.tx.Look, b) {
		b = &blockRecord{}
	}
	b.block = p
	return b
}

// lookHolding is the holding of lookBlock, at a fraction of the price.
func (l *ledger) lookHolding(p netip.Prefix) holding {
	key := blockKey(p)
	if b, ok := l.blocks[key]; ok {
		return b.holding
	}
	value, ok := l.tx.Look(key)
	if !ok {
		return holding{}
	}
	h, err := decodeHolding(value)
	if err != nil {
		l.broken(key, err)
	}
	return h
}

// held says whether h is some node's now; if not, from when on it is free, which may have passed.
func (l *ledger) held(h holding, node func(NodeID) *nodeRecord) (bool, age) {
	switch {
	case h.cool != 0 || h.owner == NodeID{}:
		return false, h.cool
	}
	n := node(h.owner)
	if n == nil {
		return false, 0
	}
	if n.owns(h.epoch) {
		return true, 0
	}
	return false, n.freeAt(h.epoch, l.reg.timing.Grace)
}

// free says whether h is nobody's and does not cool.
func (l *ledger) free(h holding, node func(NodeID) *nodeRecord) bool {
	held, from := l.held(h, node)
	return !held && from <= l.clock.age
}

// until returns the time at which the registry will have been in use for a, if it stays in use.
func (l *ledger) until(a age) time.Time { return l.clock.now.Add(a - l.clock.age) }

func (l *ledger) saveNode(n *nodeRecord) {
	l.nodes[n.id] = n
	l.save(nodeKey(n.id), n)
}

// saveBlock also forgets claims that are free again.
func (l *ledger) saveBlock(b *blockRecord) {
	b.claims = slices.DeleteFunc(b.claims, func(k claimRecord) bool { return l.free(k.holding, l.lookNode) })
	l.save(blockKey(b.block), b)
}

func (l *ledger) save(key string, r record) {
	for _, d := range l.dirty {
		if d.key == key {
			return
		}
	}
	l.dirty = append(l.dirty, dirtyRecord{key, r})
}

// commit writes what was saved, and the clock if anything was.
func (l *ledger) commit() {
	if len(l.dirty) > 0 && l.clock != l.stored {
		l.save(clockKey, &l.clock)
	}
	values := make([][]byte, len(l.dirty))
	for i, d := range l.dirty {
		var err error
		if values[i], err = encodeRecord(d.record); err != nil {
			l.broken(d.key, err)
		}
	}
	if l.fault != nil {
		return
	}
	for i, d := range l.dirty {
		l.tx.Put(d.key, values[i])
	}
}
