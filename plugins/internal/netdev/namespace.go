package netdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Sentinels of namespaces that cannot be used.
var (
	ErrNoNamespace = errors.New("there is no such network namespace") // it is gone, or never was
	ErrHost        = errors.New("it is the host's own: the container shares the network of its host")
)

// errNotRoot says that the process may not do what this package is for.
var errNotRoot = errors.New("only root (CAP_SYS_ADMIN, CAP_NET_ADMIN) can enter a container's network namespace")

// errNotNetwork says that a path leads to something, but to no network namespace.
var errNotNetwork = fmt.Errorf("%w: it is something else", ErrNoNamespace)

// Namespace is an open network namespace. It stays what it is when its last process ends or its PID is used again.
type Namespace struct{ file *os.File }

// OpenPath opens the network namespace bound to path (/run/netns/NAME, /proc/PID/ns/net). The error wraps
// ErrNoNamespace if there is none, and ErrHost if it is that of the calling thread. The caller closes the namespace.
func OpenPath(path string) (*Namespace, error) {
	file, err := openNamespace(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("opening network namespace %s: %w", path, ErrNoNamespace)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, errNotRoot
	}
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	if err := checkForeign(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	return &Namespace{file}, nil
}

// openNamespace opens the network namespace bound to path. Anything else is refused before it is opened, because that
// waits (a FIFO) or does something (a device): O_PATH does neither.
func openNamespace(path string) (*os.File, error) {
	there, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(there)
	var in unix.Statfs_t
	if err := unix.Fstatfs(there, &in); err != nil {
		return nil, err
	}
	if in.Type != unix.NSFS_MAGIC {
		return nil, errNotNetwork
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/thread-self/fd/%d", there), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		unix.Close(fd)
		return nil, errNotNetwork
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenPID opens the network namespace of a process, as OpenPath does. The process was alive when the namespace was
// opened, so the namespace is not that of another process which got the PID meanwhile.
func OpenPID(pid int) (*Namespace, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, ErrNoNamespace)
	}
	if err != nil {
		return nil, fmt.Errorf("opening process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	n, err := OpenPath(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	// A pidfd becomes readable when its process ends (pidfd_open(2)).
	ended, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	if err == nil && ended > 0 {
		err = ErrNoNamespace
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	return n, nil
}

// Close closes the namespace.
func (n *Namespace) Close() error { return n.file.Close() }

// checkForeign says whether the namespace that file is differs from this thread's.
func checkForeign(file *os.File) error {
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	other, err := file.Stat()
	if err != nil {
		return err
	}
	if os.SameFile(own, other) {
		return ErrHost
	}
	return nil
}

// do runs f on a thread that is inside the namespace.
func (n *Namespace) do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// Still locked, the thread ends with its goroutine and nobody else runs in the wrong namespace.
		return errors.Join(err, fmt.Errorf("returning to the host's network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
