package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/offload"
	"meshnet/test/e2e/lab"
)

// Broadcast and a group that no host has anything to say about.
var (
	broadcast = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	groupIPv4 = []byte{0x01, 0x00, 0x5e, 0x01, 0x02, 0x03}
	groupIPv6 = []byte{0x33, 0x33, 0x00, 0x01, 0x02, 0x03}
)

// experimental is an EtherType for tests (IEEE 802, clause 9.2.4).
const experimental = 0x88b5

// The overlay is an Ethernet: what one container sends comes to the other one byte by byte.
//
//	a: web ══ underlay ══ b: db
func TestFramesCrossUnchanged(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	db.Reaches(web, waitMesh)
	for _, pair := range [][2]*lab.Container{{web, db}, {db, web}} {
		out, in := pair[0].Packets(), pair[1].Packets()
		for _, payload := range []int{0, 1, 2, 19, 45, 46, 47, 50, 500, 1000, 1265, 1266, 1267, 1280, 1400, 1499, 1500} {
			crosses(t, out, in, fmt.Sprintf("%d bytes", 14+payload), ethernet(in.MAC, out.MAC, experimental, random(payload)))
		}
		crossIP(t, pair[0], pair[1], out, in)
		crossTags(t, out, in)
		for name, dst := range map[string][]byte{"broadcast": broadcast, "IPv4 multicast": groupIPv4, "IPv6 multicast": groupIPv6} {
			crosses(t, out, in, name, ethernet(dst, out.MAC, experimental, random(300)))
		}
		crosses(t, out, in, "IEEE 802.3 with a length", ethernet(in.MAC, out.MAC, 103, append([]byte{0xaa, 0xaa, 0x03}, random(100)...)))
		crosses(t, out, in, "MPLS", ethernet(in.MAC, out.MAC, unix.ETH_P_MPLS_UC, random(200)))
	}
}

// A network's MTU may be larger than that of the underlay.
//
//	a: web ══ underlay (MTU 1500) ══ b: db, in a network of MTU 9000
func TestJumboFramesCrossUnchanged(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	for _, h := range hosts {
		h.StartMeshd()
	}
	hosts[1].Output("meshctl", "network", "join", hosts[0].Output("meshctl", "network", "create", "--mtu", "9000", "mesh"))
	meshed(t, hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	out, in := web.Packets(), db.Packets()
	for _, payload := range []int{1500, 1501, 4000, 8986, 8999, 9000} {
		crosses(t, out, in, fmt.Sprintf("%d bytes", 14+payload), ethernet(in.MAC, out.MAC, experimental, random(payload)))
	}
	for _, addr := range db.Addrs() {
		if _, err := transfer(web, db, addr, 4<<20); err != nil {
			t.Errorf("TCP to %v: %v", addr, err)
		}
		if err := datagrams(web, db, addr); err != nil {
			t.Errorf("UDP to %v: %v", addr, err)
		}
	}
}

// An interface without offloads gets whole packets: none is longer than its MTU, and all checksums are there, whatever the hosts'
// TAPs left to others.
//
//	a: web ══ underlay ══ b: db behind a veth pair without offloads, captured
func TestInterfaceWithoutOffloads(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	db.NoOffloads()
	seen := db.Packets()
	for _, addr := range db.Addrs() {
		if _, err := transfer(web, db, addr, 4<<20); err != nil {
			t.Errorf("TCP to %v: %v", addr, err)
		}
		if err := datagrams(web, db, addr); err != nil {
			t.Errorf("UDP to %v: %v", addr, err)
		}
	}
	count := map[string]int{}
	for _, frame := range drain(t, seen) {
		what, ok := checksum(frame)
		count[what]++
		if !ok {
			t.Fatalf("%s with a false checksum: %x", what, frame)
		}
		if len(frame) > 14+1500 {
			t.Fatalf("%s of %d bytes on an interface of MTU 1500", what, len(frame))
		}
	}
	for what, least := range map[string]int{"TCPv4": 4 << 20 / 1500, "TCPv6": 4 << 20 / 1500, "UDPv4": 150, "UDPv6": 150} {
		if count[what] < least {
			t.Errorf("packets captured = %v, want at least %d of %s", count, least, what)
		}
	}
	t.Logf("packets captured: %v", count)
}

// A burst in VLANs is cut like any other, by whichever host does it.
//
//	a: web ══ underlay ══ b: db behind a veth pair without offloads, captured; b's TAP has offloads at first, and then none
func TestBurstsInVLANs(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	db.NoOffloads()
	for _, off := range [][]string{nil, offloadNames} {
		without(t, hosts[1], off)
		web.Reaches(db, 20*time.Second)
		out, in := web.Packets(), db.Packets()
		for name, tags := range map[string][]byte{"no tag": nil, "one tag": {0x81, 0, 0, 5}, "two tags": {0x88, 0xa8, 0, 5, 0x81, 0, 0x60, 6}} {
			for _, kind := range []offload.Kind{offload.TCPv4, offload.TCPv6, offload.UDP} {
				name := fmt.Sprintf("b without %v: kind %d, %s", off, kind, name)
				link := append(append(append([]byte{}, in.MAC...), out.MAC...), tags...)
				data := random(20_300)
				if err := out.SendBurst(burst(kind, link, web, db, data)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := wantSegments(t, in, link, data); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

const burstSize = 1000 // bytes of payload in a segment

// burst returns a packet that a kernel cuts into segments of kind. link is what is before the EtherType.
func burst(kind offload.Kind, link []byte, from, to *lab.Container, data []byte) []byte {
	upper, protocol := append([]byte{0x20, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0}, data...), byte(unix.IPPROTO_TCP)
	offset := uint16(16)
	if kind == offload.UDP {
		length := uint16(8 + len(data))
		upper, protocol, offset = append([]byte{0x20, 0, 0x10, 0, byte(length >> 8), byte(length), 0, 0}, data...), unix.IPPROTO_UDP, 6
	}
	headers := len(upper) - len(data)
	src, dst, ether := from.IPv4(), to.IPv4(), uint16(unix.ETH_P_IP)
	packet := ipv4
	if kind == offload.TCPv6 {
		src, dst, ether = from.Addr(), to.Addr(), unix.ETH_P_IPV6
		packet = func(src, dst netip.Addr, protocol byte, _ uint16, payload []byte) []byte {
			return ipv6(src, dst, protocol, payload)
		}
	}
	binary.BigEndian.PutUint16(upper[offset:], sum(pseudo(src, dst, protocol, len(upper)))) // of the pseudo header alone
	frame := append(binary.BigEndian.AppendUint16(append([]byte{}, link...), ether), packet(src, dst, protocol, 0, upper)...)
	start := len(frame) - len(upper)
	b := make([]byte, offload.HeaderLen)
	offload.Header{
		Flags: offload.NeedsChecksum, Kind: kind, HeadersLen: uint16(start + headers), Size: burstSize, Start: uint16(start), Offset: offset,
	}.Put(b)
	return append(b, frame...)
}

// wantSegments checks that data comes in segments of burstSize bytes with link before them.
func wantSegments(t *testing.T, in *lab.Packets, link, data []byte) error {
	t.Helper()
	count := 0
	for len(data) > 0 {
		frame, err := in.Next(3 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if frame == nil {
			return fmt.Errorf("after %d segments nothing came", count)
		}
		n := min(burstSize, len(data))
		if len(frame) < len(link)+20+n || !bytes.HasSuffix(frame, data[:n]) {
			if count > 0 && bytes.HasPrefix(frame, link) {
				return fmt.Errorf("after %d segments came %x", count, frame)
			}
			continue // of somebody else
		}
		if !bytes.HasPrefix(frame, link) {
			return fmt.Errorf("segment %d begins with %x, want %x", count, frame[:len(link)], link)
		}
		what, ok := checksum(append(append([]byte{}, frame[:12]...), frame[len(link):]...))
		if !ok || what == "other" {
			return fmt.Errorf("segment %d is %s, checksums right: %v: %x", count, what, ok, frame)
		}
		data = data[n:]
		count++
	}
	return nil
}

// drain returns what has come.
func drain(t *testing.T, seen *lab.Packets) (frames [][]byte) {
	t.Helper()
	for {
		frame, err := seen.Next(100 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if frame == nil {
			return frames
		}
		frames = append(frames, frame)
	}
}

// checksum says what a frame is, and whether its checksums are right. It does not look into fragments.
func checksum(frame []byte) (what string, ok bool) {
	packet := frame[14:]
	var src, dst, upper []byte
	var protocol byte
	version := "v4"
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == unix.ETH_P_IP && binary.BigEndian.Uint16(packet[6:])&0x3fff == 0:
		src, dst, protocol = packet[12:16], packet[16:20], packet[9]
		upper = packet[20:binary.BigEndian.Uint16(packet[2:])]
		if sum(packet[:20]) != 0xffff {
			return "IPv4", false
		}
	case kind == unix.ETH_P_IPV6:
		src, dst, protocol, version = packet[8:24], packet[24:40], packet[6], "v6"
		upper = packet[40 : 40+binary.BigEndian.Uint16(packet[4:])]
	default:
		return "other", true
	}
	name := map[byte]string{unix.IPPROTO_TCP: "TCP", unix.IPPROTO_UDP: "UDP"}[protocol]
	if name == "" {
		return "other", true
	}
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	return name + version, sum(pseudo(from, to, protocol, len(upper)), upper) == 0xffff
}

// crossIP sends packets that a host might think it understands.
func crossIP(t *testing.T, from, to *lab.Container, out, in *lab.Packets) {
	t.Helper()
	src4, dst4, src6, dst6 := from.IPv4(), to.IPv4(), from.Addr(), to.Addr()
	for name, packet := range map[string][]byte{
		"UDP over IPv4":                      ipv4(src4, dst4, unix.IPPROTO_UDP, 0, udp(src4, dst4, random(333))),
		"UDP over IPv4 without checksum":     ipv4(src4, dst4, unix.IPPROTO_UDP, 0, append([]byte{0x10, 0, 0x20, 0, 0, 58, 0, 0}, random(50)...)),
		"UDP over IPv4 with a false one":     ipv4(src4, dst4, unix.IPPROTO_UDP, 0, append([]byte{0x10, 0, 0x20, 0, 0, 58, 1, 2}, random(50)...)),
		"UDP over IPv6":                      ipv6(src6, dst6, unix.IPPROTO_UDP, udp(src6, dst6, random(1452))),
		"ICMP echo request":                  ipv4(src4, dst4, unix.IPPROTO_ICMP, 0, echo(random(700))),
		"IPv4 fragment, the first":           ipv4(src4, dst4, unix.IPPROTO_UDP, 0x2000, udp(src4, dst4, random(1472))),
		"IPv4 fragment, in the middle":       ipv4(src4, dst4, unix.IPPROTO_UDP, 0x2000|185, random(1480)),
		"IPv4 fragment, the last":            ipv4(src4, dst4, unix.IPPROTO_UDP, 370, random(13)),
		"a protocol that there is not":       ipv4(src4, dst4, 253, 0, random(99)),
		"a next header that there is not":    ipv6(src6, dst6, 253, random(99)),
		"TCP, with a checksum that is false": ipv4(src4, dst4, unix.IPPROTO_TCP, 0, append([]byte{0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 3, 4, 0, 0}, random(80)...)),
	} {
		kind := uint16(unix.ETH_P_IP)
		if packet[0]>>4 == 6 {
			kind = unix.ETH_P_IPV6
		}
		crosses(t, out, in, name, ethernet(in.MAC, out.MAC, kind, packet))
	}
}

// crossTags sends frames in VLANs.
func crossTags(t *testing.T, out, in *lab.Packets) {
	t.Helper()
	tag := func(outer, id, inner uint16, payload []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, id)
		return ethernet(in.MAC, out.MAC, outer, append(binary.BigEndian.AppendUint16(b, inner), payload...))
	}
	for _, n := range []int{2, 42, 700, 1400, 1500} { // a kernel drops less than two bytes behind a tag (skb_vlan_untag)
		crosses(t, out, in, fmt.Sprintf("tag and %d bytes", n), tag(unix.ETH_P_8021Q, 0x6064, experimental, random(n)))
	}
	for _, n := range []int{2, 42, 700, 1400, 1492} {
		inner := binary.BigEndian.AppendUint16([]byte{0, 7}, experimental)
		crosses(t, out, in, fmt.Sprintf("802.1Q in 802.1Q and %d bytes", n), tag(unix.ETH_P_8021Q, 3, unix.ETH_P_8021Q, append(inner, random(n)...)))
		crosses(t, out, in, fmt.Sprintf("802.1Q in 802.1ad and %d bytes", n), tag(unix.ETH_P_8021AD, 3, unix.ETH_P_8021Q, append(inner, random(n)...)))
	}
}

// crosses checks that frame comes as it was sent.
func crosses(t *testing.T, out, in *lab.Packets, name string, frame []byte) {
	t.Helper()
	if err := out.Send(frame); err != nil {
		t.Errorf("%s: sending %d bytes: %v", name, len(frame), err)
		return
	}
	var others []string
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		got, err := in.Next(time.Until(deadline))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if bytes.Equal(got, frame) {
			return
		}
		others = append(others, fmt.Sprintf("%d bytes, %x", len(got), got[:min(len(got), 64)]))
	}
	t.Errorf("%s: %d bytes, %x..., did not come; what came is %q", name, len(frame), frame[:min(len(frame), 64)], others)
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// ethernet returns a frame without tag (IEEE 802.3).
func ethernet(dst, src []byte, kind uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(append([]byte{}, dst...), src...), kind), payload...)
}

// ipv4 returns a packet without options (RFC 791). fragment is the field of flags and offset.
func ipv4(src, dst netip.Addr, protocol byte, fragment uint16, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^sum(b))
	return append(b, payload...)
}

// ipv6 returns a packet (RFC 8200).
func ipv6(src, dst netip.Addr, next byte, payload []byte) []byte {
	b := make([]byte, 8, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, payload...)
}

// udp returns a datagram (RFC 768) from port 4096 to port 8192.
func udp(src, dst netip.Addr, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x10, 0, 0x20, 0}, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	binary.BigEndian.PutUint16(b[6:], ^sum(pseudo(src, dst, unix.IPPROTO_UDP, len(b)), b))
	return b
}

// echo returns an ICMP echo request (RFC 792).
func echo(payload []byte) []byte {
	b := append([]byte{8, 0, 0, 0, 1, 2, 0, 1}, payload...)
	binary.BigEndian.PutUint16(b[2:], ^sum(b))
	return b
}

// pseudo returns the pseudo header of IPv4 or IPv6 (RFC 9293, section 3.1).
func pseudo(src, dst netip.Addr, protocol byte, n int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(binary.BigEndian.AppendUint32(b, uint32(n)), 0, 0, 0, protocol)
}

// sum returns the ones' complement sum of all parts (RFC 1071). Each but the last has an even length.
func sum(parts ...[]byte) uint16 {
	s := uint32(0)
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			s += uint32(b[0]) << 8
		}
		s = s>>16 + s&0xffff
	}
	return uint16(s>>16 + s&0xffff)
}
