package tap

import (
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/meshd/ready"
)

// A Queue is one of the ways into and out of a Device. The kernel spreads flows over those of a device by their hash; one that is
// written by a queue is from then on read on it (tun_flow_update in drivers/net/tun.c). ReadBatch belongs to one goroutine; the
// other methods may be called from several at once.
type Queue struct {
	device *Device
	file   *ready.File

	reader reader // of the goroutine that calls ReadBatch

	writeMu sync.Mutex // held by the one WriteBatch that writes
	writer  writer
}

// Queues returns how many queues d has.
func (d *Device) Queues() int { return len(d.queues) }

// Queue returns queue i of d, from 0.
func (d *Device) Queue(i int) *Queue { return d.queues[i] }

// ReadBatch is that of the first queue.
func (d *Device) ReadBatch(packets [][]byte) (int, error) { return d.queues[0].ReadBatch(packets) }

// WriteBatch is that of a queue. If d has several, it is one that nothing is read on: the flows stay where their hash puts them,
// whoever writes. There are as many of these, so that as many goroutines can write at once.
func (d *Device) WriteBatch(packets [][]byte) (int, error) {
	q := d.lockAside()
	defer q.writeMu.Unlock()
	return q.write(packets)
}

// lockAside returns a queue to write by that nobody writes by, or waits for one.
func (d *Device) lockAside() *Queue {
	for _, q := range d.aside {
		if q.writeMu.TryLock() {
			return q
		}
	}
	d.aside[0].writeMu.Lock()
	return d.aside[0]
}

// Close closes this queue, and waits until nobody uses it; its flows are then read on the others. ReadBatch and WriteBatch, those
// that wait included, return net.ErrClosed. It may be called more than once.
func (q *Queue) Close() error {
	if err := q.file.Close(); err != nil {
		return fmt.Errorf("closing TAP device %s: %w", q.device.name, err)
	}
	return nil
}

// addQueues makes fd the first queue of d, and attaches the others. If there is an error, those that there are remain to be closed.
func (d *Device) addQueues(fd int, cfg Config) error {
	first, err := d.newQueue(fd)
	if err != nil {
		return err
	}
	d.queues = append(d.queues, first)
	if cfg.Queues == 1 {
		d.aside = d.queues
		return nil
	}
	for len(d.queues) < cfg.Queues {
		q, err := d.addQueue(cfg)
		if err != nil {
			return fmt.Errorf("adding queue %d: %w", len(d.queues), err)
		}
		d.queues = append(d.queues, q)
	}
	for range cfg.Queues {
		q, err := d.addQueue(cfg)
		if err != nil {
			return fmt.Errorf("adding a queue to write by: %w", err)
		}
		d.aside = append(d.aside, q)
		if err := detach(q); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) addQueue(cfg Config) (*Queue, error) {
	fd, err := attach(cfg, &d.offloads)
	if err != nil {
		return nil, err
	}
	return d.newQueue(fd)
}

// newQueue returns a queue of descriptor fd, which it owns from now on.
func (d *Device) newQueue(fd int) (*Queue, error) {
	file, err := ready.New(fd)
	if err != nil {
		return nil, err
	}
	q := &Queue{device: d, file: file}
	q.reader.init(d.offloads.header.On)
	q.writer.init(&d.offloads, &d.counters)
	return q, nil
}

// detach has the kernel put no frames into q any more, which goes on taking what is written.
func detach(q *Queue) error {
	fd, ok := q.file.Acquire()
	if !ok {
		return unix.EBADF
	}
	defer q.file.Release()
	ifr, err := unix.NewIfreq(q.device.name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_DETACH_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETQUEUE, ifr); err != nil {
		return fmt.Errorf("detaching a queue to write by: %w", err)
	}
	return nil
}

// several reports whether the device was made for several queues.
func several(t *netlink.Tuntap) bool { return t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 }

// removeUnused removes a TAP device; the error of one with a single queue that somebody has open wraps EBUSY.
func removeUnused(t *netlink.Tuntap) error {
	if !several(t) {
		// The kernel does not say who has it, but lets only one.
		fd, err := attach(Config{Name: t.Name, Queues: 1}, new(offloads))
		if err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return deleteLink(t.Name)
}
