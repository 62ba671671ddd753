package tap_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newNamespace moves the test to a network namespace of its own. The test's goroutine keeps its thread, which the
// runtime does not use again: it ends with the test, and the namespace with it. The machine's own namespace is never
// touched.
func newNamespace(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network devices in a namespace of its own: run it as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
}

// mustLink returns a device.
func mustLink(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("looking for %s: %v", name, err)
	}
	return link
}

// addVeth makes a veth pair of two devices that are up and silent.
func addVeth(t *testing.T, a, b string) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{a, b} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(mustLink(t, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// A packetSocket sends and receives the frames of one EtherType on a device (packet(7)).
type packetSocket struct {
	t  testing.TB
	fd int
}

const testEtherType = 0x88b5 // IEEE 802 local experimental

func openPacket(t testing.TB, device string) packetSocket {
	t.Helper()
	protocol := uint16(testEtherType>>8 | testEtherType&0xff<<8) // network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: mustLink(t, device).Attrs().Index}
	if err := unix.Bind(fd, to); err != nil {
		t.Fatal(err)
	}
	timeout := unix.NsecToTimeval(int64(10 * time.Second)) // a frame that never comes fails the test
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	return packetSocket{t, fd}
}

func (p packetSocket) send(frame []byte) {
	p.t.Helper()
	if _, err := unix.Write(p.fd, frame); err != nil {
		p.t.Fatalf("sending a frame: %v", err)
	}
}

func (p packetSocket) receive() []byte {
	p.t.Helper()
	buf := make([]byte, 2000)
	n, err := unix.Read(p.fd, buf)
	if err != nil {
		p.t.Fatalf("receiving a frame: %v", err)
	}
	return buf[:n]
}

var (
	macA = [6]byte{0x02, 0, 0, 0, 0, 0x0a}
	macB = [6]byte{0x02, 0, 0, 0, 0, 0x0b}
)

// frame returns an Ethernet frame from macB to macA of the given length in bytes, header included, filled with value.
func frame(length int, value byte) []byte {
	f := append(append([]byte(nil), macA[:]...), macB[:]...)
	f = append(f, testEtherType>>8, testEtherType&0xff)
	for len(f) < length {
		f = append(f, value)
	}
	return f
}
