package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// portDHCP is the UDP port of DHCPv4 servers (RFC 2131, section 4.1).
const portDHCP = 67

// DHCP takes what DHCP clients send to the gateway's own MAC: renewals and releases, which are not broadcast (RFC 2131, section 4.4.5).
// Everything else they send reaches the TAP. It reads frames, since a lease is the MAC's that asks, and a datagram does not say which that
// is; and it shares no port with other DHCP servers of the host. The rules keep the kernel from answering as well.
type DHCP struct {
	file  *os.File
	index int // of the device
}

// ListenDHCP listens on a device that has this MAC. It needs CAP_NET_RAW.
func ListenDHCP(device string, mac [6]byte) (*DHCP, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // it receives nothing before bind
	if err != nil {
		return nil, fmt.Errorf("gateway: listening for DHCP on %s: %w", device, err)
	}
	file := os.NewFile(uintptr(fd), device)
	filter, err := assemble(unicastDHCP(mac))
	if err == nil {
		err = errors.Join(unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_IP), Ifindex: link.Index}))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: listening for DHCP on %s: %w", device, err), file.Close())
	}
	return &DHCP{file: file, index: link.Index}, nil
}

// Stale reports whether the device is another by now, or none.
func (d *DHCP) Stale(device string) bool {
	link, err := net.InterfaceByName(device)
	return err != nil || link.Index != d.index
}

// Run hands each frame to take, which must not keep it, until Close. partial: its UDP checksum is still to be computed.
func (d *DHCP) Run(take func(frame []byte, partial bool)) error {
	const (
		headerLen = 10 // of a struct virtio_net_hdr (include/uapi/linux/virtio_net.h): flags (1), GSO type (1), …
		needsCsum = 1
	)
	b := make([]byte, headerLen+maxDHCP)
	for {
		n, err := d.file.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EINVAL): // the device was set down; a burst that no header can describe
		case err != nil:
			return fmt.Errorf("gateway: reading DHCP: %w", err)
		case n > headerLen && b[1] == 0:
			take(b[headerLen:n], b[0]&needsCsum != 0)
		}
	}
}

// Close ends Run.
func (d *DHCP) Close() error { return d.file.Close() }

// maxDHCP is how much of a frame is read, more than a DHCP client sends.
const maxDHCP = 2048

// unicastDHCP lets through what a DHCP client sends to mac alone, in an Ethernet frame with IPv4 (RFC 791) and UDP (RFC 768).
func unicastDHCP(mac [6]byte) []bpf.Instruction {
	const ethernet = 14
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4}, // destination
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(mac[:]), SkipTrue: 12},
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(mac[4:])), SkipTrue: 10},
		bpf.LoadAbsolute{Off: 12, Size: 2}, // EtherType
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 8},
		bpf.LoadAbsolute{Off: ethernet + 9, Size: 1}, // protocol
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: ethernet + 6, Size: 2}, // fragment offset
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: ethernet},              // length of the header
		bpf.LoadIndirect{Off: ethernet + 2, Size: 2}, // destination port
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: portDHCP, SkipTrue: 1},
		bpf.RetConstant{Val: maxDHCP},
		bpf.RetConstant{Val: 0},
	}
}

// assemble returns a program as the kernel takes it.
func assemble(program []bpf.Instruction) (*unix.SockFprog, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}, nil
}

// bigEndian returns v as it is in a packet, in a number of this machine.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
