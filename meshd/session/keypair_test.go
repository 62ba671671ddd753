package session

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

// keypairOf returns a keypair that opens what it seals.
func keypairOf(t testing.TB, c wire.Cipher) *Keypair {
	t.Helper()
	m := New(Config{Rand: seeded(1)})
	k, err := m.newKeypair(agreement{cipher: c, keys: transportKeys{[32]byte{1}, [32]byte{1}}, index: 7 << slotBits, remote: 7 << slotBits})
	if err != nil {
		t.Fatal(err)
	}
	k.session = newSession(time.Unix(0, 0), NodeID{1}, 1, wire.Endpoint{})
	k.session.current.Store(k)
	return k
}

var ciphers = []wire.Cipher{wire.AES256GCM, wire.ChaCha20Poly1305}

// Open undoes Seal once, wherever the payload lies; any other bit does not open.
func TestSealOpen(t *testing.T) {
	for _, c := range ciphers {
		k := keypairOf(t, c)
		for _, n := range []int{0, 1, 15, 16, 17, wire.MaxPayload} {
			payload := bytes.Repeat([]byte{0x5a}, n)
			counter, err := k.Reserve(2)
			if err != nil {
				t.Fatal(err)
			}
			h := wire.Header{Type: wire.TypeFrame, Piece: 1, More: true, Counter: counter + 1}
			apart := k.Seal([]byte("prefix"), h, payload)[6:]

			room := make([]byte, 3+n+wire.Overhead)
			copy(room[3+wire.HeaderLen:], payload)
			inPlace := k.Seal(room[:3], h, room[3+wire.HeaderLen:][:n])[3:]
			if !bytes.Equal(apart, inPlace) || &inPlace[0] != &room[3] || len(apart) != n+wire.Overhead {
				t.Fatalf("%v: sealed % x in place and % x apart", c, inPlace, apart)
			}
			for bit := range len(apart) * 8 {
				if n > 64 && bit%97 != 0 {
					continue
				}
				forged := bytes.Clone(apart)
				forged[bit/8] ^= 1 << (bit % 8)
				fh, err := wire.ParseHeader(forged)
				if err != nil {
					continue
				}
				want := ErrAuth
				if fh.Counter >= RejectAfterMessages || !k.windows[0].fresh(fh.Counter) {
					want = ErrReplay
				}
				if _, err := k.Open(fh, forged); err != want {
					t.Fatalf("%v: Open with bit %d changed = %v, want %v", c, bit, err, want)
				}
			}
			parsed, err := wire.ParseHeader(apart)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.Open(parsed, apart)
			if err != nil || !bytes.Equal(got, payload) || parsed.Receiver != k.remote {
				t.Fatalf("%v: Open = % x, %v, want % x", c, got, err, payload)
			}
			if _, err := k.Open(parsed, inPlace); err != ErrReplay {
				t.Errorf("%v: Open of a copy = %v, want %v", c, err, ErrReplay)
			}
		}
		for _, short := range [][]byte{nil, make([]byte, wire.Overhead-1)} {
			if _, err := k.Open(wire.Header{Counter: 1 << 20}, short); err != ErrAuth {
				t.Errorf("Open of %d bytes = %v, want %v", len(short), err, ErrAuth)
			}
		}
		if _, err := k.Open(wire.Header{Counter: RejectAfterMessages}, make([]byte, 40)); err != ErrReplay {
			t.Errorf("Open beyond the last counter = %v, want %v", err, ErrReplay)
		}
	}
}

// Nothing on the frame path allocates.
func TestAllocations(t *testing.T) {
	for _, c := range ciphers {
		k := keypairOf(t, c)
		buf := make([]byte, wire.MaxDatagram)
		payload := make([]byte, wire.MaxPayload)
		now := time.Unix(1, 0)
		from := wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:7000"), Socket: 1}
		allocations := testing.AllocsPerRun(1000, func() {
			counter, err := k.Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			h := wire.Header{Type: wire.TypeFrame, Counter: counter}
			b := k.Seal(buf[:0], h, payload)
			k.Sent(now, len(b))
			parsed, err := wire.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Open(parsed, b); err != nil {
				t.Fatal(err)
			}
			k.Received(now, from, parsed, len(b))
		})
		if allocations != 0 {
			t.Errorf("%v: %v allocations a message, want 0", c, allocations)
		}
	}
}

// Many goroutines seal, open, look up and report while the machine rekeys: no counter is used twice, and every message
// opens exactly once.
func TestConcurrency(t *testing.T) {
	for _, c := range ciphers {
		k := keypairOf(t, c)
		const workers, each = 8, 400
		var opened, replayed, confirms atomic.Int64
		k.confirmed.Store(false)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				now := time.Unix(int64(w), 0)
				from := wire.Endpoint{Addr: netip.AddrPortFrom(address(w), 1)}
				for range each {
					first, err := k.Reserve(2)
					if err != nil {
						t.Error(err)
						return
					}
					for counter := first; counter < first+2; counter++ {
						h := wire.Header{Type: wire.TypeFrame, Counter: counter}
						b := k.Seal(nil, h, []byte("concurrent"))
						k.Sent(now, len(b))
						for _, datagram := range [][]byte{bytes.Clone(b), b} {
							if _, err := k.Open(h, datagram); err == ErrReplay {
								replayed.Add(1)
								continue
							} else if err != nil {
								t.Error(err)
							}
							opened.Add(1)
							if confirm, _ := k.Received(now, from, h, len(datagram)); confirm {
								confirms.Add(1)
							}
						}
					}
				}
			})
		}
		wg.Wait()
		if n := int64(workers * each * 2); opened.Load() != n || replayed.Load() != n || confirms.Load() != 1 {
			t.Errorf("%v: opened %d, refused %d, confirmed %d, want %d, %d, 1", c, opened.Load(), replayed.Load(), confirms.Load(), n, n)
		}
		if traffic := k.session.Traffic(); traffic.TxDatagrams != workers*each*2 || traffic.RxDatagrams != workers*each*2 {
			t.Errorf("%v: traffic %+v", c, traffic)
		}
	}
}

// The frame path reads what the machine publishes while the machine replaces it.
func TestConcurrentMachine(t *testing.T) {
	l := newLab(t, 50)
	a, b := l.add(0), l.add(1)
	a.connect(b)
	l.run(time.Second)
	s := a.Session(b.id())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if k := s.Keypair(); k != nil {
					counter, err := k.Reserve(1)
					if err == nil {
						k.Seal(nil, wire.Header{Type: wire.TypeFrame, Counter: counter}, []byte("x"))
						k.Sent(s.LastSent(), 40)
					}
					a.Lookup(k.index)
					if k.Confirmed() { // else what it says is the machine's to know
						k.Received(s.LastReceived(), s.Endpoint(), wire.Header{Type: wire.TypeFrame, Counter: 1}, 40)
					}
				}
				s.Traffic()
				s.LastReceived()
				a.Counters().Snapshot()
			}
		})
	}
	for range 30 {
		l.run(10 * time.Second)
		l.wantTalk(a, b)
	}
	close(stop)
	wg.Wait()
}

func BenchmarkSeal(b *testing.B) {
	for _, c := range ciphers {
		b.Run(fmt.Sprint(c), func(b *testing.B) {
			k := keypairOf(b, c)
			buf := make([]byte, wire.MaxDatagram)
			payload := buf[wire.HeaderLen:][:wire.MaxPayload]
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				counter, err := k.Reserve(1)
				if err != nil {
					b.Fatal(err)
				}
				k.Seal(buf[:0], wire.Header{Type: wire.TypeFrame, Counter: counter}, payload)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, c := range ciphers {
		b.Run(fmt.Sprint(c), func(b *testing.B) {
			k := keypairOf(b, c)
			h := wire.Header{Type: wire.TypeFrame, Counter: 1}
			sealed := k.Seal(nil, h, make([]byte, wire.MaxPayload))
			buf := make([]byte, len(sealed))
			b.SetBytes(wire.MaxPayload)
			b.ReportAllocs()
			k.windows[0].window = new(replayWindow)
			for b.Loop() {
				copy(buf, sealed)
				*k.windows[0].window = replayWindow{} // the same message again and again
				if _, err := k.Open(h, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandshake is one whole handshake, both sides.
func BenchmarkHandshake(b *testing.B) {
	for b.Loop() {
		l := newLab(b, 1)
		x, y := l.add(0), l.add(1)
		x.connect(y)
		l.run(100 * time.Millisecond)
	}
}
