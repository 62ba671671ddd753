package tap_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/meshd/tap"
)

// load writes to d and reads what comes back from it until either fails, and calls whether for each frame that was read.
func load(t *testing.T, d *tap.Device, each func()) (wait func()) {
	var all sync.WaitGroup
	fails := func(doing string, err error) {
		if !errors.Is(err, unix.EBADFD) {
			t.Errorf("%s a device that was removed: %v, want EBADFD", doing, err)
		}
	}
	all.Go(func() {
		batch := packets(frame(60, 1), frame(1400, 2), frame(1514, 3))
		for {
			if _, err := d.WriteBatch(batch); err != nil {
				fails("writing to", err)
				return
			}
		}
	})
	all.Go(func() {
		batch := make([][]byte, 8)
		for {
			n, err := d.ReadBatch(batch)
			if err != nil {
				fails("reading from", err)
				return
			}
			for range n {
				each()
			}
		}
	})
	return all.Wait
}

// A device whose MTU changes under load goes on; one that is removed ends reading and writing, with EBADFD.
func TestChangesUnderLoad(t *testing.T) {
	for _, queues := range []int{1, 2} {
		newNamespace(t)
		d := open(t, tap.Config{Name: "mesh0", MTU: 1500, Queues: queues})
		device := openPacket(t, "mesh0")
		came := make(chan struct{}, 1000)
		wait := load(t, d, func() {
			select {
			case came <- struct{}{}:
			default:
			}
		})
		for i := range 40 {
			if err := netlink.LinkSetMTU(mustLink(t, "mesh0"), 1400+i%2*100); err != nil {
				t.Fatal(err)
			}
			device.send(frame(1000, byte(i)))
			if queues == 1 {
				<-came
			}
		}
		if err := tap.Remove("mesh0"); err != nil {
			t.Fatal(err)
		}
		wait()
		if written := d.Counters().Written.Load(); written == 0 {
			t.Error("nothing was written")
		}
	}
}
