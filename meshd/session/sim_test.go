package session

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"
	"time"

	"meshnet/meshd/wire"
)

var simSeed = flag.Uint64("sim.seed", 0, "run the simulations with this seed alone")

// Two or three machines on a link that loses and reorders: they end with keys that work, and from the time that both
// sides of a pair have established a session, whatever one seals the other opens, if it arrives and neither has lost the
// session.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(40)
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { simulate(t, seed, nil) })
	}
}

// A simulation does the same again with the same seed, to the byte.
func TestSimulationRepeats(t *testing.T) {
	var sums [2][]byte
	for i := range sums {
		h := sha256.New()
		simulate(t, 7, func(d delivery) { h.Write(d.bytes) })
		sums[i] = h.Sum(nil)
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("seed 7 sent %x, then %x", sums[0], sums[1])
	}
}

func simulate(t *testing.T, seed uint64, sniff func(delivery)) {
	l := newLab(t, seed)
	l.sniff = sniff
	for n := range 2 + int(seed%2) {
		l.add(n)
	}
	l.minDelay, l.maxDelay = time.Millisecond, time.Duration(1+l.rng.IntN(300))*time.Millisecond
	l.loss = float64(l.rng.IntN(30)) / 100
	for _, h := range l.hosts {
		h.mute = l.rng.IntN(4) == 0
		h.skew = time.Duration(l.rng.IntN(600)-300) * time.Second
	}
	for i, a := range l.hosts {
		for j, b := range l.hosts {
			if i < j || i > j && l.rng.IntN(2) == 0 {
				a.connect(b)
			}
		}
		l.run(time.Duration(l.rng.IntN(200)) * time.Millisecond)
	}
	l.chat(3 * time.Minute)
	if l.rng.IntN(2) == 0 {
		l.restart(0)
	}
	l.chat(3 * time.Minute)

	// In quiet, everyone agrees.
	l.loss = 0
	for _, h := range l.hosts {
		h.mute = false
	}
	l.chat(30 * time.Second)
	for i, a := range l.hosts {
		for _, b := range l.hosts[:i] {
			l.wantTalk(a, b)
		}
	}
	for _, h := range l.hosts {
		for _, p := range h.roster {
			if n := len(p.session.keypairs); n > maxKeypairs {
				t.Errorf("%d keypairs with one peer, want at most %d", n, maxKeypairs)
			}
		}
	}
}

// restart ends host i and starts its next instance, which knows only what it is told.
func (l *lab) restart(i int) {
	old := l.hosts[i]
	old.down = true
	h := l.add(i, func(c *Config) { c.Instance = old.cfg.Instance + 100 })
	h.skew, h.mute = old.skew, old.mute
	l.hosts[i], l.hosts = h, l.hosts[:len(l.hosts)-1]
	for _, other := range l.hosts {
		if other != h && l.rng.IntN(2) == 0 {
			h.connect(other)
		}
	}
}

// chat has every pair talk for d, and checks each delivery of a pair that is established on both sides.
func (l *lab) chat(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); {
		for _, a := range l.hosts {
			for _, b := range l.hosts {
				if a != b && l.rng.IntN(3) == 0 {
					l.probe(a, b)
				}
			}
		}
		l.run(time.Duration(l.rng.IntN(2000)) * time.Millisecond)
	}
}

// probe seals a frame on a and, if both sides are established, opens a copy on b at once, without the link.
func (l *lab) probe(a, b *host) {
	sa, sb := a.Session(b.id()), b.Session(a.id())
	if sa == nil || sb == nil || sa.Keypair() == nil || sb.Keypair() == nil ||
		sb.Instance() != a.cfg.Instance || sa.Instance() != b.cfg.Instance {
		return
	}
	k, text := sa.Keypair(), []byte("probe")
	counter, err := k.Reserve(1)
	if err != nil {
		l.t.Fatalf("%v: Reserve = %v", l.now, err)
	}
	sealed := k.Seal(nil, wire.Header{Type: wire.TypeFrame, Counter: counter}, text)
	k.Sent(a.clock(), len(sealed))
	h, err := wire.ParseHeader(sealed)
	if err != nil {
		l.t.Fatal(err)
	}
	other := b.Lookup(h.Receiver)
	if other == nil {
		if !k.Confirmed() {
			return // a session that is new on this side alone
		}
		l.t.Errorf("%v: %s seals for %s with a keypair that %s does not hold", l.now, a.name, b.name, b.name)
		return
	}
	if l.rng.Float64() < l.loss {
		return
	}
	payload, err := other.Open(h, sealed)
	if err != nil || !bytes.Equal(payload, text) {
		l.t.Errorf("%v: %s cannot open what %s sealed: %v", l.now, b.name, a.name, err)
		return
	}
	confirm, _ := other.Received(b.clock(), sb.Endpoint(), h, len(sealed))
	if confirm && !b.mute {
		b.Confirmed(b.clock(), other)
		b.flush()
	}
}
