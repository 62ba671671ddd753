package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoFamily is wrapped by Listen's error on a host whose kernel does not speak the address's family, as one that was
// booted with ipv6.disable=1. Who listens on both families goes on with the other.
var ErrNoFamily = errors.New("this host has no such address family")

// defaultBuffer is the size asked for each socket buffer: 20 ms at 1.6 Gbit/s, the longest that a busy host should keep
// the reader from running.
const defaultBuffer = 4 << 20 // bytes

// Config says how to listen.
type Config struct {
	Addr   netip.AddrPort // literal; port 0 lets the kernel choose
	Socket uint8          // this socket's number, 1 to 255, reported in wire.Endpoint; 0 = not numbered
	Mark   int            // SO_MARK of what is sent, for policy routing; 0 = none
	Buffer int            // size of each socket buffer in bytes; 0 = 4 MiB
}

// A Conn is a UDP socket. All methods may be called from several goroutines at once.
type Conn struct {
	conn   *net.UDPConn
	raw    syscall.RawConn
	local  netip.AddrPort
	socket uint8
	is4    bool

	readMu sync.Mutex // held by the one ReadBatch that waits
	reader *reader

	writeMu sync.Mutex // held by the one WriteBatch that sends
	writer  *writer

	counters Counters
}

// Listen opens a socket on cfg.Addr, of that address's family only. Its error names the address and the way out, and
// wraps the errno (EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM) or ErrNoFamily.
func Listen(cfg Config) (*Conn, error) {
	addr := netip.AddrPortFrom(cfg.Addr.Addr().Unmap(), cfg.Addr.Port())
	if !addr.IsValid() {
		return nil, fmt.Errorf("listening on UDP: no address given")
	}
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return control(raw, cfg, network) }}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, listenError(addr, err)
	}
	conn := pc.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, listenError(addr, err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	c := &Conn{
		conn:   conn,
		raw:    raw,
		local:  netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
		socket: cfg.Socket,
		is4:    network == "udp4",
	}
	c.reader, c.writer = newReader(), newWriter(&c.counters)
	return c, nil
}

// LocalAddr returns the address that the socket is bound to, with the port that the kernel chose if it was asked to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Counters returns the socket's counters, which may be read at any time.
func (c *Conn) Counters() *Counters { return &c.counters }

// Close closes the socket. ReadBatch and WriteBatch, those that wait included, return net.ErrClosed. It may be called
// more than once.
func (c *Conn) Close() error {
	if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing UDP %v: %w", c.local, err)
	}
	return nil
}

// control sets the socket's options before it is bound.
func control(raw syscall.RawConn, cfg Config, network string) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = setOptions(int(fd), cfg, network) }); e != nil {
		return e
	}
	return err
}

func setOptions(fd int, cfg Config, network string) error {
	if network == "udp6" {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("setting IPV6_V6ONLY: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT); err != nil {
			return fmt.Errorf("setting IPV6_MTU_DISCOVER: %w", err)
		}
	} else if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT); err != nil {
		return fmt.Errorf("setting IP_MTU_DISCOVER: %w", err)
	}
	if cfg.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, cfg.Mark); err != nil {
			return fmt.Errorf("setting the socket mark, which needs CAP_NET_ADMIN: %w", err)
		}
	}
	size := cfg.Buffer
	if size == 0 {
		size = defaultBuffer
	}
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size); err != nil {
		return fmt.Errorf("sizing the receive buffer: %w", err)
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size); err != nil {
		return fmt.Errorf("sizing the send buffer: %w", err)
	}
	return nil
}

// setBuffer asks for size bytes; without CAP_NET_ADMIN the kernel gives at most net.core.rmem_max or wmem_max.
func setBuffer(fd, force, option, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size)
}

// cause takes off what package net wraps around an error, because it repeats the address.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// listenError rewords what package net says, and adds the way out.
func listenError(addr netip.AddrPort, err error) error {
	err = cause(err)
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case unix.EAFNOSUPPORT, unix.EPFNOSUPPORT:
		return fmt.Errorf("listening on UDP %v: %w: %w", addr, ErrNoFamily, errno)
	case unix.EADDRINUSE:
		return fmt.Errorf("listening on UDP %v: %w: is another meshd running here? "+
			"stop what holds the port, or choose another one with --listen", addr, errno)
	case unix.EADDRNOTAVAIL:
		return fmt.Errorf("listening on UDP %v: %w: no interface of this host has it; "+
			"choose another address with --listen, or all of them with --listen :%d", addr, errno, addr.Port())
	case unix.EACCES:
		return fmt.Errorf("listening on UDP %v: %w: ports below 1024 need CAP_NET_BIND_SERVICE; "+
			"choose another port with --listen", addr, errno)
	}
	return fmt.Errorf("listening on UDP %v: %w", addr, err)
}
