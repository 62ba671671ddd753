package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"meshnet/meshd/ready"
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
	Off    Off            // what not to use
	Log    *slog.Logger   // is told when an offload fails; nil = nobody
}

// A Conn is a UDP socket, or the two of a lane beside the first (see ListenLanes). ReadBatch belongs to one goroutine; all other
// methods may be called from several at once.
type Conn struct {
	in, out  *ready.File // what is read and what is written; the same but in lanes beside the first
	local    netip.AddrPort
	socket   uint8
	is4      bool
	log      *slog.Logger
	offloads *offloads // those of the first lane

	reader  reader    // of the goroutine that calls ReadBatch
	writers [4]writer // so that as many can send at once; each has its mutex

	probing sync.Mutex // guards the socket's option in Probe

	counters Counters
}

// Listen opens a socket on cfg.Addr, of that address's family only. Its error names the address and the way out, and
// wraps the errno (EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM) or ErrNoFamily.
func Listen(cfg Config) (*Conn, error) {
	addr := netip.AddrPortFrom(cfg.Addr.Addr().Unmap(), cfg.Addr.Port())
	if !addr.IsValid() {
		return nil, fmt.Errorf("listening on UDP: no address given")
	}
	c := newConn(cfg, addr.Addr().Is4(), &offloads{noLanes: "only one was asked for"})
	fd, err := open(addr, cfg, func(fd int) error {
		c.offloads.choose(fd, cfg.Off)
		return nil
	})
	if err != nil {
		return nil, listenError(addr, err)
	}
	if c.local, err = localAddr(fd); err != nil {
		unix.Close(fd)
		return nil, listenError(addr, err)
	}
	if c.in, err = ready.New(fd); err != nil {
		return nil, listenError(addr, err)
	}
	c.out = c.in
	return c, nil
}

// newConn returns a Conn without sockets.
func newConn(cfg Config, is4 bool, o *offloads) *Conn {
	c := &Conn{socket: cfg.Socket, is4: is4, log: cfg.Log, offloads: o}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.reader.init()
	for i := range c.writers {
		c.writers[i].init(c)
	}
	return c
}

// open makes a socket, has prepare set what is special about it, and binds it.
func open(addr netip.AddrPort, cfg Config, prepare func(fd int) error) (fd int, err error) {
	is4 := addr.Addr().Is4()
	family := unix.AF_INET6
	if is4 {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := setOptions(fd, cfg, is4); err != nil {
		return -1, err
	}
	if err := prepare(fd); err != nil {
		return -1, err
	}
	var name sockaddr
	n, ok := name.put(addr, new(zoneIndexes))
	if !ok {
		return -1, unix.EADDRNOTAVAIL
	}
	return fd, name.bind(fd, n)
}

func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(sa.ZoneId), 10))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, err
}

// LocalAddr returns the address that what is read was sent to, with the port that the kernel chose if it was asked to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Counters returns the socket's counters, which may be read at any time.
func (c *Conn) Counters() *Counters { return &c.counters }

// Close closes the socket. ReadBatch and WriteBatch, those that wait included, return net.ErrClosed. It may be called
// more than once.
func (c *Conn) Close() error {
	if err := errors.Join(c.in.Close(), c.out.Close()); err != nil {
		return fmt.Errorf("closing UDP %v: %w", c.local, err)
	}
	return nil
}

func setOptions(fd int, cfg Config, is4 bool) error {
	if !is4 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("setting IPV6_V6ONLY: %w", err)
		}
	}
	if err := setFragmentation(fd, is4, true); err != nil {
		return err
	}
	// How many datagrams found the buffer full comes with the next one that is read (socket(7)).
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		return fmt.Errorf("setting SO_RXQ_OVFL: %w", err)
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

// listenError rewords what package net says, and adds the way out.
func listenError(addr netip.AddrPort, err error) error {
	var errno unix.Errno
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
