package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Pattern is the byte that fills the echo requests of Container.Ping: 16 of it in a row are plaintext, as ciphertext
// shows them once in 2^128.
const Pattern = 0xa5

// Packet is one frame as a host put it on the underlay.
type Packet struct {
	At       time.Time
	Frame    []byte         // from the Ethernet header on
	Src, Dst netip.AddrPort // invalid unless it is UDP over IPv4 or IPv6
	Payload  []byte         // of UDP
}

// Capture records everything that crosses the underlay until Stop or the end of the Lab.
type Capture struct {
	stop chan struct{}
	done chan struct{}
	err  error // of the reader; read after done

	mu      sync.Mutex
	packets []Packet
}

// Capture starts one. Each frame is recorded once, when it enters the underlay.
func (l *Lab) Capture() *Capture {
	l.tb.Helper()
	fd := -1
	err := l.underlay.do(network, func() (err error) {
		fd, err = captureSocket()
		return err
	})
	if err != nil {
		l.tb.Fatalf("capturing the underlay: %v", err)
	}
	c := &Capture{stop: make(chan struct{}), done: make(chan struct{})}
	go c.read(fd)
	l.tb.Cleanup(func() { c.Stop() })
	return c
}

func captureSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return -1, err
	}
	wake := unix.Timeval{Usec: 20_000}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wake),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (c *Capture) read(fd int) {
	defer close(c.done)
	defer unix.Close(fd)
	buf := make([]byte, 1<<16)
	var stopped time.Time
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if !stopped.IsZero() { // and nothing is left to read
				return
			}
		case errors.Is(err, unix.EINTR):
		case err != nil:
			c.err = err
			return
		default:
			if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype != unix.PACKET_OUTGOING {
				c.add(parse(bytes.Clone(buf[:n])))
			}
		}
		select {
		case <-c.stop:
			if stopped.IsZero() {
				stopped = time.Now()
			}
			if time.Since(stopped) > time.Second { // the underlay never rests
				return
			}
		default:
		}
	}
}

func (c *Capture) add(p Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets = append(c.packets, p)
}

// Stop ends the capture after what has already been sent, and returns all of it. It may be called again.
func (c *Capture) Stop() []Packet {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	<-c.done
	return c.Packets()
}

// Packets returns what has been captured so far, oldest first.
func (c *Capture) Packets() []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Packet(nil), c.packets...)
}

// Contains says whether any captured frame has needle in it.
func (c *Capture) Contains(needle []byte) bool {
	for _, p := range c.Packets() {
		if bytes.Contains(p.Frame, needle) {
			return true
		}
	}
	return false
}

// Plaintext is the needle that Container.Ping leaves on a wire that does not encrypt.
func Plaintext() []byte { return bytes.Repeat([]byte{Pattern}, 16) }

// parse reads Ethernet, IPv4 (RFC 791) or IPv6 without extension headers (RFC 8200), and UDP (RFC 768).
func parse(frame []byte) Packet {
	p := Packet{At: time.Now(), Frame: frame}
	if len(frame) < 14 {
		return p
	}
	var src, dst netip.Addr
	var udp []byte
	switch ip := frame[14:]; {
	case binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP && len(ip) >= 20 && ip[9] == unix.IPPROTO_UDP:
		header := int(ip[0]&0x0f) * 4
		if len(ip) < header {
			return p
		}
		src, dst, udp = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), ip[header:]
	case binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IPV6 && len(ip) >= 40 && ip[6] == unix.IPPROTO_UDP:
		src, dst, udp = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), ip[40:]
	}
	if len(udp) < 8 {
		return p
	}
	p.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(udp))
	p.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(udp[2:]))
	p.Payload = udp[8:min(len(udp), max(8, int(binary.BigEndian.Uint16(udp[4:]))))]
	return p
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
