package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/plugins/internal/netdev"
)

// lockDir is where the locks are by default. Only root gets in: who can open a file can hold its lock.
const lockDir = "/run/meshnet/locks"

// How long Add and Del wait for another one. Plugins have 30 s in all.
const (
	lockTimeout = 20 * time.Second
	lockPoll    = 5 * time.Millisecond // flock(2) cannot wait for a time
)

// lock keeps other runs of Add and Del for the same interface of the same container out until unlock is called or this
// process ends. The network is no part of it, as it is none of the veth's name: an attach to another network, or one
// that leaves the network out, is about the same veth.
//
// The file goes with the last one that uses it: it is removed under its own lock, and who got the lock of a removed file
// tries again. One that a killed process leaves is empty, and the next run's.
//
// Where this process may not make the file, there is no lock. Without root's rights there is no interface to be made or
// removed either, and meshd keeps its own leases in order.
func lock(ctx context.Context, r Request) (unlock func(), err error) {
	return lockName(ctx, r.LockDir, netdev.HostName(r.Container, r.IfName))
}

// lockName locks the interface whose host's end has that name.
func lockName(ctx context.Context, dir, name string) (unlock func(), err error) {
	if dir == "" {
		dir = lockDir
	}
	path := filepath.Join(dir, name)
	began := time.Now()
	for {
		file, err := tryLock(path)
		switch {
		case err == nil:
			return func() {
				os.Remove(path)
				file.Close()
			}, nil
		case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
			return func() {}, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if took := time.Since(began); took >= lockTimeout {
			return nil, busyError{took}
		}
		select {
		case <-ctx.Done():
			return nil, busyError{time.Since(began)}
		case <-time.After(lockPoll):
		}
	}
}

// tryLock makes and locks the file at path. The error is EWOULDBLOCK if somebody else has it.
func tryLock(path string) (*os.File, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the directory went meanwhile
		return nil, unix.EWOULDBLOCK
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !isAt(file, path) {
		err = unix.EWOULDBLOCK
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// makeDir makes the directory of the locks. Its parent is also that of meshd's socket, so everybody may pass there,
// whatever this process's umask is.
func makeDir(dir string) error {
	parent := filepath.Dir(dir)
	if err := os.Mkdir(parent, 0o755); err == nil {
		os.Chmod(parent, 0o755)
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// isAt says whether file is what path names.
func isAt(file *os.File, path string) bool {
	own, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(own, there)
}

// busyError says that another run has the lock. It is a deadline's: plugins say of those that trying again helps.
type busyError struct{ waited time.Duration }

func (e busyError) Error() string {
	return fmt.Sprintf("another attach or detach of the same container and interface has been running for %v; try again when it has ended",
		e.waited.Round(time.Second))
}

func (e busyError) Unwrap() error { return context.DeadlineExceeded }
