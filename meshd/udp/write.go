package udp

import (
	"fmt"
	"net"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

const (
	maxIovecs = 512 // pieces of memory for one system call

	// A burst that is sent as one message is bounded by the kernel (UDP_MAX_SEGMENTS, which was 64 before Linux 6.9) and by the
	// length of an IP packet.
	maxSegments = 64
	maxBurst    = 65535 - 40 - 8 // bytes
)

// A writer is the state of one WriteBatch.
type writer struct {
	mu       sync.Mutex
	conn     *Conn
	msgs     [maxMessages]mmsghdr
	iovs     [maxIovecs]unix.Iovec
	names    [maxMessages]sockaddr
	controls [maxMessages]control
	bursts   [maxMessages]burst
	sendmmsg func(fd int, msgs []mmsghdr) (int, unix.Errno) // the system call, but in tests
	count    int                                            // of messages
	used     int                                            // of iovs
	sent     int                                            // datagrams that the kernel took
	zones    zoneIndexes
}

// burst is the datagrams of one message.
type burst struct {
	ds   []wire.Datagram
	size int // bytes of each but the last
	len  int // bytes in all
}

func (w *writer) init(c *Conn) { w.conn, w.sendmmsg = c, sendmmsg }

// WriteBatch sends each datagram to its endpoint's address; those that follow each other to one endpoint and are of one length, the
// last of them possibly shorter, go to the kernel as one. It waits while the socket's buffer is full. A datagram that the kernel
// refuses (no route, a firewall, too big) or whose address is of the other family is counted and skipped; the rest are sent. It
// returns the number sent; the error says that the socket itself failed, and is net.ErrClosed after Close. WriteBatch keeps no
// buffer and does not allocate, but for the first datagram to a zone given by name.
func (c *Conn) WriteBatch(ds []wire.Datagram) (int, error) {
	fd, ok := c.out.Acquire()
	if !ok {
		return 0, c.writeError(net.ErrClosed)
	}
	defer c.out.Release()
	w := c.lockWriter()
	defer w.mu.Unlock()
	w.sent = 0
	for len(ds) > 0 {
		ds = w.fill(ds, c.offloads.gso())
		if err := w.send(fd); err != nil {
			c.counters.Sent.Add(uint64(w.sent))
			return w.sent, c.writeError(err)
		}
	}
	c.counters.Sent.Add(uint64(w.sent))
	return w.sent, nil
}

func (c *Conn) writeError(err error) error {
	return fmt.Errorf("sending from UDP %v: %w", c.local, err)
}

// lockWriter returns a writer that nobody uses, or waits for one.
func (c *Conn) lockWriter() *writer {
	for i := range c.writers {
		if w := &c.writers[i]; w.mu.TryLock() {
			return w
		}
	}
	c.writers[0].mu.Lock()
	return &c.writers[0]
}

// fill makes messages of datagrams from the front of ds until there is no room, and returns the rest.
func (w *writer) fill(ds []wire.Datagram, gso bool) []wire.Datagram {
	w.count, w.used = 0, 0
	for len(ds) > 0 && w.count < maxMessages && w.used < maxIovecs {
		n := 1
		if gso {
			n = w.burstLen(ds)
		}
		w.add(ds[:n])
		ds = ds[n:]
	}
	return ds
}

// burstLen returns how many datagrams from the front of ds can go as one message.
func (w *writer) burstLen(ds []wire.Datagram) int {
	size, total := len(ds[0].Buf), len(ds[0].Buf)
	if size == 0 {
		return 1
	}
	limit := min(len(ds), maxSegments, maxIovecs-w.used)
	n := 1
	for n < limit && ds[n].Endpoint == ds[0].Endpoint && len(ds[n].Buf) <= size && len(ds[n].Buf) > 0 && total+len(ds[n].Buf) <= maxBurst {
		total += len(ds[n].Buf)
		n++
		if len(ds[n-1].Buf) < size {
			break
		}
	}
	return n
}

// add makes one message of ds, or counts why not.
func (w *writer) add(ds []wire.Datagram) {
	to := ds[0].Endpoint.Addr
	if to.Addr().Unmap().Is4() != w.conn.is4 {
		w.conn.counters.SendFamily.Add(uint64(len(ds)))
		return
	}
	namelen, ok := w.names[w.count].put(to, &w.zones)
	if !ok {
		w.conn.counters.SendUnreachable.Add(uint64(len(ds))) // the zone names no interface
		return
	}
	b := burst{ds: ds, size: len(ds[0].Buf)}
	first := w.used
	for i := range ds {
		w.gather(first, ds[i].Buf)
		b.len += len(ds[i].Buf)
	}
	m := &w.msgs[w.count]
	m.hdr = unix.Msghdr{Name: &w.names[w.count][0], Namelen: uint32(namelen), Iov: &w.iovs[first]}
	m.hdr.SetIovlen(w.used - first)
	if len(ds) > 1 {
		m.hdr.Control = &w.controls[w.count][0]
		m.hdr.SetControllen(w.controls[w.count].putSegment(b.size))
	}
	w.bursts[w.count] = b
	w.count++
}

// gather adds buf to the memory of a message that begins with iovec first: to the last one if buf lies right behind it.
func (w *writer) gather(first int, buf []byte) {
	base := unsafe.SliceData(buf)
	if w.used > first {
		last := &w.iovs[w.used-1]
		if uintptr(unsafe.Pointer(last.Base))+uintptr(last.Len) == uintptr(unsafe.Pointer(base)) {
			last.SetLen(int(last.Len) + len(buf))
			return
		}
	}
	w.iovs[w.used].Base = base
	w.iovs[w.used].SetLen(len(buf))
	w.used++
}

// send sends the messages. The kernel stops at the first one that fails, and reports the failure only if it is the first of a call:
// so after a short count the same message is tried once more, and skipped when it is alone to blame.
func (w *writer) send(fd int) error {
	for next := 0; next < w.count; {
		n, errno := w.sendmmsg(fd, w.msgs[next:w.count])
		switch errno {
		case 0:
			for _, b := range w.bursts[next : next+n] {
				w.sent += len(b.ds)
			}
			next += n
		case unix.EINTR:
		case unix.EAGAIN:
			if err := w.conn.out.WaitWrite(); err != nil {
				return err
			}
		case unix.EBADF, unix.ENOTSOCK, unix.EFAULT, unix.ENOSYS:
			return errno
		default:
			if err := w.refused(fd, errno, next); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

// refused deals with message i, which the kernel did not take. A burst is sent once more, one by one, if a device cannot cut it (EIO),
// or if its datagrams have to be cut into fragments, which the kernel does only with single ones (EINVAL, EMSGSIZE).
func (w *writer) refused(fd int, errno unix.Errno, i int) error {
	ds := w.bursts[i].ds
	burst := len(ds) > 1
	switch {
	case burst && errno == unix.EIO:
		w.conn.offloads.fail(w.conn.log, ds[0].Endpoint.Addr, errno)
		return w.singly(fd, i)
	case burst && (errno == unix.EINVAL || errno == unix.EMSGSIZE):
		return w.singly(fd, i)
	}
	w.blame(errno, len(ds))
	return nil
}

// blame counts n datagrams that the kernel did not take, for the reason.
func (w *writer) blame(errno unix.Errno, n int) {
	if unreachable := w.conn.counters.refused(errno, n); unreachable {
		w.zones.forget() // an interface may have come back under another index
	}
}

// singly sends the datagrams of message i one by one.
func (w *writer) singly(fd, i int) error {
	for _, d := range w.bursts[i].ds {
		errno := sendto(fd, d.Buf, &w.names[i], int(w.msgs[i].hdr.Namelen))
		for ; errno == unix.EAGAIN; errno = sendto(fd, d.Buf, &w.names[i], int(w.msgs[i].hdr.Namelen)) {
			if err := w.conn.out.WaitWrite(); err != nil {
				return err
			}
		}
		if errno == 0 {
			w.sent++
		} else {
			w.blame(errno, 1)
		}
	}
	return nil
}
