// Package ready waits until a file descriptor is ready, in the thread that asks and without the runtime's poller: what arrives
// wakes the thread that reads it, and nobody else. A packet on its way from container to container waits for four such wake-ups.
//
// Who waits to read looks for a moment before it sleeps (patience.go): where packets follow each other, most are found so.
//
// Reading and writing are the caller's, with the descriptor that Acquire returns. WaitRead belongs to one goroutine; the other methods
// may be called from several at once.
package ready

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is a file descriptor that does not block.
type File struct {
	fd     int
	wake   int // an eventfd that is readable once the File is closed
	closed atomic.Bool
	use    sync.RWMutex // held for reading while fd is in use
	once   sync.Once    // of Close

	patience patience // of the one goroutine that reads
}

// New returns a File of fd, which must not block and which the File owns from now on: if there is an error, fd is closed.
func New(fd int) (*File, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making an eventfd: %w", err)
	}
	return &File{fd: fd, wake: wake, patience: newPatience(time.Now(), runtime.NumCPU())}, nil
}

// Acquire returns the descriptor, which is not closed before Release; ok is false after Close.
func (f *File) Acquire() (fd int, ok bool) {
	f.use.RLock()
	if f.closed.Load() {
		f.use.RUnlock()
		return -1, false
	}
	return f.fd, true
}

// Release ends what Acquire began.
func (f *File) Release() { f.use.RUnlock() }

// WaitRead waits until something can be read, an error included, and at most for wait, which is for ever if negative. It reports
// false when the time is up. After Close the error is net.ErrClosed. The caller has acquired f.
func (f *File) WaitRead(wait time.Duration) (bool, error) {
	if wait < 0 || wait > look {
		if came, err := f.lookOut(); came || err != nil {
			return came, err
		}
	}
	return f.poll(unix.POLLIN, wait)
}

// lookOut looks again and again whether something can be read, as long as that may take, and lets others run in between.
func (f *File) lookOut() (bool, error) {
	began := time.Now()
	for now, limit := began, f.patience.limit(began); limit > 0; now = time.Now() {
		if came, err := f.peek(); came || err != nil {
			return came, err
		}
		if spent := now.Sub(began); spent >= limit {
			f.patience.spent(spent)
			break
		}
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return false, nil
}

// WaitWrite waits until something can be written; see WaitRead.
func (f *File) WaitWrite() error {
	_, err := f.poll(unix.POLLOUT, -1)
	return err
}

// peek reports whether something can be read. As the call does not block, the runtime need not hear of it.
func (f *File) peek() (bool, error) {
	fds := f.awaited(unix.POLLIN)
	var zero unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), uintptr(len(fds)), uintptr(unsafe.Pointer(&zero)), 0, 0, 0)
	switch {
	case f.closed.Load():
		return false, net.ErrClosed
	case errno != 0 && errno != unix.EINTR:
		return false, errno
	}
	return errno == 0 && n > 0, nil
}

func (f *File) poll(events int16, wait time.Duration) (bool, error) {
	fds := f.awaited(events)
	var timeout *unix.Timespec
	if wait >= 0 {
		t := unix.NsecToTimespec(int64(wait))
		timeout = &t
	}
	for {
		n, err := unix.Ppoll(fds[:], timeout, nil)
		switch {
		case f.closed.Load():
			return false, net.ErrClosed
		case err == unix.EINTR:
			continue // the kernel has written to timeout what is left of it
		case err != nil:
			return false, err
		}
		return n > 0, nil
	}
}

// awaited returns what is waited for: events of the descriptor, and Close.
func (f *File) awaited(events int16) [2]unix.PollFd {
	return [2]unix.PollFd{{Fd: int32(f.fd), Events: events}, {Fd: int32(f.wake), Events: unix.POLLIN}}
}

// Close ends what waits, waits until nobody uses the descriptor, and closes it. It may be called more than once, but not between
// Acquire and Release by the same goroutine.
func (f *File) Close() error {
	var err error
	f.once.Do(func() {
		f.closed.Store(true)
		var one = [8]byte{7: 1}
		if _, err = unix.Write(f.wake, one[:]); err != nil {
			return
		}
		f.use.Lock()
		defer f.use.Unlock()
		err = unix.Close(f.fd)
		unix.Close(f.wake)
	})
	return err
}
