package tap_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/meshd/offload"
	"meshnet/meshd/tap"
)

func open(t testing.TB, cfg tap.Config) *tap.Device {
	t.Helper()
	d, err := tap.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// batcher is what a Device and a Queue can both do.
type batcher interface {
	ReadBatch(packets [][]byte) (int, error)
	WriteBatch(packets [][]byte) (int, error)
}

// packets puts an offload header that says nothing before each frame.
func packets(frames ...[]byte) [][]byte {
	var all [][]byte
	for _, f := range frames {
		all = append(all, append(make([]byte, offload.HeaderLen), f...))
	}
	return all
}

// read reads until count frames of the test have come; what the kernel says by itself is passed over.
func read(t *testing.T, d batcher, count int) [][]byte {
	t.Helper()
	var got [][]byte
	batch := make([][]byte, 8)
	for len(got) < count {
		n, err := d.ReadBatch(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range batch[:n] {
			if cap(p)-len(p) < offload.TailLen {
				t.Errorf("a packet has room for %d bytes behind it, want %d", cap(p)-len(p), offload.TailLen)
			}
			if f := p[offload.HeaderLen:]; len(f) >= 14 && f[12] == testEtherType>>8 && f[13] == testEtherType&0xff {
				if !offload.Plain(p) {
					t.Errorf("offload header of a plain frame = %x", p[:offload.HeaderLen])
				}
				got = append(got, bytes.Clone(f))
			}
		}
	}
	return got
}

// What a container sends through the bridge is read, and what is written reaches the container, whole and in order.
func TestFramesCrossTheBridge(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	addVeth(t, "host0", "eth0")
	for _, port := range []string{"mesh0", "host0"} {
		if err := tap.Attach(port, "meshbr0"); err != nil {
			t.Fatal(err)
		}
	}
	container := openPacket(t, "eth0")
	sizes := []int{60, 1514, 64, 999}
	var out [][]byte
	for i, size := range sizes {
		f := frame(size, byte(i+1))
		copy(f, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		container.send(f)
		out = append(out, f)
	}
	for i, f := range read(t, d, len(sizes)) {
		if !bytes.Equal(f, out[i]) {
			t.Errorf("read frame %d of %d bytes, want %d", i, len(f), len(out[i]))
		}
	}
	for i := range out {
		copy(out[i][6:], net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0c}) // macB is behind the other port now
	}
	if n, err := d.WriteBatch(packets(out...)); n != len(out) || err != nil {
		t.Fatalf("WriteBatch = %d, %v, want %d, <nil>", n, err, len(out))
	}
	for i := range out {
		if got := container.receive(); !bytes.Equal(got, out[i]) {
			t.Errorf("container received frame %d of %d bytes, want %d", i, len(got), len(out[i]))
		}
	}
}

// "An MTU, a queue of 1,000 frames, IPv6 off, up", and persistent.
func TestOpenConfigures(t *testing.T) {
	newNamespace(t)
	open(t, tap.Config{Name: "mesh0", MTU: 1400})
	link := mustLink(t, "mesh0").(*netlink.Tuntap)
	attrs := link.Attrs()
	if attrs.MTU != 1400 || attrs.TxQLen != 1000 || attrs.Flags&net.FlagUp == 0 || link.NonPersist {
		t.Errorf("MTU %d, queue %d, flags %v, not persistent %v; want 1400, 1000, up, persistent",
			attrs.MTU, attrs.TxQLen, attrs.Flags, link.NonPersist)
	}
	wantNoIPv6(t, "mesh0")
}

func wantNoIPv6(t *testing.T, name string) {
	t.Helper()
	addrs, err := netlink.AddrList(mustLink(t, name), netlink.FAMILY_V6)
	if err != nil || len(addrs) != 0 {
		t.Errorf("%s has IPv6 addresses %v, %v, want none", name, addrs, err)
	}
	setting, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6")
	if err != nil || strings.TrimSpace(string(setting)) != "1" {
		t.Errorf("disable_ipv6 of %s = %q, %v, want 1", name, setting, err)
	}
}

// "When meshd ends it stays, with its place in the bridge, and the next meshd opens it again."
func TestPersistence(t *testing.T) {
	newNamespace(t)
	first := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	if err := tap.Attach("mesh0", "meshbr0"); err != nil {
		t.Fatal(err)
	}
	before := mustLink(t, "mesh0").Attrs()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	after := mustLink(t, "mesh0").Attrs()
	if after.Index != before.Index || after.MasterIndex != before.MasterIndex || after.MasterIndex == 0 {
		t.Errorf("device %d in bridge %d became device %d in bridge %d",
			before.Index, before.MasterIndex, after.Index, after.MasterIndex)
	}
	bridge := openPacket(t, "meshbr0")
	if n, err := second.WriteBatch(packets(frame(60, 1))); n != 1 || err != nil {
		t.Fatalf("WriteBatch = %d, %v, want 1, <nil>", n, err)
	}
	if got := bridge.receive(); !bytes.Equal(got, frame(60, 1)) {
		t.Errorf("the bridge received %x", got)
	}
}

// "After Close the error is net.ErrClosed", for those that wait as for those that come.
func TestCloseUnblocks(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0"})
	result := make(chan error)
	go func() {
		for {
			if _, err := d.ReadBatch(make([][]byte, 1)); err != nil {
				result <- err
				return
			}
		}
	}()
	if err := d.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("waiting ReadBatch = %v, want net.ErrClosed", err)
	}
	if _, err := d.ReadBatch(make([][]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch = %v, want net.ErrClosed", err)
	}
	if _, err := d.WriteBatch(packets(frame(60, 1))); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch = %v, want net.ErrClosed", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close = %v, want <nil>", err)
	}
}

// "One that it refuses is counted and skipped."
func TestRefusedFramesLoseNoOthers(t *testing.T) {
	newNamespace(t)
	d := open(t, tap.Config{Name: "mesh0", MTU: 1500})
	device := openPacket(t, "mesh0")
	batch := append(packets(frame(14, 0)[:9], frame(60, 1), nil, frame(60, 2)), nil, make([]byte, offload.HeaderLen-1))
	n, err := d.WriteBatch(batch)
	if n != 2 || err != nil {
		t.Errorf("WriteBatch = %d, %v, want 2, <nil>", n, err)
	}
	for value := byte(1); value <= 2; value++ {
		if got := device.receive(); !bytes.Equal(got, frame(60, value)) {
			t.Errorf("received %x, want frame %d", got, value)
		}
	}
	if err := netlink.LinkSetDown(mustLink(t, "mesh0")); err != nil {
		t.Fatal(err)
	}
	if n, err := d.WriteBatch(packets(frame(60, 3), frame(60, 4))); n != 0 || err != nil {
		t.Errorf("WriteBatch on a device that is down = %d, %v, want 0, <nil>", n, err)
	}
	counts := d.Counters().Snapshot()
	if counts["written"] != 2 || counts["write_invalid"] != 4 || counts["write_down"] != 2 {
		t.Errorf("counters = %v, want 2 written, 4 invalid, 2 down", counts)
	}
}

// "Any other error, such as EBADFD after the device was removed, is final."
func TestRemove(t *testing.T) {
	newNamespace(t)
	if err := tap.Remove("mesh0"); err != nil {
		t.Errorf("Remove of what is not there = %v, want <nil>", err)
	}
	d := open(t, tap.Config{Name: "mesh0"})
	result := make(chan error)
	go func() {
		for {
			if _, err := d.ReadBatch(make([][]byte, 1)); err != nil {
				result <- err
				return
			}
		}
	}()
	if err := tap.Remove("mesh0"); err != nil {
		t.Errorf("Remove = %v", err)
	}
	if err := <-result; !errors.Is(err, unix.EBADFD) || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("ReadBatch = %v, want EBADFD", err)
	}
	if _, err := d.WriteBatch(packets(frame(60, 1))); !errors.Is(err, unix.EBADFD) {
		t.Errorf("WriteBatch = %v, want EBADFD", err)
	}
	if _, err := netlink.LinkByName("mesh0"); err == nil {
		t.Error("the device is still there")
	}
}

// "A device of another kind is left alone. The error says the way out."
func TestOpenConflicts(t *testing.T) {
	newNamespace(t)
	addVeth(t, "veth0", "veth1")
	tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN,
		Flags: netlink.TUNTAP_NO_PI}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatal(err)
	}
	open(t, tap.Config{Name: "busy0"})
	tests := []struct{ name, device, says string }{
		{"veth", "veth0", `kind "veth"; remove it, or choose another name`},
		{"TUN", "tun0", "a TUN device; remove it"},
		{"busy", "busy0", "another process has it open"},
		{"loopback", "lo", "remove it, or choose another name"},
		{"name too long", "sixteen-letters-", "1 to 15 bytes"},
		{"no name", "", "1 to 15 bytes"},
		{"pattern", "mesh%d", "no device name"},
		{"path", "../mesh", "no device name"},
	}
	for _, tt := range tests {
		d, err := tap.Open(tap.Config{Name: tt.device})
		if err == nil {
			d.Close()
			t.Errorf("%s: Open(%q) succeeded", tt.name, tt.device)
		} else if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.device) {
			t.Errorf("%s: Open(%q) = %v, want it to say %q", tt.name, tt.device, err, tt.says)
		}
		if (tt.name == "busy") != errors.Is(err, unix.EBUSY) {
			t.Errorf("%s: Open(%q) = %v, errors.Is EBUSY is wrong", tt.name, tt.device, err)
		}
	}
	if err := tap.Remove("veth0"); err == nil {
		t.Error("Remove of a veth succeeded")
	}
	mustLink(t, "veth0")
}

// An Open that fails half way leaves no device behind.
func TestFailedOpenLeavesNothing(t *testing.T) {
	newNamespace(t)
	if d, err := tap.Open(tap.Config{Name: "mesh0", MTU: 10}); err == nil {
		d.Close()
		t.Fatal("Open with MTU 10 succeeded")
	}
	if _, err := netlink.LinkByName("mesh0"); err == nil {
		t.Error("the device is there")
	}
}

// ReadBatch and WriteBatch do "not allocate", with and without the virtio header.
func TestAllocations(t *testing.T) {
	newNamespace(t)
	for i, off := range []tap.Off{{}, {Header: true}} {
		name := fmt.Sprintf("mesh%d", i)
		d := open(t, tap.Config{Name: name, MTU: 1500, Off: off})
		device := openPacket(t, name)
		f, in, out := frame(60, 1), make([][]byte, 8), packets(frame(60, 2), frame(1514, 3))
		allocs := testing.AllocsPerRun(200, func() {
			device.send(f)
			device.send(f)
			for got := 0; got < 2; {
				n, err := d.ReadBatch(in)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
			if n, err := d.WriteBatch(out); n != 2 || err != nil {
				t.Fatalf("WriteBatch = %d, %v, want 2, <nil>", n, err)
			}
		})
		if allocs != 0 {
			t.Errorf("%+v: reading and writing 2 frames allocates %v times, want 0", off, allocs)
		}
	}
}
