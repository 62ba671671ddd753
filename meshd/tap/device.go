package tap

import (
	"errors"
	"fmt"
	"slices"

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
	Off  Off    // what not to use

	Queues int // each is read on its own, and has its own flows; 0 = 1
}

// A Device is an open TAP device. What the methods of Queue do, it does by its first queue, but for writing by several: see
// WriteBatch. All methods but ReadBatch may be called from several goroutines at once.
type Device struct {
	name     string
	offloads offloads
	queues   []*Queue // as many as were asked for
	aside    []*Queue // by which Device.WriteBatch writes, as many as can at once; queues[0] if there is one
	counters Counters
}

// Open opens the TAP device cfg.Name, which it makes first if there is none, gives it its MTU and queues of 1,000
// frames, switches IPv6 off on it, so that the host itself says nothing on the overlay, and sets it up. A device of
// another kind is left alone. The error says the way out; it wraps EBUSY if another process has the device open.
//
// The kernel fixes when it makes a device whether that has several queues. One that is not of the sort that cfg asks for, and that
// nobody has open, is removed, made anew, and put back into its bridge, whose containers keep their links.
func Open(cfg Config) (*Device, error) {
	d, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening TAP device %s: %w", cfg.Name, err)
	}
	return d, nil
}

func open(cfg Config) (*Device, error) {
	cfg.Queues = max(cfg.Queues, 1)
	there, err := lookTAP(cfg.Name)
	if err != nil {
		return nil, err
	}
	bridge := 0
	if there != nil && there.Queues+there.DisabledQueues > 0 {
		return nil, attachError(unix.EBUSY) // of a device with several queues, anybody could have some
	}
	if there != nil && several(there) != (cfg.Queues > 1) {
		if err := removeUnused(there); err != nil {
			return nil, err
		}
		there, bridge = nil, there.MasterIndex
	}
	d := &Device{name: cfg.Name}
	fd, err := attach(cfg, &d.offloads)
	if err != nil {
		return nil, err
	}
	err = configure(fd, cfg, bridge, &d.offloads)
	if err == nil {
		err = d.addQueues(fd, cfg)
	} else {
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil {
		err = errors.Join(err, d.Close())
		if there == nil {
			err = errors.Join(err, deleteLink(cfg.Name))
		}
		return nil, err
	}
	return d, nil
}

// lookTAP returns the device, or nil if there is none; a device of another kind is an error.
func lookTAP(name string) (*netlink.Tuntap, error) {
	link, err := lookLink(name)
	if link == nil {
		return nil, err
	}
	tuntap, ok := link.(*netlink.Tuntap)
	switch {
	case !ok:
		return nil, fmt.Errorf("the name is taken by a device of kind %q; remove it, or choose another name", kind(link))
	case tuntap.Mode != netlink.TUNTAP_MODE_TAP:
		return nil, errors.New("the name is taken by a TUN device; remove it, or choose another name")
	}
	return tuntap, nil
}

// attach opens the clone device and makes it a queue of the named TAP, with a virtio header before each frame if the kernel has that.
// The descriptor does not block.
func attach(cfg Config, o *offloads) (int, error) {
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, cloneError(err)
	}
	ifr, err := unix.NewIfreq(cfg.Name)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if o.chooseHeader(fd, cfg.Off) {
		flags |= unix.IFF_VNET_HDR
	}
	if cfg.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return -1, attachError(err)
	}
	return fd, nil
}

// configure makes the attached device what Open promises, and a port of the bridge with that index, unless it is 0.
func configure(fd int, cfg Config, bridge int, o *offloads) error {
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making it persistent: %w", err)
	}
	if err := o.choose(fd, cfg.Off); err != nil {
		return err
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
	if bridge != 0 {
		if err := netlink.LinkSetMasterByIndex(link, bridge); err != nil {
			return fmt.Errorf("putting it back into its bridge: %w", err)
		}
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
	var errs []error
	for _, q := range slices.Concat(d.queues, d.aside) {
		errs = append(errs, q.Close())
	}
	return errors.Join(errs...)
}

// Remove removes the device; that there is none is not an error. A device of another kind is left alone. A process that
// has it open gets an error from its next read.
func Remove(name string) error {
	there, err := lookTAP(name)
	if err == nil && there != nil {
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
