package tap_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/meshd/tap"
)

// offs are the ways to run.
var offs = []tap.Off{{}, {Header: true}, {TSO: true}, {USO: true}, {TSO: true, USO: true}}

// A wire is two TAP devices in namespaces of their own, with addresses 10.9.0.1 and .2, and what is read from one is written to
// the other.
type wire struct {
	a, b *tap.Device
	read atomic.Int64 // packets from b
	long atomic.Int64 // of these, longer than a frame of 1,500 bytes
}

// connect makes the first device, calls there in its namespace, then the second, in whose namespace the test stays.
func connect(t *testing.T, offA, offB tap.Off, there func()) *wire {
	t.Helper()
	w := new(wire)
	end := func(off tap.Off, addr string) *tap.Device {
		newNamespace(t)
		d := open(t, tap.Config{Name: "mesh0", MTU: 1500, Off: off})
		ip, err := netlink.ParseAddr(addr)
		if err == nil {
			err = netlink.AddrAdd(mustLink(t, "mesh0"), ip)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	w.a = end(offA, "10.9.0.1/24")
	there()
	w.b = end(offB, "10.9.0.2/24")
	go pump(w.a, w.b, new(wire))
	go pump(w.b, w.a, w)
	return w
}

// pump carries packets, and counts them in count.
func pump(from, to *tap.Device, count *wire) {
	batch := make([][]byte, 64)
	for {
		n, err := from.ReadBatch(batch)
		if err != nil {
			return
		}
		count.read.Add(int64(n))
		for _, p := range batch[:n] {
			if len(p) > 1600 {
				count.long.Add(1)
			}
		}
		if _, err := to.WriteBatch(batch[:n]); err != nil {
			return
		}
	}
}

// A TCP stream arrives intact with each offload on or off at either end. With them it comes as super-frames: the kernel never
// segments in software; without TSO there are none.
func TestTCP(t *testing.T) {
	const length = 4 << 20
	sent := make([]byte, length)
	rand.NewChaCha8([32]byte{1}).Read(sent)
	for _, off := range offs {
		for _, other := range offs[:2] {
			t.Run(fmt.Sprintf("%+v to %+v", off, other), func(t *testing.T) {
				received := make(chan []byte, 1)
				w := connect(t, other, off, func() {
					l, err := net.Listen("tcp4", "10.9.0.1:80")
					if err != nil {
						t.Fatal(err)
					}
					go func() {
						defer l.Close()
						if c, err := l.Accept(); err == nil {
							defer c.Close()
							got, _ := io.ReadAll(c)
							received <- got
						}
					}()
				})
				c, err := net.DialTimeout("tcp4", "10.9.0.1:80", 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := c.Write(sent); err != nil {
					t.Fatal(err)
				}
				c.Close()
				select {
				case got := <-received:
					if !bytes.Equal(got, sent) {
						t.Errorf("%d bytes arrived, which are not the %d that were sent", len(got), len(sent))
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the stream did not end")
				}
				segments := int64(length / 1448)
				if off.Header || off.TSO {
					if n := w.long.Load(); n != 0 {
						t.Errorf("%d super-frames without TSO", n)
					}
				} else if n := w.read.Load(); n > segments/10 {
					t.Errorf("%d packets for %d segments, want much fewer", n, segments)
				}
			})
		}
	}
}

// Datagrams that are sent as one arrive one by one, whole and with checksums that the kernel accepts: as one frame if both devices
// have USO, and cut here or there if not.
func TestUDPSegments(t *testing.T) {
	const count, size = 40, 1000
	for _, off := range offs {
		for _, other := range offs {
			t.Run(fmt.Sprintf("%+v to %+v", off, other), func(t *testing.T) {
				var in *net.UDPConn
				w := connect(t, other, off, func() {
					var err error
					if in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 53}); err != nil {
						t.Fatal(err)
					}
				})
				defer in.Close()
				out, err := net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				segment(t, out, size)
				var sent []byte
				for i := range count {
					sent = append(sent, bytes.Repeat([]byte{byte(i + 1)}, size)...)
				}
				if _, err := out.Write(sent); err != nil {
					t.Fatal(err)
				}
				in.SetReadDeadline(time.Now().Add(10 * time.Second))
				buf := make([]byte, 2*size)
				for i := range count {
					n, err := in.Read(buf)
					if err != nil || !bytes.Equal(buf[:n], sent[i*size:][:size]) {
						t.Fatalf("datagram %d = %.4x… of %d bytes, %v", i, buf[:n], n, err)
					}
				}
				uso := w.b.Offloads()[2].On
				if long := w.long.Load(); uso && long != 1 || !uso && long != 0 {
					t.Errorf("%d long frames with USO %v", long, uso)
				}
			})
		}
	}
}

// segment has the kernel cut what is written to c into datagrams of size bytes (udp(7)).
func segment(t *testing.T, c *net.UDPConn, size int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}

// "Offloads returns what the kernel does for us, and why it does not do the rest": all follow from the header.
func TestOffloads(t *testing.T) {
	newNamespace(t)
	for i, off := range offs {
		d := open(t, tap.Config{Name: fmt.Sprintf("mesh%d", i), Off: off})
		isOff := []bool{off.Header, off.Header || off.TSO, off.Header || off.USO}
		for j, o := range d.Offloads() {
			if o.On == isOff[j] || (o.Why == "") == isOff[j] {
				t.Errorf("%+v: %+v", off, o)
			}
		}
	}
}

// A device that another program left with a longer virtio header is used with ours.
func TestHeaderLengthIsSet(t *testing.T) {
	newNamespace(t)
	first := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	if err := tap.SetHeaderLen(first, 12); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	d := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	device := openPacket(t, "mesh0")
	device.send(frame(60, 1))
	if got := read(t, d, 1)[0]; !bytes.Equal(got, frame(60, 1)) {
		t.Errorf("read %x, want %x", got, frame(60, 1))
	}
}
