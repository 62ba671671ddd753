package tap_test

import (
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/meshd/tap"
)

// "One that is not of the sort that cfg asks for, and that nobody has open, is removed, made anew, and put back into its bridge,
// whose containers keep their links." One that somebody has open is left alone.
func TestOpenChangesTheSort(t *testing.T) {
	newNamespace(t)
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	d := open(t, tap.Config{Name: "mesh0"})
	if err := tap.Attach("mesh0", "meshbr0"); err != nil {
		t.Fatal(err)
	}
	bridge := mustLink(t, "meshbr0").Attrs().Index
	for _, queues := range []int{3, 2, 1, 1, 4} {
		before := mustLink(t, "mesh0").Attrs().Index
		if second, err := tap.Open(tap.Config{Name: "mesh0", Queues: queues}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Open for %d queues of a device that is open = %v, want EBUSY", queues, err)
			if err == nil {
				second.Close()
			}
		}
		if after := mustLink(t, "mesh0").Attrs().Index; after != before {
			t.Errorf("Open for %d queues made a device that is open anew", queues)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, tap.Config{Name: "mesh0", Queues: queues})
		link := mustLink(t, "mesh0").(*netlink.Tuntap)
		if link.MasterIndex != bridge || link.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 != (queues > 1) || link.NonPersist {
			t.Errorf("%d queues: device in bridge %d with flags %x, want bridge %d", queues, link.MasterIndex, link.Flags, bridge)
		}
		if d.Queues() != queues {
			t.Errorf("Queues = %d, want %d", d.Queues(), queues)
		}
	}
}

// "After Close the error is net.ErrClosed", for every queue that is waited on.
func TestCloseEndsAllQueues(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0", Queues: 3})
	var all sync.WaitGroup
	for i := range d.Queues() {
		all.Go(func() {
			for {
				if _, err := d.Queue(i).ReadBatch(make([][]byte, 8)); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("queue %d: ReadBatch = %v, want net.ErrClosed", i, err)
					}
					return
				}
			}
		})
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	all.Wait()
	if _, err := d.WriteBatch(packets(frame(60, 1))); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch = %v, want net.ErrClosed", err)
	}
}

// "Its flows are then read on the others": nothing is lost when one of two queues is closed.
func TestClosedQueueLeavesItsFlows(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0", Queues: 2})
	if err := d.Queue(1).Close(); err != nil {
		t.Fatal(err)
	}
	device := openPacket(t, "mesh0")
	for i := range 20 {
		device.send(frame(60+i, byte(i)))
	}
	read(t, d, 20)
}

// "One that is written by a queue is from then on read on it"; what Device.WriteBatch writes leaves flows "where their hash puts
// them".
func TestFlowsStickToTheirQueue(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0", Queues: 2})
	device := openPacket(t, "mesh0")
	seen := make(chan int, 64)
	for i := range d.Queues() {
		go func() {
			batch := make([][]byte, 8)
			for {
				n, err := d.Queue(i).ReadBatch(batch)
				if err != nil {
					return
				}
				for _, p := range batch[:n] {
					if len(p) > 24 && p[22] == testEtherType>>8 && p[23] == testEtherType&0xff {
						seen <- i
					}
				}
			}
		}()
	}
	from := func() int {
		device.send(frame(60, 1))
		return <-seen
	}
	home := from()
	back := frame(60, 1)
	copy(back, macB[:])
	copy(back[6:], macA[:])
	for range 10 {
		if n, err := d.WriteBatch(packets(back)); n != 1 || err != nil {
			t.Fatalf("WriteBatch = %d, %v", n, err)
		}
		if got := from(); got != home {
			t.Errorf("after Device.WriteBatch the flow came by queue %d, want %d", got, home)
		}
	}
	for _, i := range []int{1, 0, 1} {
		if n, err := d.Queue(i).WriteBatch(packets(back)); n != 1 || err != nil {
			t.Fatalf("WriteBatch = %d, %v", n, err)
		}
		if got := from(); got != i {
			t.Errorf("after WriteBatch of queue %d the flow came by queue %d", i, got)
		}
	}
}
