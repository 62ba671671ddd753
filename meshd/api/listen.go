package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// DefaultSocket is where meshd listens if it is not told otherwise.
const DefaultSocket = "/run/meshnet/meshd.sock"

// DefaultGroup is the group whose members may use the socket, where it exists.
const DefaultGroup = "meshnet"

// Listen listens on the Unix socket path, and makes its directory if there is none. The socket belongs to group and
// has mode 0660; if group is "", or is DefaultGroup and does not exist, only this process's user gets in (0600).
//
// The socket of a daemon that died is replaced. One on which somebody answers is not: the error says so. Two that start
// at the same time cannot both win. The caller closes the listener, which removes the socket.
func Listen(path, group string) (net.Listener, error) {
	l, err := listen(path, group)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return l, nil
}

// maxSocketPath is the longest path of a Unix socket, in bytes: sun_path less its zero (include/uapi/linux/un.h).
const maxSocketPath = 107

func listen(path, group string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path has %d bytes, a Unix socket's has at most %d; choose a shorter one", len(path), maxSocketPath)
	}
	gid, err := lookupGroup(group)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode of a socket file is that of the socket (unix_bind, net/unix/af_unix.c): set before bind, there is no
	// moment in which others get in.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if gid >= 0 {
		if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o660)); err != nil {
			l.Close()
			return nil, fmt.Errorf("giving the socket to group %s: %w", group, err)
		}
	}
	return l, nil
}

// lookupGroup returns the ID of group, or -1 for none.
func lookupGroup(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(group)
	if errors.As(err, new(user.UnknownGroupError)) && group == DefaultGroup {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(g.Gid)
}

// lockTimeout is how long another meshd may take to take its socket.
const lockTimeout = 5 * time.Second

// lockDir keeps other daemons out of Listen in the same directory until unlock is called or this process ends. The lock
// is a file that only we may open, or anybody who may read the directory could hold it.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".meshd.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("locking %s, which another meshd may hold: %w", f.Name(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeStale removes the socket at path if nobody listens on it. The error says who is there otherwise.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something that is not a socket; remove it, or choose another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return errors.New("another meshd answers there; stop it, or choose another path")
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("cannot tell whether another meshd is there: %w", err)
}
