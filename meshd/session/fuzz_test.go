package session

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// FuzzHandleHandshake hands arbitrary bytes to a machine in the middle of everything: nothing panics, nothing is
// answered, and the session goes on.
func FuzzHandleHandshake(f *testing.F) {
	l := newLab(f, 60)
	a, b := l.add(0), l.add(1)
	var seen []delivery
	l.sniff = func(d delivery) { seen = append(seen, d) }
	a.connect(b)
	l.run(time.Second)
	for _, d := range seen {
		f.Add(d.bytes)
	}
	// One message 1 is out, and one is answered.
	a.Connect(a.clock(), NodeID{9}, []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:9")})
	flood(f, a, 1, address)
	out, _ := a.Drain()
	var indexes []uint32
	for index := range a.started {
		indexes = append(indexes, index)
	}
	for index := range a.answered.byIndex {
		indexes = append(indexes, index)
	}
	for _, d := range out {
		if wire.Type(d.Buf[0]) != wire.TypeHandshake1 { // that would be answered: we may be at the endpoint ourselves
			f.Add(d.Buf)
		}
	}
	from := wire.Endpoint{Addr: netip.MustParseAddrPort("203.0.113.5:5"), Socket: 1}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		a.HandleHandshake(l.now, from, datagram)
		for _, index := range indexes {
			if len(datagram) >= 8 && datagram[0] > 1 {
				binary.BigEndian.PutUint32(datagram[4:], index)
				a.HandleHandshake(l.now, from, datagram)
			}
		}
		out, events := a.Drain()
		if len(out)+len(events) != 0 {
			t.Errorf("answered % x with %v, %v", datagram, out, events)
		}
		if a.Session(b.id()) == nil {
			t.Error("the session is gone")
		}
	})
}

// FuzzOpen hands arbitrary messages to a keypair: none opens.
func FuzzOpen(f *testing.F) {
	for _, c := range ciphers {
		f.Add(keypairOf(f, c).Seal(nil, wire.Header{Type: wire.TypeKeepalive}, nil)[:wire.Overhead-1])
	}
	f.Add(make([]byte, wire.Overhead))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		h, err := wire.ParseHeader(datagram)
		if err != nil {
			return
		}
		for _, c := range ciphers {
			k := keypairOf(t, c)
			k.receive, err = newAEAD(c, [32]byte{42}) // a key that the fuzzer's seeds are not sealed with
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Open(h, append([]byte(nil), datagram...)); err == nil {
				t.Errorf("%v opens % x", c, datagram)
			}
		}
	})
}
