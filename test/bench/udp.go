package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The program starts itself under these names in the containers, to send and to count datagrams: at 64 B iperf3, with
// a system call a packet, would be what is measured.
const (
	udpSend    = "udp-send"    // ADDR SIZE DURATION
	udpReceive = "udp-receive" // ADDR
)

const (
	udpPort  = 5202
	udpBatch = 64 // datagrams a system call
	// udpQuiet without a datagram is the end of a measurement; the first datagram has udpFirst.
	udpQuiet = 500 * time.Millisecond
	udpFirst = 8 * time.Second
)

// mmsghdr is the kernel's struct mmsghdr (recvmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// datagrams is a batch of buffers of one size, for sendmmsg and recvmmsg.
type datagrams struct {
	messages [udpBatch]mmsghdr
	vectors  [udpBatch]unix.Iovec
	buffers  []byte
}

func newDatagrams(size int) *datagrams {
	d := &datagrams{buffers: make([]byte, udpBatch*size)}
	for i := range d.messages {
		d.vectors[i].Base = &d.buffers[i*size]
		d.vectors[i].SetLen(size)
		d.messages[i].hdr.Iov = &d.vectors[i]
		d.messages[i].hdr.SetIovlen(1)
	}
	return d
}

// call is sendmmsg or recvmmsg; it returns how many datagrams went.
func (d *datagrams) call(trap uintptr, fd, flags int) (int, error) {
	n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&d.messages[0])), udpBatch, uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sendUDP sends datagrams of size bytes as fast as the socket takes them.
func sendUDP(to netip.Addr, size int, length time.Duration) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4(), Port: udpPort}); err != nil {
		return fmt.Errorf("connecting to %v: %w", to, err)
	}
	batch := newDatagrams(size)
	for end := time.Now().Add(length); time.Now().Before(end); {
		_, err := batch.call(unix.SYS_SENDMMSG, fd, 0)
		switch {
		case err == nil, errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.ECONNREFUSED): // the receiver's end is seen first: nothing more to count
			return nil
		default:
			return fmt.Errorf("sendmmsg: %w", err)
		}
	}
	return nil
}

// receiveUDP counts the datagrams of one sender and prints how many they were in how long.
func receiveUDP(at netip.Addr, out io.Writer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
		return fmt.Errorf("setting the receive buffer: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.As4(), Port: udpPort}); err != nil {
		return fmt.Errorf("binding %v: %w", at, err)
	}
	fmt.Fprintln(out, "listening")
	count, took, err := countUDP(fd)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "received %d in %v\n", count, took)
	return nil
}

// countUDP returns how many datagrams came, and the time from the first to the last.
func countUDP(fd int) (count int, took time.Duration, err error) {
	if err := setPatience(fd, udpFirst); err != nil {
		return 0, 0, err
	}
	batch := newDatagrams(2048)
	var first, last time.Time
	for {
		n, err := batch.call(unix.SYS_RECVMMSG, fd, unix.MSG_WAITFORONE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return count, last.Sub(first), nil
		case err != nil:
			return 0, 0, fmt.Errorf("recvmmsg: %w", err)
		}
		last = time.Now()
		if count == 0 {
			first = last
			if err := setPatience(fd, udpQuiet); err != nil {
				return 0, 0, err
			}
		}
		count += n
	}
}

// setPatience sets how long a read waits for a datagram.
func setPatience(fd int, d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}

// parseReceived returns the rate, in packets per second, of what receiveUDP has printed.
func parseReceived(out string) (float64, error) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != "received" {
			continue
		}
		count, err := strconv.Atoi(f[1])
		if err != nil {
			return 0, fmt.Errorf("reading the receiver's count: %w", err)
		}
		took, err := time.ParseDuration(f[3])
		if err != nil {
			return 0, fmt.Errorf("reading the receiver's time: %w", err)
		}
		if count < 2 || took <= 0 {
			return 0, fmt.Errorf("%d packets arrived", count)
		}
		return float64(count) / took.Seconds(), nil
	}
	return 0, errors.New("the receiver of UDP has counted nothing")
}

// runUDP is the program under the names above.
func runUDP(args []string, out io.Writer) error {
	if len(args) < 2 {
		return errors.New("no address")
	}
	addr, err := netip.ParseAddr(args[1])
	if err != nil {
		return err
	}
	if args[0] == udpReceive {
		return receiveUDP(addr, out)
	}
	if len(args) != 4 {
		return errors.New("want ADDR SIZE DURATION")
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	length, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	return sendUDP(addr, size, length)
}
