package ready_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/ready"
)

// pair returns a File of one end of a socket pair, and the other end.
func pair(t *testing.T) (f *ready.File, other int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = ready.New(fds[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		unix.Close(fds[1])
	})
	return f, fds[1]
}

// fill writes until the descriptor takes no more.
func fill(t *testing.T, f *ready.File) {
	t.Helper()
	fd, ok := f.Acquire()
	if !ok {
		t.Fatal("Acquire = false")
	}
	defer f.Release()
	for {
		if _, err := unix.Write(fd, make([]byte, 4096)); err == unix.EAGAIN {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// waits are both ways to wait.
var waits = []struct {
	name  string
	wait  func(f *ready.File) error
	ready func(other int) error // makes the wait end
}{
	{"read", func(f *ready.File) error {
		ok, err := f.WaitRead(time.Minute)
		if err == nil && !ok {
			return errors.New("the time is up")
		}
		return err
	}, func(other int) error {
		_, err := unix.Write(other, []byte{1})
		return err
	}},
	{"write", (*ready.File).WaitWrite, func(other int) error {
		for buf := make([]byte, 1<<16); ; {
			if _, err := unix.Read(other, buf); err == unix.EAGAIN {
				return nil
			} else if err != nil {
				return err
			}
		}
	}},
}

// acquired runs wait between Acquire and Release, which is how a File is used.
func acquired(f *ready.File, wait func(*ready.File) error) error {
	if _, ok := f.Acquire(); !ok {
		return net.ErrClosed
	}
	defer f.Release()
	return wait(f)
}

// "Wait until something can be read, or written", whether it could before or comes later.
func TestWait(t *testing.T) {
	for _, tt := range waits {
		for _, before := range []bool{true, false} {
			f, other := pair(t)
			fill(t, f)
			result := make(chan error, 1)
			if before {
				if err := tt.ready(other); err != nil {
					t.Fatal(err)
				}
			}
			go func() { result <- acquired(f, tt.wait) }()
			if !before {
				if err := tt.ready(other); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-result; err != nil {
				t.Errorf("%s, ready before %v: %v", tt.name, before, err)
			}
		}
	}
}

// "At most for wait; it reports false when the time is up."
func TestWaitReadTimesOut(t *testing.T) {
	f, _ := pair(t)
	for _, wait := range []time.Duration{0, time.Microsecond, 20 * time.Millisecond} {
		began := time.Now()
		err := acquired(f, func(f *ready.File) error {
			if ok, err := f.WaitRead(wait); ok || err != nil {
				t.Errorf("WaitRead(%v) = %v, %v, want false, <nil>", wait, ok, err)
			}
			return nil
		})
		if took := time.Since(began); err != nil || took < wait {
			t.Errorf("WaitRead(%v) took %v, %v", wait, took, err)
		}
	}
}

// "An error included": the end of a stream ends the wait.
func TestWaitReadSeesTheEnd(t *testing.T) {
	f, other := pair(t)
	if err := unix.Shutdown(other, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if err := acquired(f, waits[0].wait); err != nil {
		t.Errorf("WaitRead at the end of a stream = %v", err)
	}
}

// "Close ends what waits, waits until nobody uses the descriptor, and closes it", however many wait and close at once, and in
// whatever order.
func TestCloseWhileWaiting(t *testing.T) {
	const rounds, closers = 50, 2
	for _, tt := range waits {
		users := 3
		if tt.name == "read" {
			users = 1 // "WaitRead belongs to one goroutine"
		}
		for range rounds {
			f, _ := pair(t)
			fill(t, f)
			var all sync.WaitGroup
			for range users {
				all.Go(func() {
					if err := acquired(f, tt.wait); !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s: wait = %v, want net.ErrClosed", tt.name, err)
					}
				})
			}
			for range closers {
				all.Go(func() {
					if err := f.Close(); err != nil {
						t.Errorf("%s: Close = %v", tt.name, err)
					}
				})
			}
			all.Wait()
			if _, ok := f.Acquire(); ok {
				t.Errorf("%s: Acquire = true after Close", tt.name)
			}
		}
	}
}

// "Acquire returns the descriptor, which is not closed before Release": its number is nobody else's while it is in use.
func TestCloseWaitsForRelease(t *testing.T) {
	f, other := pair(t)
	fd, ok := f.Acquire()
	if !ok {
		t.Fatal("Acquire = false")
	}
	closed := make(chan struct{})
	go func() {
		f.Close()
		close(closed)
	}()
	if err := f.WaitWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := f.WaitRead(-1); !errors.Is(err, net.ErrClosed) { // Close is under way now
		t.Errorf("WaitRead = %v, want net.ErrClosed", err)
	}
	if _, err := unix.Write(fd, []byte{42}); err != nil {
		t.Errorf("writing to a descriptor that is in use: %v", err)
	}
	select {
	case <-closed:
		t.Error("Close has returned while the descriptor was in use")
	default:
	}
	f.Release()
	<-closed
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor after Close: %v, want EBADF", err)
	}
	got := make([]byte, 2)
	if n, err := unix.Read(other, got); n != 1 || err != nil || got[0] != 42 {
		t.Errorf("the other end read %d bytes %v, %v", n, got, err)
	}
}

// Waiting does not allocate: it is part of the data path.
func TestWaitDoesNotAllocate(t *testing.T) {
	f, _ := pair(t)
	allocs := testing.AllocsPerRun(100, func() {
		f.Acquire()
		f.WaitRead(0)
		f.WaitRead(time.Microsecond)
		f.WaitWrite()
		f.Release()
	})
	if allocs != 0 {
		t.Errorf("waiting allocates %v times, want 0", allocs)
	}
}
