package tap

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	cloneDevice = "/dev/net/tun"

	// txQueueLen is how many frames wait for us in the kernel. A TAP's default is 500 (TUN_READQ_SIZE,
	// drivers/net/tun.c), which one burst of a container's TCP window overruns.
	txQueueLen = 1000
)

// Config names the device.
type Config struct {
	Name string // 1 to 15 bytes
	MTU  int    // bytes of payload in an Ethernet frame; 0 leaves the kernel's 1500, or what the device has
}

// A Device is an open TAP device. All methods may be called from several goroutines at once.
type Device struct {
	name   string
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool

	readMu sync.Mutex // held by the one ReadBatch that waits
	reader *reader

	writeMu sync.Mutex // held by the one WriteBatch that writes
	writer  *writer

	counters Counters
}

// Open opens the TAP device cfg.Name, which it makes first if there is none, gives it its MTU and a queue of 1,000
// frames, switches IPv6 off on it, so that the host itself says nothing on the overlay, and sets it up. A device of
// another kind is left alone. The error says the way out; it wraps EBUSY if another process has the device open.
func Open(cfg Config) (*Device, error) {
	d, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening TAP device %s: %w", cfg.Name, err)
	}
	return d, nil
}

func open(cfg Config) (*Device, error) {
	existed, err := lookTAP(cfg.Name)
	if err != nil {
		return nil, err
	}
	fd, err := attach(cfg.Name)
	if err != nil {
		return nil, err
	}
	if err := configure(fd, cfg); err != nil {
		if !existed {
			unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0)
		}
		unix.Close(fd)
		return nil, err
	}
	d := &Device{name: cfg.Name, file: os.NewFile(uintptr(fd), cloneDevice)}
	if d.raw, err = d.file.SyscallConn(); err != nil {
		d.file.Close()
		return nil, err
	}
	d.reader, d.writer = newReader(), newWriter(&d.counters)
	return d, nil
}

// lookTAP reports whether the device is there; a device of another kind is an error.
func lookTAP(name string) (bool, error) {
	link, err := lookLink(name)
	if link == nil {
		return false, err
	}
	tuntap, ok := link.(*netlink.Tuntap)
	switch {
	case !ok:
		return false, fmt.Errorf("the name is taken by a device of kind %q; remove it, or choose another name", kind(link))
	case tuntap.Mode != netlink.TUNTAP_MODE_TAP:
		return false, errors.New("the name is taken by a TUN device; remove it, or choose another name")
	case tuntap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0:
		return false, errors.New("the name is taken by a multi-queue TAP device; remove it, or choose another name")
	}
	return true, nil
}

// attach opens the clone device and makes it the named TAP. The descriptor does not block, and must not be polled
// before: the kernel reports an error on one that is not attached.
func attach(name string) (int, error) {
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, cloneError(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return -1, attachError(err)
	}
	return fd, nil
}

// configure makes the attached device what Open promises.
func configure(fd int, cfg Config) error {
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making it persistent: %w", err)
	}
	// Whoever had the device before may have left offloads on; without a virtio header they would corrupt frames.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("switching offloads off: %w", err)
	}
	link, err := netlink.LinkByName(cfg.Name)
	if err != nil {
		return err
	}
	if cfg.MTU != 0 {
		if err := netlink.LinkSetMTU(link, cfg.MTU); err != nil {
			return fmt.Errorf("setting MTU %d: %w", cfg.MTU, err)
		}
	}
	if err := netlink.LinkSetTxQLen(link, txQueueLen); err != nil {
		return fmt.Errorf("setting the queue length: %w", err)
	}
	if err := disableIPv6(cfg.Name); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	return nil
}

// Name returns the device's name.
func (d *Device) Name() string { return d.name }

// Counters returns the device's counters, which may be read at any time.
func (d *Device) Counters() *Counters { return &d.counters }

// Close closes the device, and waits until it is free to be opened again; the device itself stays. ReadBatch and
// WriteBatch, those that wait included, return net.ErrClosed. It may be called more than once.
func (d *Device) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	return d.file.Close()
}

// Remove removes the device; that there is none is not an error. A device of another kind is left alone. A process that
// has it open gets an error from its next read.
func Remove(name string) error {
	existed, err := lookTAP(name)
	if err == nil && existed {
		err = deleteLink(name)
	}
	if err != nil {
		return fmt.Errorf("removing TAP device %s: %w", name, err)
	}
	return nil
}

func cloneError(err error) error {
	switch err {
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return fmt.Errorf("opening %s: %w: load the kernel module (modprobe tun); "+
			"inside a container, give it the device", cloneDevice, err)
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("opening %s: %w: run as root; inside a container, allow it the device", cloneDevice, err)
	}
	return fmt.Errorf("opening %s: %w", cloneDevice, err)
}

func attachError(err error) error {
	switch err {
	case unix.EBUSY:
		return fmt.Errorf("%w: another process has it open (another meshd?); stop that, or choose another name", err)
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("%w: it needs CAP_NET_ADMIN; run as root", err)
	}
	return err
}
