package udp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/meshd/udp"
	"meshnet/meshd/wire"
)

// sniffer reads what passes lo, as IP packets.
type sniffer int

func newSniffer(t *testing.T) sniffer {
	t.Helper()
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all&0xffff)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	return sniffer(fd)
}

// find returns the first IP packet of UDP that ends in payload, or its first fragment.
func (s sniffer) find(t *testing.T, payload []byte) []byte {
	t.Helper()
	b := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(int(s), b, 0)
		if err != nil {
			t.Fatalf("waiting for %.8x…: %v", payload, err)
		}
		if at := bytes.Index(b[:n], payload[:8]); at > 0 {
			return bytes.Clone(b[:n])
		}
	}
}

// whole reports how an IP packet may travel: df if IPv4's "don't fragment" is set, or it is IPv6; fragment if it is part of one.
func whole(packet []byte) (df, fragment bool) {
	if packet[0]>>4 == 4 {
		field := binary.BigEndian.Uint16(packet[6:])
		return field&0x4000 != 0, field&0x3fff != 0
	}
	const fragmentHeader = 44
	return true, packet[6] == fragmentHeader
}

// "Sends d with don't fragment set; the error wraps wire.ErrTooLong if d is longer than the device's MTU." Other datagrams do not
// have it set, before or after, and are cut where they have to be.
func TestProbe(t *testing.T) {
	newNamespace(t)
	ip(t, "link set lo mtu 1500")
	for _, test := range []struct {
		addr string
		max  int // the longest datagram that fits
	}{{"127.0.0.1:0", 1472}, {"[::1]:0", 1452}} { // no subtests: they would have other threads, in other namespaces
		probeOn(t, test.addr, test.max)
	}
}

func probeOn(t *testing.T, addr string, most int) {
	t.Helper()
	a, b := listenAt(t, addr), listenAt(t, addr)
	sniff := newSniffer(t)
	datagram := func(n int, name string) wire.Datagram {
		return wire.Datagram{Buf: append([]byte(name), make([]byte, n-len(name))...), Endpoint: wire.Endpoint{Addr: b.LocalAddr()}}
	}
	plain := func(n int, name string) (df, fragment bool) {
		t.Helper()
		d := datagram(n, name)
		send(t, a, []wire.Datagram{d})
		return whole(sniff.find(t, d.Buf))
	}
	is4 := a.LocalAddr().Addr().Is4()
	if df, fragment := plain(1232, "before.."); df == is4 || fragment {
		t.Errorf("%s: a datagram before: don't fragment %v, fragment %v", addr, df, fragment)
	}
	d := datagram(most, "probe...")
	if err := a.Probe(d); err != nil {
		t.Fatalf("%s: Probe(%d bytes) = %v", addr, most, err)
	}
	if df, fragment := whole(sniff.find(t, d.Buf)); !df || fragment {
		t.Errorf("%s: the probe: don't fragment %v, fragment %v", addr, df, fragment)
	}
	if err := a.Probe(datagram(most+1, "long....")); !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("%s: Probe(%d bytes) = %v, want ErrTooLong", addr, most+1, err)
	}
	if df, fragment := plain(most+500, "after..."); df == is4 || !fragment {
		t.Errorf("%s: a long datagram after: don't fragment %v, fragment %v", addr, df, fragment)
	}
	if n := a.Counters().SendTooBig.Load(); n != 0 {
		t.Errorf("%s: send_too_big = %d, want 0: a refused probe is an answer", addr, n)
	}
}

// "What ICMP has said about the path is ignored": a probe that is longer than the kernel believes leaves this host all the same.
func TestProbeIgnoresTheKernelsPathMTU(t *testing.T) {
	newNamespace(t)
	ip(t, "link set lo mtu 9000",
		"route add 192.0.2.0/24 dev lo mtu 1400", "addr add 192.0.2.1/32 dev lo",
		"route add local 192.0.2.2 dev lo mtu 1400")
	a, b := listenAt(t, "192.0.2.1:0"), listenAt(t, "192.0.2.2:0")
	d := wire.Datagram{Buf: make([]byte, 4000), Endpoint: wire.Endpoint{Addr: b.LocalAddr()}}
	if err := a.Probe(d); err != nil {
		t.Fatalf("Probe(4000 bytes) = %v", err)
	}
	wantSame(t, read(t, b, 1), []wire.Datagram{d})
}

// Probes and other datagrams at the same time: all arrive, and the socket is afterwards as it was.
func TestProbesBesideData(t *testing.T) {
	a, b := listenAt(t, "127.0.0.1:0"), listenAt(t, "127.0.0.1:0")
	const each = 200
	to := wire.Endpoint{Addr: b.LocalAddr()}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				if err := a.Probe(wire.Datagram{Buf: make([]byte, 1472), Endpoint: to}); err != nil {
					t.Errorf("Probe() = %v", err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				if _, err := a.WriteBatch([]wire.Datagram{{Buf: make([]byte, 1232), Endpoint: to}}); err != nil {
					t.Errorf("WriteBatch() = %v", err)
				}
			}
		})
	}
	wg.Wait()
	read(t, b, 4*each)
	how, err := unix.GetsockoptInt(udp.FD(a), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
	if err != nil || how != unix.IP_PMTUDISC_DONT {
		t.Errorf("IP_MTU_DISCOVER = %d, %v, want IP_PMTUDISC_DONT", how, err)
	}
}

func TestProbeErrors(t *testing.T) {
	a := listenAt(t, "127.0.0.1:0")
	v6 := wire.Endpoint{Addr: netip.MustParseAddrPort("[::1]:9")}
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1232), Endpoint: v6}); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("Probe(to IPv6) = %v, want EAFNOSUPPORT", err)
	}
	nowhere := wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1232), Endpoint: nowhere}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Probe(to port 0) = %v, want EINVAL", err)
	}
	a.Close()
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1232), Endpoint: nowhere}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Probe after Close = %v, want net.ErrClosed", err)
	}
}

// listenAt is listen on a literal address.
func listenAt(t *testing.T, addr string) *udp.Conn {
	t.Helper()
	return listen(t, udp.Config{Addr: netip.MustParseAddrPort(addr)})
}
