package tap

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Counters count a device's frames, and those that were lost here by the reason.
type Counters struct {
	Read          atomic.Uint64
	Written       atomic.Uint64
	WriteDown     atomic.Uint64 // the device is administratively down: EIO
	WriteNoBuffer atomic.Uint64 // ENOBUFS, ENOMEM
	WriteInvalid  atomic.Uint64 // any other error, such as EINVAL for less than an Ethernet header
}

// Snapshot returns the counters by name.
func (c *Counters) Snapshot() map[string]uint64 {
	return map[string]uint64{
		"read":            c.Read.Load(),
		"written":         c.Written.Load(),
		"write_down":      c.WriteDown.Load(),
		"write_no_buffer": c.WriteNoBuffer.Load(),
		"write_invalid":   c.WriteInvalid.Load(),
	}
}

// refused counts one frame that the kernel did not take.
func (c *Counters) refused(err error) {
	switch err {
	case unix.EIO:
		c.WriteDown.Add(1)
	case unix.ENOBUFS, unix.ENOMEM:
		c.WriteNoBuffer.Add(1)
	default:
		c.WriteInvalid.Add(1)
	}
}
