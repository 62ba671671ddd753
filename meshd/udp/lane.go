package udp

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"meshnet/meshd/ready"
	"meshnet/meshd/wire"
)

// ListenLanes is Listen, and returns n Conns, but at most wire.MaxLanes, that all receive what is sent to one port: the kernel gives a
// message to the Conn of its lane (docs/protocol.md, "Lanes"), counted round if there are fewer, so that each lane may have a processor
// of its own. Each but the first sends from a port of its own, so that whatever treats the datagrams of one pair of ports alike, a
// network that gives it only so much, a router that sends it by one of its links, does not do so with all of them.
//
// What a kernel or its limits do not let have is done without: then there is one Conn, Config.Log is told, and Offloads says why.
func ListenLanes(cfg Config, n int) ([]*Conn, error) {
	first, err := Listen(cfg)
	if err != nil {
		return nil, err
	}
	n = min(n, wire.MaxLanes)
	switch lanes := []*Conn{first}; {
	case cfg.Off.Lanes:
		first.offloads.noLanes = switchedOff
		return lanes, nil
	case n < 2:
		first.offloads.noLanes = "the host has one processor"
		return lanes, nil
	}
	lanes, err := first.listenLanes(cfg, n)
	if err != nil {
		first.log.Warn("datagrams are sent and received by one UDP socket only", "addr", first.local, "err", err)
		first.offloads.noLanes = err.Error()
		return []*Conn{first}, nil
	}
	first.offloads.noLanes = ""
	return lanes, nil
}

// listenLanes opens the others of n lanes of which c is the first, and returns all. After an error only c is open.
func (c *Conn) listenLanes(cfg Config, n int) ([]*Conn, error) {
	lanes := []*Conn{c}
	err := c.reusePort()
	for len(lanes) < n && err == nil {
		var lane *Conn
		if lane, err = c.listenLane(cfg); err == nil {
			lanes = append(lanes, lane)
		}
	}
	if err == nil {
		err = c.steer(n)
	}
	if err != nil {
		for _, lane := range lanes[1:] {
			err = errors.Join(err, lane.Close())
		}
		return nil, err
	}
	return lanes, nil
}

// reusePort allows further sockets of this process on c's port. It comes after c was bound, so that another meshd's port is noticed.
func (c *Conn) reusePort() error {
	return c.control("allowing further sockets on the port (SO_REUSEPORT)", allowReuse)
}

func allowReuse(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// steer has the kernel give a message of lane k to the k-th of n sockets on c's port, in the order in which they were bound. It is asked
// for each message, or burst of them.
func (c *Conn) steer(n int) error {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: wire.LaneOffset, Size: 1}, // of the UDP payload; too short a one goes to the first
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(n)},
		bpf.RetA{},
	}
	return c.control("choosing the socket by lane (SO_ATTACH_REUSEPORT_CBPF)", func(fd int) error {
		return attachFilter(fd, unix.SO_ATTACH_REUSEPORT_CBPF, program)
	})
}

// control calls set with what c reads.
func (c *Conn) control(doing string, set func(fd int) error) error {
	fd, ok := c.in.Acquire()
	if !ok {
		return unix.EBADF
	}
	defer c.in.Release()
	if err := set(fd); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// listenLane opens the two sockets of a lane beside the first, which is c.
func (c *Conn) listenLane(cfg Config) (*Conn, error) {
	in, err := open(c.local, cfg, func(fd int) error { return errors.Join(allowReuse(fd), c.offloads.share(fd)) })
	if err != nil {
		return nil, fmt.Errorf("opening another socket on the port: %w", err)
	}
	lane := newConn(cfg, c.is4, c.offloads)
	lane.local = c.local
	if lane.in, err = ready.New(in); err != nil {
		return nil, err
	}
	out, err := open(netip.AddrPortFrom(c.local.Addr(), 0), cfg, ignoreAll)
	if err == nil {
		lane.out, err = ready.New(out)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a socket to send from: %w", err), lane.in.Close())
	}
	return lane, nil
}

// ignoreAll has the kernel drop what comes to the socket: nobody reads it.
func ignoreAll(fd int) error {
	return attachFilter(fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{bpf.RetConstant{Val: 0}})
}

// attachFilter attaches a program to a socket in the way that option says (socket(7)).
func attachFilter(fd, option int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, option, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
