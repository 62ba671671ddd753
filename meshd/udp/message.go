package udp

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32 // bytes received or sent
}

// controlLen is room for the ancillary data of one message: the size of its segments, and the overflow count.
const controlLen = 2 * (unix.SizeofCmsghdr + 8)

// control is the ancillary data of one message (cmsg(3)).
type control [controlLen]byte

// putSegment makes c say that the message is datagrams of size bytes (UDP_SEGMENT, udp(7)), and returns its length.
func (c *control) putSegment(size int) int {
	const length = unix.SizeofCmsghdr + 2
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	h.SetLen(length)
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	binary.NativeEndian.PutUint16(c[unix.SizeofCmsghdr:], uint16(size))
	return unix.SizeofCmsghdr + 8
}

// parseControl returns what ancillary data b says: the size of the datagrams in the message, 0 if it is one, and how many messages
// had found the receive buffer full before, 0 if it does not say.
func parseControl(b []byte) (segment int, overflow uint32) {
	for len(b) >= unix.SizeofCmsghdr+4 {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		value := binary.NativeEndian.Uint32(b[unix.SizeofCmsghdr:])
		switch {
		case h.Len < unix.SizeofCmsghdr+4:
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO:
			segment = max(int(int32(value)), 0)
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			overflow = value
		}
		next := (int(h.Len) + 7) &^ 7
		if next < unix.SizeofCmsghdr || next > len(b) {
			break
		}
		b = b[next:]
	}
	return segment, overflow
}

// recvmmsg receives messages and returns how many.
func recvmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) { return call(unix.SYS_RECVMMSG, fd, msgs) }

// sendmmsg sends messages and returns how many.
func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) { return call(unix.SYS_SENDMMSG, fd, msgs) }

// sendto sends one datagram to an address of n bytes, without waiting for room in the socket's buffer.
func sendto(fd int, datagram []byte, to *sockaddr, n int) unix.Errno {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(to)), uintptr(n))
		if errno != unix.EINTR {
			return errno
		}
	}
}

func call(number uintptr, fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
