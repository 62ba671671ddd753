package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"meshnet/meshd/token"
)

// State is the state directory, held by this process alone. Its methods may be called concurrently for different
// networks, not for the same one.
type State struct {
	dir  string
	lock *os.File
}

// removed begins the names of networks that are being removed.
const removed = ".removed-"

// OpenState makes dir, if there is none, and takes hold of it until Close. The error says so if another meshd holds it or
// if it cannot be written to.
func OpenState(dir string) (*State, error) {
	s, err := openState(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	return s, nil
}

func openState(dir string) (*State, error) {
	if err := os.MkdirAll(filepath.Join(dir, "networks"), 0o700); err != nil {
		return nil, writable(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, writable(err)
	}
	s := &State{dir: dir, lock: lock}
	if err := s.hold(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// hold takes the lock, writes into it who has it, and ends removals that a crash interrupted.
func (s *State) hold() error {
	err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(s.lock, 20)) // who it is helps, but is not needed
		return fmt.Errorf("another meshd uses it (pid %s); stop it, or choose another directory",
			strings.TrimSpace(string(pid)))
	}
	if err != nil {
		return fmt.Errorf("locking it: %w", err)
	}
	if err := s.lock.Truncate(0); err != nil {
		return writable(err)
	}
	if _, err := fmt.Fprintf(s.lock, "%d\n", os.Getpid()); err != nil {
		return writable(err)
	}
	rest, err := filepath.Glob(filepath.Join(s.dir, "networks", removed+"*"))
	if err != nil {
		return err
	}
	for _, r := range rest {
		if err := os.RemoveAll(r); err != nil {
			return writable(err)
		}
	}
	return nil
}

// writable adds the way out to an error about a directory that cannot be written to.
func writable(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run meshd as root, or give its user the directory", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; choose a directory on a file system that can be written to", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room", err)
	}
	return err
}

// Close lets another process have the directory.
func (s *State) Close() error { return s.lock.Close() }

// NetworkDir returns the directory of a network's files. It exists once the network has been saved.
func (s *State) NetworkDir(name string) string { return filepath.Join(s.dir, "networks", name) }

// List returns the saved networks by name. If some cannot be read, it returns the others and an error that joins what is
// wrong with each.
func (s *State) List() ([]Settings, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "networks"))
	if err != nil {
		return nil, fmt.Errorf("listing the networks: %w", err)
	}
	var all []Settings
	var errs []error
	for _, e := range entries {
		if token.CheckName(e.Name()) != nil { // not ours: lost+found, a backup
			continue
		}
		settings, err := s.Load(e.Name())
		switch {
		case err == nil:
			all = append(all, settings)
		case errors.Is(err, fs.ErrNotExist) && s.unused(e.Name()): // a crash before the first Save ended
		default:
			errs = append(errs, err)
		}
	}
	return all, errors.Join(errs...)
}

// unused says whether a network's directory holds nothing but what Save was writing.
func (s *State) unused(name string) bool {
	entries, err := os.ReadDir(s.NetworkDir(name))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), temporary) {
			return false
		}
	}
	return err == nil
}

// Exists reports whether there are files of a network, readable or not.
func (s *State) Exists(name string) bool {
	_, err := os.Lstat(s.NetworkDir(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// Remove forgets a network with all its files. A network that is not there is no error. After a crash the network is
// there with all its files or not at all.
func (s *State) Remove(name string) error {
	dir := s.NetworkDir(name)
	gone := filepath.Join(s.dir, "networks", removed+name)
	err := os.RemoveAll(gone)
	if err == nil {
		err = os.Rename(dir, gone)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(syncDir(filepath.Dir(dir)), os.RemoveAll(gone))
	}
	if err != nil {
		return fmt.Errorf("removing network %s: %w", name, writable(err))
	}
	return nil
}
