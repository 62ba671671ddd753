package node_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/answer"
)

// advertises returns a neighbour advertisement in which mac says that it has target, behind an extension header of type next; 58: none.
func advertises(mac [6]byte, next byte, target netip.Addr) []byte {
	from, all := netip.MustParseAddr("fe80::bad"), netip.MustParseAddr("ff02::1")
	m := append(append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...), append([]byte{2, 1}, mac[:]...)...)
	sum := uint32(len(m)) + 58
	for _, b := range [][]byte{from.AsSlice(), all.AsSlice(), m} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum>>16+sum&0xffff))
	if next != 58 {
		m = append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, m...) // padding
	}
	b := append(append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(m)), next, 255)
	return append(append(append(b, from.AsSlice()...), all.AsSlice()...), m...)
}

// tagged puts a tag of VLAN 0 into frame.
func tagged(tpid uint16, frame []byte) []byte {
	b := binary.BigEndian.AppendUint16(append([]byte{}, frame[:12]...), tpid)
	return append(append(b, 0, 0), frame[12:]...)
}

// Who says that it has another's address is not passed on, in whatever form that receivers take, and is counted.
func TestClaimsInDisguise(t *testing.T) {
	answering(t, answer.Open, func(t *testing.T, a, b *member) {
		if _, err := a.node.Attach(t.Context(), request("db")); err != nil {
			t.Fatal(err)
		}
		db := a.node.Leases()[0]
		time.Sleep(5 * time.Second)
		other := arp(stray, db.IPv4, db.IPv4)
		other[15] = 6 // IEEE 802
		for _, test := range []struct {
			name    string
			frame   []byte
			counter string
		}{
			{"ARP", arp(stray, db.IPv4, db.IPv4), "answer_arp_claimed"},
			{"ARP with a priority", tagged(0x8100, arp(stray, db.IPv4, db.IPv4)), "answer_arp_claimed"},
			{"ARP with a priority in a service tag", tagged(0x88a8, arp(stray, db.IPv4, db.IPv4)), "answer_arp_claimed"},
			{"ARP of another hardware type", other, "mesh_boundary_arp_hardware"},
			{"neighbour advertisement", advertises(stray, 58, db.IPv6), "answer_nd_claimed"},
			{"neighbour advertisement with a priority", tagged(0x8100, advertises(stray, 58, db.IPv6)), "answer_nd_claimed"},
			{"neighbour advertisement behind destination options", advertises(stray, 60, db.IPv6), "mesh_boundary_nd_extension"},
			{"neighbour advertisement behind hop-by-hop options", advertises(stray, 0, db.IPv6), "mesh_boundary_nd_extension"},
		} {
			before := a.node.Counters()[test.counter]
			if passes(a, b, test.frame) {
				t.Errorf("%s: the claim crosses the mesh", test.name)
			}
			if n := a.node.Counters()[test.counter] - before; n != 1 {
				t.Errorf("%s: %s counts %d, want 1", test.name, test.counter, n)
			}
		}
	})
}
