package tap

import (
	"fmt"

	"golang.org/x/sys/unix"

	"meshnet/meshd/offload"
)

// Offload is something that the kernel can do for a whole burst of frames at once.
type Offload struct {
	Name string
	On   bool
	Why  string // not, if it is off
}

// Off says which offloads not to use, for tests and for whoever hunts a fault.
type Off struct {
	Header bool // checksums left to do, and all that follows
	TSO    bool // TCP segments that come as one
	USO    bool // UDP datagrams that come as one
}

// offloads are those of an open device.
type offloads struct {
	header, tso, uso Offload
}

// Flags of TUNSETOFFLOAD that package unix has not (include/uapi/linux/if_tun.h); USO since Linux 6.2.
const (
	tunUSO4 = 0x20
	tunUSO6 = 0x40

	tunTSO = unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	tunUSO = tunUSO4 | tunUSO6
)

const switchedOff = "it was switched off"

// chooseHeader decides on the virtio header, on which the others depend.
func (o *offloads) chooseHeader(fd int, off Off) bool {
	o.header = Offload{Name: "tap-checksum"}
	features, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	switch {
	case off.Header:
		o.header.Why = switchedOff
	case err != nil || features&unix.IFF_VNET_HDR == 0:
		o.header.Why = "the kernel's TAP has no virtio header"
	default:
		o.header.On = true
	}
	return o.header.On
}

// choose tells the kernel which frames it may leave undone. Whoever had the device before may have left others on.
func (o *offloads) choose(fd int, off Off) error {
	o.tso, o.uso = Offload{Name: "tap-tso"}, Offload{Name: "tap-uso"}
	if !o.header.On {
		o.tso.Why, o.uso.Why = o.header.Why, o.header.Why
		return setOffload(fd, 0)
	}
	if err := setHeader(fd); err != nil {
		return err
	}
	flags := unix.TUN_F_CSUM
	if off.TSO {
		o.tso.Why = switchedOff
	} else {
		o.tso.On, flags = true, flags|tunTSO
	}
	if off.USO {
		o.uso.Why = switchedOff
		return setOffload(fd, flags)
	}
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags|tunUSO) == nil {
		o.uso.On = true
		return nil
	}
	o.uso.Why = "the kernel is older than Linux 6.2"
	return setOffload(fd, flags)
}

// setHeader makes the virtio header what package offload reads and writes: another program may have left a longer one, and a host may
// be big-endian.
func setHeader(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, offload.HeaderLen); err != nil {
		return fmt.Errorf("setting the length of the virtio header: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil {
		return fmt.Errorf("setting the byte order of the virtio header: %w", err)
	}
	return nil
}

func setOffload(fd, flags int) error {
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("choosing offloads %#x: %w", flags, err)
	}
	return nil
}

// Offloads returns what the kernel does for us, and why it does not do the rest.
func (d *Device) Offloads() []Offload {
	return []Offload{d.offloads.header, d.offloads.tso, d.offloads.uso}
}
