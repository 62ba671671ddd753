package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/config"
	"meshnet/test/e2e/lab"
)

// offloadNames are what meshd --without takes.
var offloadNames = []string{config.TAPChecksum, config.TAPTSO, config.TAPUSO, config.UDPGSO, config.UDPGRO, config.UDPLanes}

// "meshd --without": hosts that differ in what their kernels do for them carry the same bytes. Each row goes in both directions, so
// that what is off on a is off on the sender once, and on the receiver once.
//
//	a: web ══ underlay ══ b: db; both restart with other offloads again and again
func TestOffloads(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	type row struct{ a, b []string } // what is off
	rows := []row{{}}
	for _, name := range offloadNames {
		rows = append(rows, row{a: []string{name}})
	}
	rows = append(rows, row{a: offloadNames, b: offloadNames}, row{a: offloadNames})
	for _, row := range rows {
		without(t, hosts[0], row.a)
		without(t, hosts[1], row.b)
		web.Reaches(db, 20*time.Second)
		db.Reaches(web, waitMesh)
		for _, pair := range [][2]*lab.Container{{web, db}, {db, web}} {
			for _, addr := range pair[1].Addrs() {
				rate, err := transfer(pair[0], pair[1], addr, 4<<20)
				if err != nil {
					t.Errorf("without %v on a, %v on b: TCP from %s to %v: %v", row.a, row.b, pair[0].Name, addr, err)
				}
				if err := datagrams(pair[0], pair[1], addr); err != nil {
					t.Errorf("without %v on a, %v on b: UDP from %s to %v: %v", row.a, row.b, pair[0].Name, addr, err)
				}
				t.Logf("without %v on a, %v on b: %s to %v: TCP at %.0f Mbit/s", row.a, row.b, pair[0].Name, addr, rate/1e6)
			}
		}
	}
}

// TCP with congestion marks (RFC 3168) sets CWR in the first segment of a burst and in no other.
//
//	a: web ══ underlay ══ b: db, which finds marks on 2 % of what comes in
func TestOffloadsWithECN(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	for _, c := range []*lab.Container{web, db} {
		c.Host.Output("nsenter", "--net="+c.NetNS, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_ecn")
	}
	db.NoOffloads() // so that each segment is marked, and seen, by itself
	marks := `table netdev marks {
	chain in {
		type filter hook ingress device "eth0" priority 0
		numgen random mod 100 < 2 ip ecn != not-ect ip ecn set ce
		numgen random mod 100 < 2 ip6 ecn != not-ect ip6 ecn set ce
	}
}
`
	if r := hosts[1].TryInput(marks, "nsenter", "--net="+db.NetNS, "nft", "-f", "-"); r.Code != 0 {
		t.Fatalf("nft: %s", r.Stderr)
	}
	seen := db.Packets()
	for _, addr := range db.Addrs() {
		rate, err := transfer(web, db, addr, 8<<20)
		if err != nil {
			t.Errorf("TCP to %v: %v", addr, err)
		}
		t.Logf("TCP to %v: %.0f Mbit/s", addr, rate/1e6)
	}
	cwr, last, segments := 0, false, 0
	for _, frame := range drain(t, seen) {
		what, ok := checksum(frame)
		if !ok {
			t.Fatalf("%s with a false checksum: %x", what, frame)
		}
		flags := 14 + 20 + 13
		if what == "TCPv6" {
			flags += 20
		} else if what != "TCPv4" {
			continue
		}
		set := frame[flags]&0xc2 == 0x80 // CWR alone: not of the handshake
		if set && last {
			t.Errorf("two segments in a row have CWR: the second is %x", frame)
		}
		if last = set; set {
			cwr++
		}
		segments++
	}
	t.Logf("%d segments, %d with CWR", segments, cwr)
	if cwr < 5 {
		t.Errorf("%d of %d segments have CWR, want some: nothing is tested", cwr, segments)
	}
}

// A lost datagram costs the segments that it had a part of, and no others, whether b's kernel cuts the rest or meshd.
//
//	a: web ══ underlay that loses 1 % or 10 % of each direction ══ b: db
func TestSalvage(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	for _, row := range []struct {
		percent int
		bytes   int64
		off     []string // on b
	}{{1, 8 << 20, nil}, {10, 256 << 10, nil}, {1, 8 << 20, offloadNames}, {10, 256 << 10, offloadNames}} {
		without(t, hosts[1], row.off)
		l.Lose(row.percent)
		web.Reaches(db, 20*time.Second)
		before := salvaged(hosts[1])
		for _, addr := range db.Addrs() {
			rate, err := transfer(web, db, addr, row.bytes)
			if err != nil {
				t.Errorf("TCP to %v under %d %% loss, without %v: %v", addr, row.percent, row.off, err)
			}
			t.Logf("TCP to %v under %d %% loss, without %v: %.2f Mbit/s", addr, row.percent, row.off, rate/1e6)
		}
		n := salvaged(hosts[1]) - before
		t.Logf("segments salvaged under %d %% loss, without %v: %d", row.percent, row.off, n)
		if n == 0 {
			t.Errorf("no segment was salvaged under %d %% loss, without %v", row.percent, row.off)
		}
	}
}

func salvaged(h *lab.Host) uint64 {
	return counted(h, func(name string) bool { return name == "mesh_inbound_salvaged" })
}

// The overlay's MTU does not depend on the underlay's, and a change of that is not even noticed.
//
//	a: web ══ underlay of any MTU ══ b: db
func TestUnderlayMTU(t *testing.T) {
	l := newLab(t)
	underlayMTUs(t, l, l.Hosts("a", "b"), 1500, 1280, 9000, 1500)
}

// Where single datagrams have to be fragmented, the kernel takes no bursts of them; when it does again, it gets them.
//
//	a: web ══ underlay of IPv4 alone and any MTU ══ b: db
func TestUnderlayMTUBelowDatagrams(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	for _, h := range hosts {
		h.Output("ip", "-6", "addr", "flush", "dev", "eth0")
	}
	underlayMTUs(t, l, hosts, 1000, 600, 1500)
}

// underlayMTUs sends everything over an underlay of each MTU, one after the other.
func underlayMTUs(t *testing.T, l *lab.Lab, hosts []*lab.Host, mtus ...int) {
	t.Helper()
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	for _, mtu := range mtus {
		l.MTU(mtu)
		web.Reaches(db, waitMesh)
		db.Reaches(web, waitMesh)
		for _, addr := range db.Addrs() {
			rate, err := transfer(web, db, addr, 4<<20)
			if err != nil {
				t.Errorf("underlay MTU %d: TCP to %v: %v", mtu, addr, err)
			}
			if err := datagrams(web, db, addr); err != nil {
				t.Errorf("underlay MTU %d: UDP to %v: %v", mtu, addr, err)
			}
			t.Logf("underlay MTU %d: TCP to %v: %.0f Mbit/s", mtu, addr, rate/1e6)
		}
	}
	for _, h := range hosts {
		if off := offOf(h); len(off) > 0 {
			t.Errorf("%s has given up %v, want it to use them again", h.Name, off)
		}
	}
}

// Somebody changes the MTU of the TAP and the bridge under load: connections survive it.
//
//	a: web ══ underlay ══ b: db
func TestMTUChangedUnderLoad(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	for _, addr := range db.Addrs() {
		done := make(chan error, 1)
		go func() {
			_, err := transfer(web, db, addr, 128<<20)
			done <- err
		}()
		for _, mtu := range []string{"1400", "9000", "1280", "1500"} {
			for _, h := range hosts {
				n := status(h).Networks[0]
				h.Output("ip", "link", "set", "dev", n.TAP, "mtu", mtu)
				h.Output("ip", "link", "set", "dev", n.Bridge, "mtu", mtu)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("TCP to %v: %v", addr, err)
		}
		if err := datagrams(web, db, addr); err != nil {
			t.Errorf("UDP to %v, afterwards: %v", addr, err)
		}
	}
}

// A daemon's memory is bounded, however much there is to carry.
//
//	a: web ══ underlay ══ b: db
func TestMemoryUnderLoad(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	for _, pair := range [][2]*lab.Container{{web, db}, {db, web}} {
		rate, err := transfer(pair[0], pair[1], pair[1].IPv4(), 256<<20)
		if err != nil {
			t.Errorf("TCP from %s to %s: %v", pair[0].Name, pair[1].Name, err)
		}
		t.Logf("TCP from %s to %s: %.0f Mbit/s", pair[0].Name, pair[1].Name, rate/1e6)
	}
	for _, h := range hosts {
		peak := memoryKB(t, h.Meshd().Pid(), "VmHWM")
		t.Logf("%s: at most %d MB resident", h.Name, peak>>10)
		if peak > 200<<10 {
			t.Errorf("meshd on %s had %d MB resident, want at most 200", h.Name, peak>>10)
		}
	}
}

// without restarts meshd on h without these offloads and checks that it says so, unless it runs like that already.
func without(t *testing.T, h *lab.Host, off []string) {
	t.Helper()
	if slices.Equal(offOf(h), off) {
		return
	}
	var args []string
	for _, name := range off {
		args = append(args, "--without", name)
	}
	h.Meshd().Stop()
	h.StartMeshd(args...)
	h.Until("has its network", func() bool { return len(status(h).Networks) > 0 && len(status(h).Networks[0].Offloads) > 0 }, nil)
	for _, name := range off {
		if !slices.Contains(offOf(h), name) {
			t.Errorf("%s: started without %v, it does not say that %s is off: %v", h.Name, off, name, offOf(h))
		}
	}
}

// offOf returns the offloads of offloadNames that h's meshd says are off, in that order.
func offOf(h *lab.Host) (off []string) {
	s := status(h)
	all := s.Offloads
	for _, n := range s.Networks {
		all = append(all, n.Offloads...)
	}
	for _, name := range offloadNames {
		for _, o := range all {
			if o.Name == name && !o.On {
				off = append(off, name)
			}
		}
	}
	return off
}

// datagrams sends numbered UDP datagrams to addr, which is one of to's, and checks that each arrives once and as it was: bursts that
// the kernel is told to cut (UDP_SEGMENT), and single ones, up to what IP itself fragments.
func datagrams(from, to *lab.Container, addr netip.Addr) error {
	in, err := to.ListenUDP(addr)
	if err != nil {
		return err
	}
	defer in.Close()
	own := from.Addr()
	if addr.Is4() {
		own = from.IPv4()
	}
	out, err := from.ListenUDP(own)
	if err != nil {
		return err
	}
	defer out.Close()
	dst := in.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, burst := range []struct{ size, count int }{{1400, 40}, {1000, 3}, {64, 60}, {1452, 44}, {701, 33}} {
		if err := sendBurst(out, in, dst, burst.size, burst.count); err != nil {
			return fmt.Errorf("%d datagrams of %d bytes, sent as one: %w", burst.count, burst.size, err)
		}
	}
	for _, size := range []int{8, 9, 40, 1451, 1452, 1453, 1472, 1473, 1600, 9000, 40000, 65000} {
		want := numbered(1, size)
		if _, err := out.WriteToUDPAddrPort(want[0], dst); err != nil {
			return err
		}
		if err := receiveAll(in, want); err != nil {
			return fmt.Errorf("a datagram of %d bytes: %w", size, err)
		}
	}
	return nil
}

// sendBurst hands count datagrams to the kernel as one that is to be cut. The last one is shorter.
func sendBurst(out, in *net.UDPConn, dst netip.AddrPort, size, count int) error {
	want := numbered(count, size)
	want[count-1] = want[count-1][:size/2]
	segment := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(segment, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(segment[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(segment[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(segment[unix.CmsgLen(0):], uint16(size))
	if _, _, err := out.WriteMsgUDPAddrPort(bytes.Join(want, nil), segment, dst); err != nil {
		return err
	}
	return receiveAll(in, want)
}

// numbered returns count random datagrams of size bytes, which begin with their number.
func numbered(count, size int) [][]byte {
	all := make([][]byte, count)
	for i := range all {
		all[i] = make([]byte, size)
		for j := range all[i] {
			all[i][j] = byte(rand.Uint32())
		}
		binary.BigEndian.PutUint32(all[i], uint32(i))
	}
	return all
}

// receiveAll reads as many datagrams as want has, in any order.
func receiveAll(in *net.UDPConn, want [][]byte) error {
	in.SetReadDeadline(time.Now().Add(5 * time.Second))
	came := make([]bool, len(want))
	buf := make([]byte, 1<<16)
	for n := range want {
		got, err := in.Read(buf)
		if err != nil {
			return fmt.Errorf("%d of %d came: %w", n, len(want), err)
		}
		i := int(binary.BigEndian.Uint32(buf))
		if got < 4 || i >= len(want) || came[i] || !bytes.Equal(buf[:got], want[i]) {
			return fmt.Errorf("datagram %d of %d bytes came, which is not one that was sent and has not come yet", i, got)
		}
		came[i] = true
	}
	return nil
}
