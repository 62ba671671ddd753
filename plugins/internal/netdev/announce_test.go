package netdev_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

// listenARP returns a socket that gets the ARP packets that reach a device of this thread's namespace, and waits a
// second for one at most.
func listenARP(t *testing.T, device string) int {
	t.Helper()
	arp := binary.NativeEndian.Uint16([]byte{8, 6}) // ETH_P_ARP in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	i, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// "Who still has its last holder's MAC address learns the new one": the announcement crosses the bridge.
func TestAddAnnounces(t *testing.T) {
	meshdtest.Host(t)
	fd := listenARP(t, meshdtest.Bridge)
	if _, err := netdev.Add(openContainer(t), testConfig()); err != nil {
		t.Fatal(err)
	}
	want := []byte{
		0, 1, 8, 0, 6, 4, 0, 1, // request for IPv4 on Ethernet
		2, 0, 0, 0xaa, 0xbb, 0xcc, 10, 77, 0, 5, // sender
		0, 0, 0, 0, 0, 0, 10, 77, 0, 5, // target
	}
	packet := make([]byte, 1500)
	for {
		n, _, err := unix.Recvfrom(fd, packet, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("no announcement has crossed the bridge: %v", err)
		}
		if bytes.Equal(packet[:n], want) {
			return
		}
		if !bytes.Equal(packet[14:18], []byte{10, 77, 0, 5}) {
			t.Errorf("ARP packet % x, want % x", packet[:n], want)
		}
	}
}

// Without an IPv4 address there is nothing to announce, and nothing to wait for.
func TestAddWithoutIPv4(t *testing.T) {
	meshdtest.Host(t)
	n, c := openContainer(t), testConfig()
	c.Addrs, c.Routes = c.Addrs[:1], c.Routes[:2]
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check = %v", err)
	}
}
