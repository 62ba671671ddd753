package udp

import (
	"log/slog"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Offload is something that the kernel can do for a whole burst of datagrams at once, or for several at the same time.
type Offload struct {
	Name string
	On   bool
	Why  string // not, if it is off
}

// Off says which offloads not to use, for tests and for whoever hunts a fault.
type Off struct {
	GSO bool // datagrams that are sent as one
	GRO bool // datagrams that are received as one

	Lanes bool // several sockets on a port, and to send from
}

// offloads are those of a socket and its lanes.
type offloads struct {
	noGSO  string // why not; empty: it is on
	noGRO  string
	failed atomic.Bool // GSO: a device could not do it

	noLanes string // why there is only the first
}

const switchedOff = "it was switched off"

// choose finds out what the kernel can do and switches it on.
func (o *offloads) choose(fd int, off Off) {
	if off.GSO {
		o.noGSO = switchedOff
	} else if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
		o.noGSO = "the kernel is older than Linux 4.18"
	}
	if off.GRO {
		o.noGRO = switchedOff
	} else if unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) != nil {
		o.noGRO = "the kernel is older than Linux 5.0"
	}
}

// share makes another socket receive as the first does.
func (o *offloads) share(fd int) error {
	if o.noGRO != "" {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
}

// gso reports whether datagrams may be sent as one.
func (o *offloads) gso() bool { return o.noGSO == "" && !o.failed.Load() }

// fail switches GSO off for good, because a device could not send a message to addr.
func (o *offloads) fail(log *slog.Logger, addr netip.AddrPort, errno unix.Errno) {
	if !o.failed.Swap(true) {
		log.Warn("UDP segmentation offload failed, sending datagrams one by one", "endpoint", addr, "err", errno)
	}
}

// Offloads returns what the kernel does for us, and why it does not do the rest.
func (c *Conn) Offloads() []Offload {
	o := c.offloads
	gso := Offload{Name: "udp-gso", On: o.gso(), Why: o.noGSO}
	if o.failed.Load() {
		gso.Why = "a network device could not send it (EIO): its checksum offload is off, or IPsec is in the way"
	}
	return []Offload{
		gso,
		{Name: "udp-gro", On: o.noGRO == "", Why: o.noGRO},
		{Name: "udp-lanes", On: o.noLanes == "", Why: o.noLanes},
	}
}
