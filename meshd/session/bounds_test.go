package session

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// flood has a member with the PSK send n message 1s to h, each from another address given by source.
func flood(t testing.TB, h *host, n int, source func(i int) netip.Addr) {
	t.Helper()
	member := newNoiseParams(Config{NetworkID: h.cfg.NetworkID, PSK: h.cfg.PSK, Rand: seeded(99)})
	for i := range n {
		payload := wire.Payload1{Sender: uint32(i), Timestamp: h.clock().UnixNano()}
		_, message, err := member.initiate(payload.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		datagram := append(wire.HandshakeHeader{Type: wire.TypeHandshake1}.Append(nil), message...)
		h.HandleHandshake(h.clock(), wire.Endpoint{Addr: netip.AddrPortFrom(source(i), 1)}, datagram)
	}
}

// "At most 1,024 half-open handshakes, and 16 from one source address; they end after 10 s."
func TestHalfOpenBound(t *testing.T) {
	for _, test := range []struct {
		name   string
		n      int
		source func(i int) netip.Addr
		want   int
	}{
		{"one IPv4 address", 100, func(int) netip.Addr { return netip.MustParseAddr("203.0.113.1") }, maxHalfOpenPerSource},
		{"one IPv6 /64", 100, func(i int) netip.Addr {
			a := netip.MustParseAddr("2001:db8::").As16()
			a[15] = byte(i)
			return netip.AddrFrom16(a)
		}, maxHalfOpenPerSource},
		{"many addresses", maxHalfOpen + 100, address, maxHalfOpen},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, 30)
			h := l.add(0)
			flood(t, h, test.n, test.source)
			out, events := h.Drain()
			if len(out) != test.want || h.answered.open != test.want || len(events) != 0 {
				t.Errorf("%d answers, %d half-open, want %d", len(out), h.answered.open, test.want)
			}
			if n := h.Counters().HandshakeFull.Load(); n != uint64(test.n-test.want) {
				t.Errorf("counted %d, want %d", n, test.n-test.want)
			}
			l.run(HandshakeTimeout + time.Second)
			if h.answered.open+len(h.answered.byIndex)+len(h.answered.perSource)+len(h.answered.queue) != 0 ||
				h.table.count != entries {
				t.Errorf("%+v and %d indexes after HandshakeTimeout, want none", h.answered, entries-h.table.count)
			}
			b := l.add(1)
			b.connect(h)
			l.run(time.Second)
			l.wantTalk(h, b)
		})
	}
}

// address returns the i-th of many IPv4 addresses.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(10<<24+i))))
}

// A member cannot take the receiver indexes that our own handshakes need; when all are used, we try again later.
func TestIndexExhaustion(t *testing.T) {
	l := newLab(t, 31)
	a, b := l.add(0), l.add(1)
	var taken []uint32
	for a.table.count > reservedEntries {
		index, err := a.table.allocate()
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, index)
	}
	b.connect(a)
	l.run(500 * time.Millisecond)
	if n := a.Counters().HandshakeFull.Load(); n != 1 {
		t.Errorf("answered with the reserve: counted %d, want 1", n)
	}
	b.Forget(b.clock(), a.id(), 0)
	for a.table.count > 0 {
		index, err := a.table.allocate()
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, index)
	}
	a.connect(b)
	if n := a.Counters().IndexFull.Load(); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	for _, index := range taken {
		a.table.release(index)
	}
	l.run(2 * time.Second)
	l.wantTalk(a, b)
}

// A receiver index is never in use twice, ends in the slot, and its successor in the same entry looks different.
func TestIndexTable(t *testing.T) {
	table := newIndexTable(0xab, seeded(1))
	seen := make(map[uint32]bool)
	for range entries {
		index, err := table.allocate()
		if err != nil {
			t.Fatal(err)
		}
		if seen[index] || byte(index) != 0xab {
			t.Fatalf("index %08x given twice, or not of slot ab", index)
		}
		seen[index] = true
	}
	if _, err := table.allocate(); err != errIndexFull {
		t.Errorf("allocate on a full table = %v, want %v", err, errIndexFull)
	}
	k := &Keypair{}
	for k.index = range seen {
		break
	}
	table.publish(k)
	if table.lookup(k.index) != k || table.lookup(k.index^1<<31) != nil || table.lookup(k.index^1<<8) != nil {
		t.Error("lookup finds the wrong keypair")
	}
	table.release(k.index)
	if table.lookup(k.index) != nil {
		t.Error("lookup finds a released keypair")
	}
}

// The ephemerals of two generations are remembered; a flood forgets the oldest first.
func TestReplayCache(t *testing.T) {
	var c replayCache
	now := time.Unix(0, 0)
	key := func(i int) (k [32]byte) {
		binary.BigEndian.PutUint64(k[:], uint64(i))
		return k
	}
	c.add(now, key(0))
	if !c.seen(key(0)) || c.seen(key(1)) {
		t.Error("seen is wrong at once")
	}
	now = now.Add(replayMemory - 1)
	c.add(now, key(1))
	now = now.Add(replayMemory)
	c.add(now, key(2))
	if !c.seen(key(1)) {
		t.Error("forgotten within replayMemory")
	}
	for i := range 3 * replayGeneration {
		c.add(now, key(10+i))
	}
	if n := len(c.young) + len(c.old); n > 2*replayGeneration {
		t.Errorf("%d ephemerals remembered, want at most %d", n, 2*replayGeneration)
	}
	if !c.seen(key(10+3*replayGeneration-1)) || c.seen(key(2)) {
		t.Error("a flood does not forget the oldest")
	}
}

// The number of peers that we do not want, and of their instances, is bounded.
func TestPeerBound(t *testing.T) {
	l := newLab(t, 32)
	a := l.add(0)
	for i := range maxPeers {
		var id NodeID
		binary.BigEndian.PutUint64(id[:], uint64(i+1))
		a.ensurePeer(id)
	}
	b := l.add(1)
	b.connect(a)
	l.run(500 * time.Millisecond)
	if a.Session(b.id()) != nil || a.Counters().HandshakeFull.Load() != 1 {
		t.Error("a session beyond the bound")
	}
	for i := range maxInstances + 10 {
		var id NodeID
		binary.BigEndian.PutUint64(id[8:], uint64(i+1))
		a.rememberInstance(id, 1)
	}
	if n := len(a.instances); n > maxInstances {
		t.Errorf("%d instances remembered, want at most %d", n, maxInstances)
	}
}
