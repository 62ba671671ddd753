package mesh

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// member is one node of the tests: its session machine and where it is.
type member struct {
	machine  *session.Machine
	id       session.NodeID
	endpoint netip.AddrPort
}

// newMember returns member n (1 to 254) of the tests' network.
func newMember(t testing.TB, n byte) *member {
	t.Helper()
	identity, err := session.IdentityFromPrivate([32]byte{8: n})
	if err != nil {
		t.Fatal(err)
	}
	return &member{
		machine: session.New(session.Config{
			PSK:      [32]byte{42},
			Identity: identity,
			Instance: uint64(n),
			AES:      true,
		}),
		id:       identity.Public,
		endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 7000),
	}
}

// connect makes a session between a and b, who hear each other at once, and returns a's with b and b's with a.
func connect(t testing.TB, now time.Time, a, b *member) (withB, withA *session.Session) {
	t.Helper()
	a.machine.Connect(now, b.id, []netip.AddrPort{b.endpoint})
	for range 10 {
		exchange(now, a, b)
		exchange(now, b, a)
	}
	withB, withA = a.machine.Session(b.id), b.machine.Session(a.id)
	if withB == nil || withA == nil || withB.Keypair() == nil || withA.Keypair() == nil {
		t.Fatal("no session between members")
	}
	return withB, withA
}

// exchange hands b what a's machine wants to send it.
func exchange(now time.Time, a, b *member) {
	from := wire.Endpoint{Addr: a.endpoint, Socket: 1}
	a.machine.Advance(now)
	out, _ := a.machine.Drain()
	for _, d := range out {
		buf := bytes.Clone(d.Buf)
		h, err := wire.ParseHeader(buf)
		if err != nil {
			b.machine.HandleHandshake(now, from, buf)
			continue
		}
		k := b.machine.Lookup(h.Receiver)
		if k == nil {
			continue
		}
		if _, err := k.Open(h, buf); err != nil {
			continue
		}
		if confirm, _ := k.Received(now, from, h, len(buf)); confirm {
			b.machine.Confirmed(now, k)
		}
	}
}

// parse returns the header of datagram b and the keypair that it is sealed with.
func (m *member) parse(t testing.TB, b []byte) (wire.Header, *session.Keypair) {
	t.Helper()
	h, err := wire.ParseHeader(b)
	if err != nil {
		t.Fatalf("ParseHeader(%.16x…) error = %v", b, err)
	}
	k := m.machine.Lookup(h.Receiver)
	if k == nil {
		t.Fatalf("no keypair for %.16x…", b)
	}
	return h, k
}

// underlay keeps copies of the datagrams it is given, without allocating while there is room.
type underlay struct {
	sent   []wire.Datagram
	refuse int // datagrams not to take of each batch
}

func (u *underlay) WriteBatch(ds []wire.Datagram) (int, error) {
	n := len(ds) - min(u.refuse, len(ds))
	for _, d := range ds[:n] {
		u.sent = append(u.sent, wire.Datagram{Buf: bytes.Clone(d.Buf), Endpoint: d.Endpoint})
	}
	return n, nil
}

// take returns what was sent since the last call.
func (u *underlay) take() []wire.Datagram {
	sent := u.sent
	u.sent = nil
	return sent
}
