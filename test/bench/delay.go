package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// offloads are what a NIC takes over, so that the cable carries super-frames as a veth does: checksums, TCP and UDP
// segmentation (include/uapi/linux/if_tun.h).
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | 0x20 /* USO4 */ | 0x40 /* USO6 */

// queueLimit is how many bytes are under way in a direction, at most: 100 ms of 20 Gbit/s.
const queueLimit = 256 << 20

// shuttle is the cable with a delay: a TAP eth0 in each host, and frames of each come out of the other later.
func (s *site) shuttle(pids [2]int) {
	var taps [2]*os.File
	for i, pid := range pids {
		s.must(inNetNS(pid, func() (err error) {
			taps[i], err = openTAP("eth0")
			return err
		}))
	}
	var done sync.WaitGroup
	for i := range taps {
		line := newDelayLine(s.cond.Delay)
		done.Go(func() { line.fill(taps[i]) })
		done.Go(func() { line.drain(taps[1-i]) })
	}
	s.tb.Cleanup(func() { // the readers' end is the lines' end
		for _, t := range taps {
			t.Close()
		}
		done.Wait()
	})
}

func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the TAP %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("setting the offloads of the TAP %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// delayLine is one direction of the cable.
type delayLine struct {
	delay time.Duration

	mu    sync.Mutex
	more  *sync.Cond // queue or ended has changed
	queue []delayed  // in order of arrival, and so of due
	bytes int        // in queue
	ended bool
}

type delayed struct {
	due   time.Time
	frame []byte // with its virtio header
}

func newDelayLine(d time.Duration) *delayLine {
	l := &delayLine{delay: d}
	l.more = sync.NewCond(&l.mu)
	return l
}

// fill reads frames until the TAP is closed.
func (l *delayLine) fill(from *os.File) {
	buf := make([]byte, 1<<17)
	for {
		n, err := from.Read(buf)
		if err != nil {
			l.end()
			return
		}
		l.put(append([]byte(nil), buf[:n]...), time.Now())
	}
}

// put takes over frame. One that finds the line full is dropped, as a wire drops it.
func (l *delayLine) put(frame []byte, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes+len(frame) > queueLimit {
		return
	}
	l.queue = append(l.queue, delayed{now.Add(l.delay), frame})
	l.bytes += len(frame)
	l.more.Signal()
}

func (l *delayLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.more.Signal()
}

// take waits until the line is not empty and returns what is in it; false when it has ended.
func (l *delayLine) take() ([]delayed, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.ended {
		l.more.Wait()
	}
	frames := l.queue
	l.queue, l.bytes = nil, 0
	return frames, !l.ended
}

// drain writes frames when they are due, until the line has ended.
func (l *delayLine) drain(to *os.File) {
	for {
		frames, ok := l.take()
		if !ok {
			return
		}
		for _, f := range frames {
			time.Sleep(time.Until(f.due))
			to.Write(f.frame) // a TAP that is down or closed loses it
		}
	}
}
