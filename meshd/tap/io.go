package tap

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"meshnet/meshd/offload"
)

// room is what one packet may take, with what is the caller's behind it: a multiple of cacheLine, at which each begins.
const (
	room      = (offload.MaxPacket + offload.TailLen + cacheLine - 1) &^ (cacheLine - 1)
	cacheLine = 64
)

// arenaLen bounds what one ReadBatch returns: some long packets, or many short ones.
const arenaLen = 4 * room

// A reader is the state of ReadBatch.
type reader struct {
	arena  []byte
	header bool // the kernel writes a virtio header
	empty  bool // the last ReadBatch has read all there was
}

func (r *reader) init(header bool) { r.arena, r.header = make([]byte, arenaLen), header }

// ReadBatch waits for a frame and reads as many as there are, at most len(packets). Each packet is an offload header and a frame,
// with room for offload.TailLen bytes behind it, in memory of the device that is valid until the next ReadBatch. What the header
// says is what the kernel says, made exact (offload.Restore). After Close the error is net.ErrClosed; any other, such as EBADFD
// after the device was removed, is final. ReadBatch belongs to one goroutine, and does not allocate.
func (q *Queue) ReadBatch(packets [][]byte) (int, error) {
	if len(packets) == 0 {
		return 0, nil
	}
	fd, ok := q.file.Acquire()
	if !ok {
		return 0, q.failed("reading from", net.ErrClosed)
	}
	defer q.file.Release()
	for {
		if q.reader.empty {
			if _, err := q.file.WaitRead(-1); err != nil {
				return 0, q.failed("reading from", err)
			}
		}
		n, err := q.reader.read(fd, packets)
		q.device.counters.Read.Add(uint64(n))
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, q.failed("reading from", err)
		}
	}
}

// read reads what there is.
func (r *reader) read(fd int, packets [][]byte) (n int, err error) {
	free := r.arena
	for n < len(packets) && len(free) >= room {
		length, err := r.readOne(fd, free[:offload.MaxPacket])
		switch err {
		case nil:
			packets[n] = free[: length : length+offload.TailLen]
			free = free[(length+offload.TailLen+cacheLine-1)&^(cacheLine-1):]
			n++
		case unix.EINTR:
		case unix.EAGAIN:
			r.empty = true
			return n, nil
		default:
			return n, err
		}
	}
	r.empty = false
	return n, nil
}

// readOne reads one frame into p, behind an offload header, and returns the length of both.
func (r *reader) readOne(fd int, p []byte) (int, error) {
	if !r.header {
		n, err := unix.Read(fd, p[offload.HeaderLen:])
		offload.Header{}.Put(p)
		return offload.HeaderLen + n, err
	}
	n, err := unix.Read(fd, p)
	if err == nil && n >= offload.HeaderLen {
		offload.Restore(p[:n])
	}
	return n, err
}

// A writer is the state of WriteBatch; Queue.writeMu guards it.
type writer struct {
	offloads *offloads
	counters *Counters
	fd       int
	written  bool
	err      error
	plain    func([]byte) // the method below; made once, because a method value allocates
	scratch  []byte       // memory for the segments of one packet, if the kernel does not cut all
}

func (w *writer) init(o *offloads, c *Counters) {
	w.offloads, w.counters = o, c
	w.plain = w.segment
	if !o.header.On || !o.uso.On {
		w.scratch = make([]byte, 0, offload.MaxPacket)
	}
}

// WriteBatch hands all packets, which are offload headers that offload.Check has passed and frames, to the kernel, and returns how
// many it took. One that it refuses is counted and skipped; what it cannot cut or complete itself is cut and completed here. It
// keeps no packet, may change its header and checksum, and does not allocate. After Close the error is
// net.ErrClosed; any other is final.
func (q *Queue) WriteBatch(packets [][]byte) (int, error) {
	q.writeMu.Lock()
	defer q.writeMu.Unlock()
	return q.write(packets)
}

// write is WriteBatch with writeMu held.
func (q *Queue) write(packets [][]byte) (int, error) {
	fd, ok := q.file.Acquire()
	if !ok {
		return 0, q.failed("writing to", net.ErrClosed)
	}
	defer q.file.Release()
	w := &q.writer
	w.fd, w.err = fd, nil
	written := 0
	for _, p := range packets {
		w.written = false
		w.packet(p)
		if w.written {
			written++
		}
		if w.err != nil {
			break
		}
	}
	q.device.counters.Written.Add(uint64(written))
	return written, q.failed("writing to", w.err)
}

// packet writes one packet.
func (w *writer) packet(p []byte) {
	if len(p) < offload.HeaderLen {
		w.counters.refused(unix.EINVAL)
		return
	}
	o := w.offloads
	switch kind := offload.Parse(p).Kind; {
	case !o.header.On, kind == offload.UDP && !o.uso.On:
		offload.Segment(w.scratch, p, w.plain)
	default:
		w.write(p)
	}
}

// segment writes one plain packet.
func (w *writer) segment(p []byte) {
	if w.err != nil {
		return
	}
	if !w.offloads.header.On {
		p = p[offload.HeaderLen:]
	}
	w.write(p)
}

// write writes what the device takes. A TAP never makes its writer wait (tun_chr_poll in drivers/net/tun.c).
func (w *writer) write(b []byte) {
	for {
		_, err := unix.Write(w.fd, b)
		switch err {
		case nil:
			w.written = true
		case unix.EINTR:
			continue
		case unix.EBADF, unix.EBADFD, unix.EFAULT:
			w.err = err
		default:
			w.counters.refused(err)
		}
		return
	}
}

// failed says in an error what was being done.
func (q *Queue) failed(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBADFD):
		return fmt.Errorf("%s TAP device %s: %w: the device was removed", doing, q.device.name, err)
	}
	return fmt.Errorf("%s TAP device %s: %w", doing, q.device.name, err)
}
