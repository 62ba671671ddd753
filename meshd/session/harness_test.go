package session

import (
	"bytes"
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/flynn/noise"

	"meshnet/meshd/wire"
)

// lab is a few machines on a link in memory, on synthetic time. Everything that it does follows from its seed.
type lab struct {
	t     testing.TB
	now   time.Time
	rng   *rand.Rand
	hosts []*host
	queue flight
	seq   int

	minDelay, maxDelay time.Duration
	loss               float64
	drop               func(d delivery) bool // further losses
	sniff              func(d delivery)      // sees everything that is sent
}

// host is a machine, its endpoint and what a frame path would do.
type host struct {
	*Machine
	lab    *lab
	name   string
	addr   netip.AddrPort
	dh     *countingDH
	events []Event
	got    [][]byte // payloads of frames, in order
	failed int      // sealed messages that did not open
	mute   bool     // the frame path's reports are lost
	down   bool
	skew   time.Duration // of its clock
}

type delivery struct {
	at       time.Time
	seq      int
	from, to netip.AddrPort
	through  wire.Endpoint // where it comes from for the receiver, if it is relayed
	bytes    []byte
}

// flight is what is under way, by time of arrival.
type flight []delivery

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	return f[i].at.Before(f[j].at) || f[i].at.Equal(f[j].at) && f[i].seq < f[j].seq
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(delivery)) }
func (f *flight) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

func newLab(t testing.TB, seed uint64) *lab {
	return &lab{
		t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(seed, 0)),
		minDelay: 10 * time.Millisecond, maxDelay: 10 * time.Millisecond,
	}
}

// seeded is a source of random bytes that repeats itself.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	return rand.NewChaCha8(key)
}

var labPSK = [32]byte{1, 2, 3}

// add starts a machine with the n-th identity and address.
func (l *lab) add(n int, change ...func(*Config)) *host {
	identity, err := NewIdentity(seeded(uint64(n)))
	if err != nil {
		l.t.Fatal(err)
	}
	cfg := Config{
		NetworkID: NetworkID("lab", labPSK), PSK: labPSK, Identity: identity, Instance: uint64(1000 + len(l.hosts)),
		AES: true, Rand: seeded(l.rng.Uint64() | 1<<16), Slot: uint8(n),
	}
	for _, f := range change {
		f(&cfg)
	}
	h := &host{lab: l, Machine: New(cfg), name: string(rune('a' + n)), dh: &countingDH{DHFunc: noise.DH25519}}
	h.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}), 7000)
	h.noise.dh = h.dh
	l.hosts = append(l.hosts, h)
	return h
}

// countingDH counts Diffie-Hellman operations, those of making ephemeral keys included.
type countingDH struct {
	noise.DHFunc
	n int
}

func (c *countingDH) GenerateKeypair(r io.Reader) (noise.DHKey, error) {
	c.n++
	return c.DHFunc.GenerateKeypair(r)
}

func (c *countingDH) DH(private, public []byte) ([]byte, error) {
	c.n++
	return c.DHFunc.DH(private, public)
}

func (h *host) id() NodeID { return h.cfg.Identity.Public }

// clock is the host's own time.
func (h *host) clock() time.Time { return h.lab.now.Add(h.skew) }

// connect wants a session with other at its address.
func (h *host) connect(other *host) {
	h.Connect(h.clock(), other.id(), []netip.AddrPort{other.addr})
	h.flush()
}

// flush sends what the machine has to say.
func (h *host) flush() {
	out, events := h.Drain()
	h.events = append(h.events, events...)
	for _, d := range out {
		h.lab.sendTo(h, d.Endpoint, d.Buf)
	}
}

// sendFrame seals one frame to a peer as the frame path does, and reports whether there was a key.
func (h *host) sendFrame(to NodeID, payload []byte) bool {
	s := h.Session(to)
	if s == nil || s.Keypair() == nil {
		return false
	}
	k := s.Keypair()
	counter, err := k.Reserve(1)
	if err != nil {
		return false
	}
	b := k.Seal(nil, wire.Header{Type: wire.TypeFrame, Counter: counter}, payload)
	k.Sent(h.clock(), len(b))
	s.AwaitAnswer(h.clock())
	h.lab.sendTo(h, s.Endpoint(), b)
	return true
}

// receive is what the hub and the frame path do with a datagram.
func (h *host) receive(from netip.AddrPort, b []byte) {
	h.receiveFrom(wire.Endpoint{Addr: from, Socket: 1}, b)
}

func (h *host) receiveFrom(e wire.Endpoint, b []byte) {
	now := h.clock()
	if len(b) > 0 && wire.Type(b[0]) <= wire.TypeHandshake3 {
		h.HandleHandshake(now, e, b)
		h.flush()
		return
	}
	header, err := wire.ParseHeader(b)
	if err != nil {
		return
	}
	k := h.Lookup(header.Receiver)
	if k == nil {
		h.failed++
		return
	}
	n := len(b)
	payload, err := k.Open(header, b)
	if err != nil {
		h.failed++
		return
	}
	confirm, roam := k.Received(now, e, header, n)
	if confirm && !h.mute {
		h.Confirmed(now, k)
	}
	if roam && !h.mute {
		h.Roamed(now, k, e)
	}
	switch header.Type {
	case wire.TypeFrame:
		h.got = append(h.got, bytes.Clone(payload))
	case wire.TypeClose:
		h.HandleClose(now, k.Session(), payload)
	case wire.TypePunch:
		h.Punched(now, k.Session())
	case wire.TypeProbe:
		if p, err := wire.ParseProbe(payload); err == nil && k.Session().Keypair() != nil {
			h.seal(k.Session().Keypair(), k.Session().Endpoint(), wire.TypeProbeAck, p.AppendAck(nil))
		}
	}
	h.flush()
}

// sendTo puts a datagram of h on the link, or has a host relay it that knows both.
func (l *lab) sendTo(h *host, to wire.Endpoint, b []byte) {
	if !to.Relayed() {
		l.send(h.addr, to.Addr, b)
		return
	}
	hop := to.Hop()
	via, peer := l.hostOf(hop.Via), l.hostOf(hop.Peer)
	if via == nil || peer == nil || via.down || via.Session(h.id()) == nil || via.Session(peer.id()) == nil {
		return
	}
	l.put(delivery{from: via.addr, to: peer.addr, through: wire.Through(wire.Hop{Via: via.id(), Peer: h.id()}), bytes: bytes.Clone(b)})
}

// hostOf returns the host with an identity.
func (l *lab) hostOf(id NodeID) *host {
	for _, h := range l.hosts {
		if h.id() == id {
			return h
		}
	}
	return nil
}

// send puts a datagram on the link.
func (l *lab) send(from, to netip.AddrPort, b []byte) {
	l.put(delivery{from: from, to: to, bytes: bytes.Clone(b)})
}

func (l *lab) put(d delivery) {
	d.seq = l.seq
	l.seq++
	if l.sniff != nil {
		l.sniff(d)
	}
	if l.drop != nil && l.drop(d) || l.rng.Float64() < l.loss {
		return
	}
	d.at = l.now.Add(l.minDelay)
	if spread := l.maxDelay - l.minDelay; spread > 0 {
		d.at = d.at.Add(time.Duration(l.rng.Int64N(int64(spread))))
	}
	heap.Push(&l.queue, d)
}

// run lets time pass.
func (l *lab) run(d time.Duration) {
	end := l.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 1_000_000 {
			l.t.Fatal("the machines never rest")
		}
		next, h := end.Add(1), (*host)(nil)
		for _, candidate := range l.hosts {
			if candidate.down || candidate.Next().IsZero() {
				continue
			}
			if at := candidate.Next().Add(-candidate.skew); at.Before(next) {
				next, h = at, candidate
			}
		}
		if len(l.queue) > 0 && !l.queue[0].at.After(next) {
			next, h = l.queue[0].at, nil
		}
		if next.After(end) {
			l.now = end
			return
		}
		if next.After(l.now) {
			l.now = next
		}
		if h != nil {
			h.Advance(h.clock())
			h.flush()
			continue
		}
		l.deliver(heap.Pop(&l.queue).(delivery))
	}
}

func (l *lab) deliver(d delivery) {
	for _, h := range l.hosts {
		switch {
		case h.addr != d.to || h.down:
		case d.through.Relayed():
			h.receiveFrom(d.through, d.bytes)
		default:
			h.receive(d.from, d.bytes)
		}
	}
}

// dropFirst loses the first n datagrams of a type.
func (l *lab) dropFirst(t wire.Type, n int) {
	l.drop = func(d delivery) bool {
		if wire.Type(d.bytes[0]) != t || n == 0 {
			return false
		}
		n--
		return true
	}
}

// record keeps what is sent from now on of a type.
func (l *lab) record(t wire.Type) *[]delivery {
	var seen []delivery
	previous := l.sniff
	l.sniff = func(d delivery) {
		if previous != nil {
			previous(d)
		}
		if wire.Type(d.bytes[0]) == t {
			seen = append(seen, d)
		}
	}
	return &seen
}

// wantTalk checks that frames go through both ways.
func (l *lab) wantTalk(a, b *host) {
	l.t.Helper()
	for _, pair := range [2][2]*host{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		want := fmt.Appendf(nil, "from %s at %v", from.name, l.now)
		before := len(to.got)
		if !from.sendFrame(to.id(), want) {
			l.t.Errorf("%s has no key for %s", from.name, to.name)
			continue
		}
		l.run(l.maxDelay + time.Millisecond)
		if len(to.got) != before+1 || !bytes.Equal(to.got[before], want) {
			l.t.Errorf("a frame from %s to %s did not arrive", from.name, to.name)
		}
	}
}

// wantShared checks that both seal with keys from the same handshake.
func (l *lab) wantShared(a, b *host) {
	l.t.Helper()
	sa, sb := a.Session(b.id()), b.Session(a.id())
	if sa == nil || sb == nil || sa.Keypair() == nil || sb.Keypair() == nil {
		l.t.Fatalf("sessions %v and %v, want both with keypairs", sa, sb)
	}
	if ka, kb := sa.Keypair(), sb.Keypair(); ka.index != kb.remote || ka.remote != kb.index {
		l.t.Errorf("current keypairs %08x/%08x and %08x/%08x, want one shared", ka.index, ka.remote, kb.index, kb.remote)
	}
}

// count returns how many events of type T a host has seen.
func count[T Event](h *host) int { return len(eventsOf[T](h)) }

// eventsOf returns the events of type T that a host has seen.
func eventsOf[T Event](h *host) []T {
	var found []T
	for _, e := range h.events {
		if e, ok := e.(T); ok {
			found = append(found, e)
		}
	}
	return found
}
