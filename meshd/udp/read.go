package udp

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

const (
	// maxMessages is the most messages for one system call.
	maxMessages = 64
	// bufferLen holds the largest message, so that none is ever cut: a cut one would look like a forgery.
	bufferLen = 1 << 16
	// stride is the distance of two buffers: not a power of two, or they would all lie in the same sets of the cache.
	stride = bufferLen + 5*4096 + 320
	// deepRead is how many bytes one call may bring before the next asks for fewer messages: they should be worked on while
	// they are in the cache.
	deepRead = 256 << 10
)

// A reader is the state of ReadBatch.
type reader struct {
	msgs     [maxMessages]mmsghdr
	iovs     [maxMessages]unix.Iovec
	names    [maxMessages]sockaddr
	controls [maxMessages]control
	buffers  []byte

	ask      int    // messages for the next call
	got      int    // of the last call
	next     int    // of these, the first that is not returned whole
	offset   int    // of it, bytes that are returned
	empty    bool   // the last call took all there was
	overflow uint32 // the kernel's count of messages that found the buffer full; wraps around
	zones    zoneNames

	from    netip.AddrPort // of message next, if offset > 0
	segment int            // bytes of each datagram in it but the last
}

func (r *reader) init() {
	r.buffers = make([]byte, maxMessages*stride)
	r.ask = maxMessages
	for i := range r.msgs {
		r.iovs[i].Base = &r.buffer(i)[0]
		r.iovs[i].SetLen(bufferLen)
		h := &r.msgs[i].hdr
		h.Name = &r.names[i][0]
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.controls[i][0]
	}
}

func (r *reader) buffer(i int) []byte {
	at := i * stride
	return r.buffers[at : at+bufferLen : at+bufferLen]
}

// ReadBatch waits for a datagram, at most for wait, which is for ever if negative, and returns as many as there are, at most
// len(ds); none if the time is up, or if what came was no datagram. ds[i].Buf is memory of the socket, the caller's until the next
// ReadBatch; ds[i].Endpoint is the sender's address and this socket's number. After Close the error is net.ErrClosed. ReadBatch
// belongs to one goroutine, and does not allocate, but for the first datagram of a link-local zone.
func (c *Conn) ReadBatch(ds []wire.Datagram, wait time.Duration) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	fd, ok := c.in.Acquire()
	if !ok {
		return 0, c.readError(net.ErrClosed)
	}
	defer c.in.Release()
	for waited := false; ; {
		if n := c.collect(ds); n > 0 {
			return n, nil
		}
		if c.reader.empty {
			if waited && wait >= 0 {
				return 0, nil // a wrong checksum: whoever sends many would have the caller wait again and again
			}
			if came, err := c.in.WaitRead(wait); err != nil || !came {
				return 0, c.readError(err)
			}
			waited = true
		}
		if errno := c.reader.receive(fd); errno != 0 {
			return 0, c.readError(errno)
		}
	}
}

func (c *Conn) readError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading from UDP %v: %w", c.local, err)
}

// receive reads messages, if there are any.
func (r *reader) receive(fd int) unix.Errno {
	for i := range r.ask {
		r.msgs[i].hdr.Namelen = sockaddrLen
		r.msgs[i].hdr.SetControllen(controlLen)
	}
	n, errno := recvmmsg(fd, r.msgs[:r.ask])
	r.got, r.next, r.offset = 0, 0, 0
	switch errno {
	case 0:
		r.got = n
		r.empty = n < r.ask
		r.adapt()
	case unix.EAGAIN:
		r.empty = true
	case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
		// The last three are about a datagram that we sent; nothing is wrong with receiving.
	default:
		return errno
	}
	return 0
}

// adapt chooses how many messages to ask for next.
func (r *reader) adapt() {
	sum := 0
	for i := range r.got {
		sum += int(r.msgs[i].len)
	}
	if sum > deepRead {
		r.ask = max(r.ask/2, 4)
	} else if sum < deepRead/2 {
		r.ask = min(r.ask*2, maxMessages)
	}
}

// collect returns datagrams of the messages that were read.
func (c *Conn) collect(ds []wire.Datagram) int {
	r, count := &c.reader, 0
	for count < len(ds) && r.next < r.got {
		m := &r.msgs[r.next]
		if r.offset == 0 {
			c.begin(m)
		}
		b := r.buffer(r.next)[r.offset:m.len]
		if m.hdr.Flags&unix.MSG_TRUNC != 0 {
			b = nil
		} else {
			b = b[:min(r.segment, len(b)):len(b)]
			ds[count].Buf = b
			ds[count].Endpoint = wire.Endpoint{Addr: r.from, Socket: c.socket}
			count++
		}
		if r.offset += len(b); len(b) == 0 || r.offset >= int(m.len) {
			r.next, r.offset = r.next+1, 0
		}
	}
	c.counters.Received.Add(uint64(count))
	return count
}

// begin reads what came with message m.
func (c *Conn) begin(m *mmsghdr) {
	r := &c.reader
	r.from = r.names[r.next].addrPort(&r.zones)
	control := r.controls[r.next][:]
	segment, overflow := parseControl(control[:min(int(m.hdr.Controllen), len(control))])
	if r.segment = segment; segment == 0 {
		r.segment = bufferLen
	}
	if lost := int32(overflow - r.overflow); overflow != 0 && lost > 0 {
		c.counters.ReceiveOverflow.Add(uint64(lost))
		r.overflow = overflow
	}
	if m.hdr.Flags&unix.MSG_TRUNC != 0 {
		c.counters.ReceiveTruncated.Add(1)
	}
}
