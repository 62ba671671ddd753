package udp

import (
	"fmt"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

// A writer is the state of one WriteBatch; Conn.writeMu guards it.
type writer struct {
	batch
	send     func(fd uintptr) bool // the method below; made once, because a method value allocates
	next     int                   // first message that is not done
	end      int                   // messages in the batch
	sent     int                   // messages that the kernel took
	errno    unix.Errno
	zones    zoneIndexes
	counters *Counters
}

func newWriter(counters *Counters) *writer {
	w := &writer{counters: counters}
	w.send = w.sendmmsg
	return w
}

// WriteBatch sends each datagram to its endpoint's address. It waits while the socket's buffer is full. A datagram that
// the kernel refuses (no route, a firewall, too big) or whose address is of the other family is counted and skipped;
// the rest are sent. It returns the number sent; the error says that the socket itself failed, and is net.ErrClosed
// after Close. WriteBatch keeps no buffer and does not allocate, but for the first datagram to a zone given by name.
func (c *Conn) WriteBatch(ds []wire.Datagram) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	sent := 0
	for len(ds) > 0 {
		n := min(len(ds), maxBatch)
		err := c.writeSome(ds[:n])
		sent += c.writer.sent
		if err != nil {
			return sent, err
		}
		ds = ds[n:]
	}
	return sent, nil
}

// writeSome sends at most maxBatch datagrams.
func (c *Conn) writeSome(ds []wire.Datagram) error {
	w := c.writer
	w.next, w.end, w.sent, w.errno = 0, 0, 0, 0
	for i := range ds {
		to := ds[i].Endpoint.Addr
		if to.Addr().Unmap().Is4() != c.is4 {
			c.counters.SendFamily.Add(1)
			continue
		}
		namelen, ok := w.names[w.end].put(to, &w.zones)
		if !ok {
			c.counters.SendUnreachable.Add(1) // the zone names no interface
			continue
		}
		w.set(w.end, ds[i].Buf, len(ds[i].Buf), namelen)
		w.end++
	}
	if w.end == 0 {
		return nil
	}
	err := c.raw.Write(w.send)
	c.counters.Sent.Add(uint64(w.sent))
	if err != nil {
		return fmt.Errorf("sending from UDP %v: %w", c.local, cause(err))
	}
	if w.errno != 0 {
		return fmt.Errorf("sending from UDP %v: sendmmsg: %w", c.local, w.errno)
	}
	return nil
}

// sendmmsg is called by the poller; false means to call it again when the socket is writable. The kernel stops at the
// first message that fails, and reports the failure only if it is the first of a call: so after a short count the same
// message is tried once more, and skipped when it is alone to blame.
func (w *writer) sendmmsg(fd uintptr) bool {
	for w.next < w.end {
		n, errno := w.call(unix.SYS_SENDMMSG, fd, w.next, w.end)
		switch errno {
		case 0:
			w.next += n
			w.sent += n
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case unix.EBADF, unix.ENOTSOCK, unix.EFAULT, unix.ENOSYS:
			w.errno = errno
			return true
		default:
			if unreachable := w.counters.refused(errno); unreachable {
				w.zones.forget() // an interface may have come back under another index
			}
			w.next++
		}
	}
	return true
}
