package tap

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// A reader is the state of one ReadBatch; Device.readMu guards it.
type reader struct {
	receive func(fd uintptr) bool // the method below; made once, because a method value allocates
	frames  [][]byte
	count   int
	err     error
}

func newReader() *reader {
	r := &reader{}
	r.receive = r.read
	return r
}

// ReadBatch waits for a frame and reads as many as there are, at most len(frames). It fills frames[i] up to its
// capacity, from frames[i][0] on, and reslices it to the frame; the kernel cuts off what does not fit, so each needs
// room for the MTU and 18 bytes of Ethernet header with a VLAN tag. After Close the error is net.ErrClosed; any other,
// such as EBADFD after the device was removed, is final. ReadBatch does not allocate.
func (d *Device) ReadBatch(frames [][]byte) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	d.readMu.Lock()
	defer d.readMu.Unlock()
	r := d.reader
	r.frames, r.count, r.err = frames, 0, nil
	err := d.raw.Read(r.receive)
	r.frames = nil
	if r.count > 0 {
		d.counters.Read.Add(uint64(r.count))
		return r.count, nil
	}
	return 0, d.failed("reading from", err, r.err)
}

// read is called by the poller; false means to call it again when there is a frame.
func (r *reader) read(fd uintptr) bool {
	for r.count < len(r.frames) {
		frame := r.frames[r.count]
		n, err := unix.Read(int(fd), frame[:cap(frame)])
		switch err {
		case nil:
			r.frames[r.count] = frame[:n]
			r.count++
		case unix.EINTR:
		case unix.EAGAIN:
			return r.count > 0
		default:
			r.err = err
			return true
		}
	}
	return true
}

// A writer is the state of one WriteBatch; Device.writeMu guards it.
type writer struct {
	transmit func(fd uintptr) bool // the method below; made once, because a method value allocates
	frames   [][]byte
	next     int // first frame that is not done
	written  int
	err      error
	counters *Counters
}

func newWriter(counters *Counters) *writer {
	w := &writer{counters: counters}
	w.transmit = w.write
	return w
}

// WriteBatch hands all frames to the kernel, and returns how many it took. One that it refuses is counted and skipped.
// It keeps no frame and does not allocate. After Close the error is net.ErrClosed; any other is final.
func (d *Device) WriteBatch(frames [][]byte) (int, error) {
	d.writeMu.Lock()
	defer d.writeMu.Unlock()
	w := d.writer
	w.frames, w.next, w.written, w.err = frames, 0, 0, nil
	err := d.raw.Write(w.transmit)
	w.frames = nil
	d.counters.Written.Add(uint64(w.written))
	return w.written, d.failed("writing to", err, w.err)
}

// write is called by the poller; false means to call it again when the kernel has room.
func (w *writer) write(fd uintptr) bool {
	for w.next < len(w.frames) {
		_, err := unix.Write(int(fd), w.frames[w.next])
		switch err {
		case nil:
			w.written++
			w.next++
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case unix.EBADF, unix.EBADFD, unix.EFAULT:
			w.err = err
			return true
		default:
			w.counters.refused(err)
			w.next++
		}
	}
	return true
}

// failed makes one error of what the poller and what the system call said.
func (d *Device) failed(doing string, poller, call error) error {
	switch {
	case poller != nil && d.closed.Load():
		return d.closedError(doing)
	case poller != nil:
		return fmt.Errorf("%s TAP device %s: %w", doing, d.name, poller)
	case call == unix.EBADFD:
		return fmt.Errorf("%s TAP device %s: %w: the device was removed", doing, d.name, call)
	case call != nil:
		return fmt.Errorf("%s TAP device %s: %w", doing, d.name, call)
	}
	return nil
}

func (d *Device) closedError(doing string) error {
	return fmt.Errorf("%s TAP device %s: %w", doing, d.name, net.ErrClosed)
}
