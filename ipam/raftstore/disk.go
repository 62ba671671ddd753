package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	memoName     = "registry.json"
	raftName     = "raft"          // directory of the log and the snapshots
	previousName = "raft.previous" // the last one that was given up, for people
	logName      = "log.db"

	keptSnapshots = 2
	lockTimeout   = time.Second // another process has the log open
)

// disk is what a Store keeps across restarts. There is a real one, and one in the tests' memory.
type disk interface {
	// readMemo returns the memo, the zero memo if there is none.
	readMemo() (memo, error)
	// writeMemo makes m durable, or leaves the one before.
	writeMemo(m memo) error
	// open opens the raft data and creates it where there is none. The errors say the way out.
	open(log hclog.Logger) (stores, error)
	// discard takes the raft data away.
	discard() error
}

// stores are raft's three, open.
type stores struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
	path      string // of the data, for people
}

// memo is what a node remembers besides raft's data.
type memo struct {
	Registry    identity
	Incarnation uint64    // of the raft data; 0: this node is a client
	Founding    bool      // the registry is being made: the raft data may still be missing
	Recovering  *identity // the registry as the recovery under way makes it, with Incarnation
}

// osDisk is a directory of the operating system's.
type osDisk string

func (d osDisk) path(name string) string { return filepath.Join(string(d), name) }

func (d osDisk) readMemo() (memo, error) {
	var m memo
	b, err := os.ReadFile(d.path(memoName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w; move the directory away, and this node finds the others' registry anew",
			d.path(memoName), err)
	}
	return m, nil
}

func (d osDisk) writeMemo(m memo) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if err := writeSynced(d.path(memoName+".new"), append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(d.path(memoName+".new"), d.path(memoName)); err != nil {
		return err
	}
	return syncDirectory(string(d))
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (d osDisk) open(log hclog.Logger) (s stores, err error) {
	s.path = d.path(raftName)
	defer func() { // bbolt panics on pages that cannot be
		if r := recover(); r != nil {
			err = corrupt(s.path, fmt.Errorf("%v", r))
		}
	}()
	if err := os.MkdirAll(s.path, 0o700); err != nil {
		return s, err
	}
	name := filepath.Join(s.path, logName)
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: name, BoltOptions: &bbolt.Options{Timeout: lockTimeout}})
	if err != nil {
		return s, openError(s.path, name, err)
	}
	s.log, s.stable, s.close = bolt, bolt, bolt.Close
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(s.path, keptSnapshots, log); err != nil {
		return s, errors.Join(err, bolt.Close())
	}
	if err := verifyLog(s.log); err != nil {
		return s, errors.Join(corrupt(s.path, err), bolt.Close())
	}
	return s, nil
}

// openError explains why the log in the file name cannot be opened: the system's errors are the system's fault, all others
// that of what is in the file.
func openError(path, name string, err error) error {
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("%s is in use by another process", name)
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	return corrupt(path, fmt.Errorf("%s: %w", logName, err))
}

func (d osDisk) discard() error {
	if err := os.RemoveAll(d.path(previousName)); err != nil {
		return err
	}
	err := os.Rename(d.path(raftName), d.path(previousName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDirectory(string(d))
}
