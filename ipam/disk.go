package ipam

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process has the journal open.
var ErrLocked = errors.New("in use by another process")

// directory is what the journal asks of the disk. There is one real one; the tests have one that crashes.
type directory interface {
	// read returns the contents of a file; the error is fs.ErrNotExist if there is none.
	read(name string) ([]byte, error)
	// create makes an empty file, or empties the one there is.
	create(name string) (file, error)
	// open opens an existing file to write to.
	open(name string) (file, error)
	// rename replaces to by from, atomically.
	rename(from, to string) error
	// sync makes creations and renames durable.
	sync() error
	// path returns the file's name as an operator would type it.
	path(name string) string
	close() error
}

// file is an open file, as *os.File is one.
type file interface {
	WriteAt(p []byte, offset int64) (int, error)
	Sync() error
	Truncate(size int64) error // bytes
	Close() error
}

// osDirectory is a directory of the operating system's, locked against other processes.
type osDirectory struct {
	name string
	dir  *os.File // to fsync
	lock *os.File // flock; a file of its own because the journal's inode changes
}

func openDirectory(name string) (*osDirectory, error) {
	if err := makeDirectory(name); err != nil {
		return nil, err
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(name, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		dir.Close()
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		dir.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("locking %s: %w", filepath.Join(name, lockName), err)
	}
	return &osDirectory{name, dir, lock}, nil
}

// makeDirectory makes name and the directories above it where they are missing, each durable before the next.
func makeDirectory(name string) error {
	parent := filepath.Dir(name)
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrNotExist) && parent != name {
		if err := makeDirectory(parent); err != nil {
			return err
		}
		err = os.Mkdir(name, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *osDirectory) read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

func (d *osDirectory) create(name string) (file, error) {
	return d.openFile(name, os.O_CREATE|os.O_TRUNC)
}

func (d *osDirectory) open(name string) (file, error) { return d.openFile(name, 0) }

func (d *osDirectory) openFile(name string, flag int) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|flag, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in the interface is not nil
	}
	return f, nil
}

func (d *osDirectory) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d *osDirectory) sync() error { return d.dir.Sync() }

func (d *osDirectory) path(name string) string { return filepath.Join(d.name, name) }

// close gives the lock up with its file.
func (d *osDirectory) close() error { return errors.Join(d.lock.Close(), d.dir.Close()) }
