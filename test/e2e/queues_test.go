package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// "A TAP has a queue for each processor, four at most, and a flow stays in order because it comes by one": of many flows at once, in
// both directions, none is reordered, and each arrives.
func TestFlowsKeepTheirOrder(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	tap := status(hosts[0]).Networks[0].TAP
	several := strings.Contains(hosts[0].Output("ip", "-details", "link", "show", "dev", tap), " multi_queue ")
	if several != (runtime.NumCPU() > 1) {
		t.Errorf("with %d processors, TAP %s has several queues: %v", runtime.NumCPU(), tap, several)
	}
	const flows, count = 16, 2000
	errs := make(chan error, 2*flows)
	var all sync.WaitGroup
	for i := range 2 * flows {
		from, to := web, db
		if i%2 == 1 {
			from, to = db, web
		}
		out, err := from.ListenUDP(from.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { out.Close() })
		in, err := to.ListenUDP(to.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		all.Go(func() { errs <- inOrder(out, in, count) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// inOrder sends count numbered datagrams from out to in. Some may be lost, since nobody waits for anybody, but none may come before
// one that was sent earlier.
func inOrder(out, in *net.UDPConn, count int) error {
	sent := make(chan error, 1)
	go func() { sent <- sendNumbered(out, in.LocalAddr().(*net.UDPAddr).AddrPort(), count) }()
	last, came := -1, 0
	buf := make([]byte, 2048)
	for last < count-1 {
		in.SetReadDeadline(time.Now().Add(2 * time.Second)) // the last one may be lost
		n, err := in.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || n < 4 {
			return fmt.Errorf("reading %d bytes: %w", n, err)
		}
		number := int(binary.BigEndian.Uint32(buf))
		if number <= last {
			return fmt.Errorf("flow to %v: datagram %d came after %d", in.LocalAddr(), number, last)
		}
		last = number
		came++
	}
	if err := <-sent; err != nil {
		return err
	}
	if came == 0 {
		return fmt.Errorf("flow to %v: none of %d came", in.LocalAddr(), count)
	}
	return nil
}

// sendNumbered sends datagrams of different lengths, which begin with their number.
func sendNumbered(out *net.UDPConn, to netip.AddrPort, count int) error {
	b := make([]byte, 1400)
	for i := range count {
		binary.BigEndian.PutUint32(b, uint32(i))
		if _, err := out.WriteToUDPAddrPort(b[:4+(i*37)%1396], to); err != nil {
			return err
		}
	}
	return nil
}
