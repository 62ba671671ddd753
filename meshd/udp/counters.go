package udp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Counters count a socket's datagrams, and those that were lost here by the reason.
type Counters struct {
	Received         atomic.Uint64
	ReceiveTruncated atomic.Uint64 // larger than a datagram can be
	ReceiveOverflow  atomic.Uint64 // the receive buffer was full: SO_RXQ_OVFL; a burst that came as one counts as one
	Sent             atomic.Uint64
	SendUnreachable  atomic.Uint64 // no route, or no such zone: EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, ENETDOWN, ENODEV
	SendDenied       atomic.Uint64 // a local firewall or routing policy: EPERM, EACCES
	SendRefused      atomic.Uint64 // the kernel reported an earlier datagram's ICMP error: ECONNREFUSED
	SendTooBig       atomic.Uint64 // EMSGSIZE
	SendNoBuffer     atomic.Uint64 // ENOBUFS, ENOMEM
	SendFamily       atomic.Uint64 // an IPv4 address given to an IPv6 socket, or the reverse
	SendInvalid      atomic.Uint64 // any other error, such as EINVAL for port 0
}

// Snapshot returns the counters by name.
func (c *Counters) Snapshot() map[string]uint64 {
	return map[string]uint64{
		"received":          c.Received.Load(),
		"receive_truncated": c.ReceiveTruncated.Load(),
		"receive_overflow":  c.ReceiveOverflow.Load(),
		"sent":              c.Sent.Load(),
		"send_unreachable":  c.SendUnreachable.Load(),
		"send_denied":       c.SendDenied.Load(),
		"send_refused":      c.SendRefused.Load(),
		"send_too_big":      c.SendTooBig.Load(),
		"send_no_buffer":    c.SendNoBuffer.Load(),
		"send_family":       c.SendFamily.Load(),
		"send_invalid":      c.SendInvalid.Load(),
	}
}

// refused counts n datagrams that could not be sent, and reports whether their address is to blame.
func (c *Counters) refused(errno unix.Errno, n int) (unreachable bool) {
	switch errno {
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EADDRNOTAVAIL, unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
		c.SendUnreachable.Add(uint64(n))
		return true
	case unix.EPERM, unix.EACCES:
		c.SendDenied.Add(uint64(n))
	case unix.ECONNREFUSED:
		c.SendRefused.Add(uint64(n))
	case unix.EMSGSIZE:
		c.SendTooBig.Add(uint64(n))
	case unix.ENOBUFS, unix.ENOMEM:
		c.SendNoBuffer.Add(uint64(n))
	default:
		c.SendInvalid.Add(uint64(n))
	}
	return false
}
