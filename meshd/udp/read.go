package udp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

// maxBatch is the most datagrams for one system call. Beyond some dozens the cost of the call no longer shows.
const maxBatch = 64

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32 // bytes received or sent
}

// A batch is the memory that one recvmmsg or sendmmsg works on; names, iovs and messages of the same index belong
// together.
type batch struct {
	msgs  [maxBatch]mmsghdr
	iovs  [maxBatch]unix.Iovec
	names [maxBatch]sockaddr
}

// set makes message i one of buf's first n bytes, with room for, or with, a name of namelen bytes.
func (b *batch) set(i int, buf []byte, n, namelen int) {
	b.iovs[i].Base = unsafe.SliceData(buf)
	b.iovs[i].SetLen(n)
	hdr := &b.msgs[i].hdr
	hdr.Name = &b.names[i][0]
	hdr.Namelen = uint32(namelen)
	hdr.Iov = &b.iovs[i]
	hdr.SetIovlen(1)
	hdr.Flags = 0
}

// call makes the system call number on messages first to last-1 and returns how many it did.
func (b *batch) call(number, fd uintptr, first, last int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(number, fd, uintptr(unsafe.Pointer(&b.msgs[first])), uintptr(last-first),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// A reader is the state of one ReadBatch; Conn.readMu guards it.
type reader struct {
	batch
	receive func(fd uintptr) bool // the method below; made once, because a method value allocates
	want    int
	got     int
	errno   unix.Errno
	zones   zoneNames
}

func newReader() *reader {
	r := &reader{}
	r.receive = r.recvmmsg
	return r
}

// ReadBatch waits for a datagram and reads as many as there are, at most len(ds) and at most 64. It fills ds[i].Buf up
// to its capacity and reslices it to what it holds; ds[i].Endpoint is the sender's address and this socket's number. A
// datagram that does not fit its buffer is dropped and counted; to make place the elements of ds may change order.
// After Close the error is net.ErrClosed. ReadBatch does not allocate, but for the first datagram of a link-local zone.
func (c *Conn) ReadBatch(ds []wire.Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	c.readMu.Lock()
	defer c.readMu.Unlock()
	r := c.reader
	for {
		r.want = min(len(ds), maxBatch)
		for i := range r.want {
			r.set(i, ds[i].Buf, cap(ds[i].Buf), sockaddrLen)
		}
		if err := c.raw.Read(r.receive); err != nil {
			return 0, fmt.Errorf("reading from UDP %v: %w", c.local, cause(err))
		}
		if r.errno != 0 {
			return 0, fmt.Errorf("reading from UDP %v: recvmmsg: %w", c.local, r.errno)
		}
		if n := c.collect(ds); n > 0 {
			return n, nil
		}
	}
}

// recvmmsg is called by the poller; false means to call it again when the socket is readable.
func (r *reader) recvmmsg(fd uintptr) bool {
	for {
		r.got, r.errno = r.call(unix.SYS_RECVMMSG, fd, 0, r.want)
		switch r.errno {
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
			// The last three are about a datagram that we sent; nothing is wrong with receiving.
		default:
			return true
		}
	}
}

// collect moves what was received to the front of ds.
func (c *Conn) collect(ds []wire.Datagram) int {
	r, count := c.reader, 0
	for i := range r.got {
		m := &r.msgs[i]
		if m.hdr.Flags&unix.MSG_TRUNC != 0 {
			c.counters.ReceiveTruncated.Add(1)
			continue
		}
		addr := r.names[i].addrPort(&r.zones)
		ds[count], ds[i] = ds[i], ds[count]
		ds[count].Buf = ds[count].Buf[:m.len]
		ds[count].Endpoint = wire.Endpoint{Addr: addr, Socket: c.socket}
		count++
	}
	c.counters.Received.Add(uint64(count))
	return count
}
