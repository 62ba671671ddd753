package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Packets sends and receives whole frames on a container's eth0. It is for one goroutine.
type Packets struct {
	MAC    net.HardwareAddr // of eth0
	fd     int
	bursts int // a socket with virtio headers, which receives nothing
	to     unix.SockaddrLinklayer
	buf    []byte
}

// Packets opens one, until the end of the Lab. It receives what comes from then on.
func (c *Container) Packets() *Packets {
	tb := c.Host.lab.tb
	tb.Helper()
	p := &Packets{fd: -1, bursts: -1, buf: make([]byte, 1<<17)}
	err := c.inNetNS(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if p.fd, err = captureSocket(); err != nil {
			return err
		}
		p.MAC, p.to = eth0.HardwareAddr, unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: eth0.Index}
		if p.bursts, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Bind(p.fd, &p.to),
			unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.SetsockoptInt(p.bursts, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1))
	})
	if err != nil {
		tb.Fatalf("%s/%s: opening a packet socket: %v", c.Host.Name, c.Name, err)
	}
	tb.Cleanup(func() { unix.Close(p.fd); unix.Close(p.bursts) })
	return p
}

// Send puts frame on the wire as it is.
func (p *Packets) Send(frame []byte) error {
	return unix.Sendto(p.fd, frame, 0, &p.to)
}

// SendBurst puts a frame on the wire that is to be cut into segments: packet begins with what is still to be done to it, a
// struct virtio_net_hdr (include/uapi/linux/virtio_net.h).
func (p *Packets) SendBurst(packet []byte) error {
	return unix.Sendto(p.bursts, packet, 0, &p.to)
}

// Next returns the next frame that came in, with all of its VLAN tags, or nil if none comes within that time.
func (p *Packets) Next(within time.Duration) ([]byte, error) {
	deadline := time.Now().Add(within)
	control := make([]byte, 256)
	for {
		n, m, _, from, err := unix.Recvmsg(p.fd, p.buf, control, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			if time.Now().After(deadline) {
				return nil, nil
			}
		case err != nil:
			return nil, err
		default:
			if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype != unix.PACKET_OUTGOING {
				return withTag(bytes.Clone(p.buf[:n]), control[:m])
			}
		}
	}
}

// withTag puts the outer VLAN tag back, which the kernel takes out of the frame (struct tpacket_auxdata,
// include/uapi/linux/if_packet.h).
func withTag(frame, control []byte) ([]byte, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 || len(frame) < 12 {
			continue
		}
		if status := binary.NativeEndian.Uint32(m.Data); status&unix.TP_STATUS_VLAN_VALID != 0 {
			tag := binary.BigEndian.AppendUint16(nil, binary.NativeEndian.Uint16(m.Data[18:]))
			tag = binary.BigEndian.AppendUint16(tag, binary.NativeEndian.Uint16(m.Data[16:]))
			frame = append(frame[:12:12], append(tag, frame[12:]...)...)
		}
	}
	return frame, nil
}
