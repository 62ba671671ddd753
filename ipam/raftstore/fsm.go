package raftstore

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

// fsm is the registry's records behind raft's log. Each entry is one encoded command.
type fsm struct {
	mu      sync.Mutex
	records *registry.Map
	index   uint64        // of the last command applied; a snapshot that was restored does not count
	moved   chan struct{} // closed when index changes; nil: nobody waits
	history history

	removedAt uint64            // index for which removedIs holds
	removedIs map[[32]byte]bool // see removed
}

func newFSM() *fsm { return &fsm{records: new(registry.Map)} }

// Apply implements raft.FSM. It returns a registry.Result, or an error for an entry that nobody could have made.
func (f *fsm) Apply(entry *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = entry.Index
	f.history.add(entry.Index, entry.Data)
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
	command, err := registry.ParseCommand(entry.Data)
	if err != nil {
		return fmt.Errorf("entry %d of the log: %w", entry.Index, err)
	}
	return registry.Apply(f.records, command)
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	history := f.history.append(nil)
	records := f.records.Clone()
	f.mu.Unlock()
	return fsmSnapshot(records.Snapshot(history)), nil
}

// sum returns the checksum of the history up to the command at index; see history.at.
func (f *fsm) sum(index uint64) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.at(index)
}

// encode returns all records in the registry's encoding, and the index of the last command in them that is known.
func (f *fsm) encode() (index uint64, records []byte) {
	f.mu.Lock()
	index, all := f.index, f.records.Clone()
	f.mu.Unlock()
	return index, all.Snapshot(nil)
}

// applied returns the index of the last command applied, and a channel that is closed when there is a later one.
func (f *fsm) applied() (index uint64, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.index, f.moved
}

// Restore implements raft.FSM.
func (f *fsm) Restore(snapshot io.ReadCloser) error {
	b, err := io.ReadAll(snapshot)
	if err != nil {
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	history, b, ok := restoreHistory(b)
	if !ok {
		return errors.New("restoring a snapshot: it is too short")
	}
	records, err := registry.Restore(b)
	if err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records, f.removedIs, f.history = records, nil, history
	return nil
}

// load returns the state in plain form.
func (f *fsm) load() (registry.State, error) {
	f.mu.Lock()
	records := f.records.Clone()
	f.mu.Unlock()
	return registry.Load(records)
}

// empty reports whether there is no registry yet.
func (f *fsm) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.records.Len() == 0
}

// removed returns the nodes that were removed and not admitted again. It is not to be modified.
func (f *fsm) removed() map[[32]byte]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removedIs != nil && f.removedAt == f.index {
		return f.removedIs
	}
	state, err := registry.Load(f.records)
	if err != nil {
		return nil
	}
	f.removedIs, f.removedAt = make(map[[32]byte]bool), f.index
	for id, node := range state.Nodes {
		if node.Removed {
			f.removedIs[id] = true
		}
	}
	return f.removedIs
}

// fsmSnapshot is an encoded snapshot.
type fsmSnapshot []byte

// Persist implements raft.FSMSnapshot.
func (s fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		_ = sink.Cancel() // the error of Write says more
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (fsmSnapshot) Release() {}
