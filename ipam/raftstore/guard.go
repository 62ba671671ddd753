package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/hashicorp/raft"
)

// ErrCorrupt means that the raft data on this node's disk cannot be read.
var ErrCorrupt = errors.New("corrupt raft data")

// errSetBack means that the leader was set back to an older state.
var errSetBack = errors.New("the leader has forgotten what it had decided: its disk was set back to an older state; run meshctl ipam " +
	"recover on a host with a newer copy")

// corrupt returns the error for raft data in the directory path.
func corrupt(path string, cause error) error {
	return fmt.Errorf("%w: %s: %w; move that directory away and restart meshd: this node is then a client of the other "+
		"servers, and becomes a copy again by itself", ErrCorrupt, path, cause)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entrySum returns the checksum of an entry: CRC-32C over index, term (8 each), type (1) and data. It travels with the entry
// as its Extensions.
func entrySum(e *raft.Log) []byte {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], e.Index)
	binary.BigEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, e.Data)
	return binary.BigEndian.AppendUint32(nil, sum)
}

func checkEntry(index uint64, e *raft.Log) error {
	if e.Index != index || string(e.Extensions) != string(entrySum(e)) {
		return fmt.Errorf("entry %d of the log has a wrong checksum", index)
	}
	return nil
}

// verifyLog reads all entries of the log.
func verifyLog(log raft.LogStore) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	for i := first; i <= last; i++ {
		var e raft.Log
		if err := log.GetLog(i, &e); err != nil {
			return fmt.Errorf("entry %d of the log: %w", i, err)
		}
		if err := checkEntry(i, &e); err != nil {
			return err
		}
	}
	return nil
}

// guard stands between raft and the disk. It gives entries their checksums, and it makes a failing disk harmless: raft
// panics when it cannot save its term. So after the first failed write nothing is written any more, raft is told that its
// term was saved, and cut has made sure that nobody will ever hear of it.
type guard struct {
	stores
	cut     func(cause error) // ends the server's streams, and the server soon
	decided func() uint64     // index of the last command applied: no leader may take that back; nil: none

	mu     sync.Mutex
	failed error
}

func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// check returns err after it has made it the end of everything.
func (g *guard) check(err error) error {
	if err == nil {
		return nil
	}
	g.mu.Lock()
	first := g.failed == nil
	if first {
		g.failed = err
	}
	g.mu.Unlock()
	if first {
		g.cut(err)
	}
	return err
}

func (g *guard) FirstIndex() (uint64, error) { return g.stores.log.FirstIndex() }

func (g *guard) LastIndex() (uint64, error) { return g.stores.log.LastIndex() }

func (g *guard) GetLog(index uint64, e *raft.Log) error {
	if err := g.stores.log.GetLog(index, e); err != nil {
		return err
	}
	return checkEntry(index, e)
}

func (g *guard) StoreLog(e *raft.Log) error { return g.StoreLogs([]*raft.Log{e}) }

func (g *guard) StoreLogs(entries []*raft.Log) error {
	if err := g.failure(); err != nil {
		return err
	}
	for _, e := range entries {
		e.Extensions = entrySum(e)
	}
	return g.check(g.stores.log.StoreLogs(entries))
}

func (g *guard) DeleteRange(first, last uint64) error {
	if err := g.failure(); err != nil {
		return err
	}
	if end, err := g.LastIndex(); g.decided != nil && err == nil && last >= end && first <= g.decided() {
		return fmt.Errorf("%w: entry %d, which was decided, is to be another", errSetBack, first)
	}
	return g.check(g.stores.log.DeleteRange(first, last))
}

// Set implements raft.StableStore; see guard for what it hides.
func (g *guard) Set(key, value []byte) error {
	if g.failure() == nil {
		_ = g.check(g.stable.Set(key, value))
	}
	return nil
}

func (g *guard) Get(key []byte) ([]byte, error) { return g.stable.Get(key) }

// SetUint64 implements raft.StableStore; see guard for what it hides.
func (g *guard) SetUint64(key []byte, value uint64) error {
	if g.failure() == nil {
		_ = g.check(g.stable.SetUint64(key, value))
	}
	return nil
}

func (g *guard) GetUint64(key []byte) (uint64, error) { return g.stable.GetUint64(key) }
