package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// DHCP takes what DHCP clients send to the gateway's own address: renewals and releases, which are not broadcast (RFC 2131, section 4.4.5).
// Everything else they send reaches the TAP.
type DHCP struct {
	conn  *net.UDPConn
	index int // of the device
}

// ListenDHCP listens on a device, beside other DHCP servers of the host that share their port as they usually do.
func ListenDHCP(device string) (*DHCP, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlled := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device))
		})
		return errors.Join(controlled, err)
	}}
	conn, err := listen.ListenPacket(context.Background(), "udp4", "0.0.0.0:67")
	if err != nil {
		return nil, fmt.Errorf("gateway: listening for DHCP on %s: %w", device, err)
	}
	return &DHCP{conn: conn.(*net.UDPConn), index: link.Index}, nil
}

// Stale reports whether the device is another by now, or none.
func (d *DHCP) Stale(device string) bool {
	link, err := net.InterfaceByName(device)
	return err != nil || link.Index != d.index
}

// Run hands each datagram to take, which must not keep it, until Close.
func (d *DHCP) Run(take func(from netip.Addr, payload []byte)) error {
	b := make([]byte, 2048)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("gateway: reading DHCP: %w", err)
		}
		take(from.Addr().Unmap(), b[:n])
	}
}

// Close ends Run.
func (d *DHCP) Close() error { return d.conn.Close() }
