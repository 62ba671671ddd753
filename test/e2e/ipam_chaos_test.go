package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// "5 real hosts × 200 concurrent attach/detach with partitions and kill -9 of meshd and of the leader; no duplicate, no lost lease, no
// leak after everything settles."
//
//	a, b, c, d, e ══ underlay with partitions: 200 containers each that come and go, and every few seconds a meshd dies
func TestAttachUnderFire(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c", "d", "e")
	mesh(t, "mesh", hosts...)
	votes(t, 3, hosts...)

	book := &ledger{t: t, holders: map[netip.Addr]string{}, held: map[string]netip.Addr{}, counts: map[string]int{}}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var wg sync.WaitGroup
	for _, h := range hosts {
		client := h.Client()
		defer client.Close()
		for i := range 200 {
			w := &worker{ledger: book, client: client, host: h.Name, name: fmt.Sprintf("c%d", i), rng: rand.New(rand.NewPCG(uint64(i), uint64(h.Name[0])))}
			wg.Go(func() { w.play(ctx) })
		}
	}
	done := fire(t, l, hosts, 40*time.Second)
	l.Heal()
	end()
	wg.Wait()
	t.Logf("%v; %v; %d attached at the end", done, book.counts, len(book.held))
	for _, what := range []string{"killed", "cut off", "leader killed"} {
		if done[what] == 0 {
			t.Errorf("no host was %s: %v", what, done)
		}
	}
	if n := book.counts["attached"]; n < 2000 {
		t.Errorf("%d attaches were answered, want at least two for each of 1,000 containers", n)
	}

	meshed(t, hosts...)
	for _, h := range hosts {
		var got map[string]netip.Addr
		h.Within(45*time.Second, "lists what was left attached, and nothing else", func() bool {
			got = map[string]netip.Addr{}
			for _, l := range leases(h) {
				for _, addr := range l.Addresses {
					if addr.Is4() {
						got[l.Node+"/"+l.Container] = addr
					}
				}
			}
			return maps.Equal(got, book.held)
		}, func() string { return difference(got, book.held) })
	}
	sound(t, hosts...)
}

// fire kills and cuts off hosts for a while: in turn any meshd, the network of any host, and the leader of the block registry. It
// returns how often it did what.
func fire(t *testing.T, l *lab.Lab, hosts []*lab.Host, last time.Duration) map[string]int {
	t.Helper()
	done := make(map[string]int)
	rng := rand.New(rand.NewPCG(1, 2))
	deadline := time.Now().Add(last)
	for i := 0; time.Now().Before(deadline); i++ {
		victim := hosts[rng.IntN(len(hosts))]
		switch i % 3 {
		case 0:
			t.Logf("kill -9 of meshd on %s", victim.Name)
			done["killed"]++
			victim.Meshd().Kill9()
			victim.StartMeshd()
		case 1:
			t.Logf("%s is cut off", victim.Name)
			done["cut off"]++
			l.Partition(victim)
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
			l.Heal()
		case 2:
			leader := ""
			for _, h := range hosts { // not everyone has found it again
				leader = cmp.Or(leader, blocks(h).Leader)
			}
			for _, h := range hosts {
				if h.Name == leader {
					t.Logf("kill -9 of meshd on the leader %s", leader)
					done["leader killed"]++
					h.Meshd().Kill9()
					time.Sleep(time.Duration(rng.IntN(10000)) * time.Millisecond) // long enough for another one to lead, or not
					h.StartMeshd()
				}
			}
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	return done
}

// ledger is what meshd has acknowledged: who holds which address between the answer to an attach and the beginning of the detach.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	holders map[netip.Addr]string
	held    map[string]netip.Addr // by HOST/CONTAINER
	counts  map[string]int        // of answers, by kind
}

// attached notes an answer: nobody else holds the address, and who held one still has it.
func (l *ledger) attached(who string, addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["attached"]++
	if other, ok := l.holders[addr]; ok && other != who {
		l.t.Errorf("%v is given to %s while %s holds it", addr, who, other)
	}
	if had, ok := l.held[who]; ok && had != addr {
		l.t.Errorf("%s has the address %v, and had %v: a lease was lost", who, addr, had)
		delete(l.holders, had)
	}
	l.holders[addr], l.held[who] = who, addr
}

// detaching notes that an address may be anybody's from now on.
func (l *ledger) detaching(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["detached"]++
	delete(l.holders, l.held[who])
	delete(l.held, who)
}

// failed notes what may go wrong when hosts die, and fails the test for anything else.
func (l *ledger) failed(who string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var answer *api.Error
	switch {
	case !errors.As(err, &answer):
		l.counts["no answer"]++
	case answer.Code == api.Unavailable:
		l.counts["no address"]++
	default:
		l.t.Errorf("%s: %s: %v", who, answer.Code, err)
	}
}

// worker is one container that comes and goes.
type worker struct {
	*ledger
	client     *api.Client
	host, name string
	rng        *rand.Rand
}

// play attaches and detaches until ctx ends, and leaves one in two attached.
func (w *worker) play(ctx context.Context) {
	who := w.host + "/" + w.name
	for ctx.Err() == nil {
		if !w.attach(who) {
			return
		}
		w.rest(ctx)
		if w.rng.IntN(2) == 0 && !w.attach(who) { // attaching again changes nothing
			return
		}
		if ctx.Err() != nil && w.rng.IntN(2) == 0 {
			return
		}
		w.detaching(who)
		if !w.insist("detaches "+who, func() bool { return w.detached(who) }) {
			return
		}
		w.rest(ctx)
	}
}

// rest waits for up to five seconds.
func (w *worker) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(w.rng.IntN(5000)) * time.Millisecond):
	}
}

// attach asks until meshd has answered, and says whether it has.
func (w *worker) attach(who string) bool {
	return w.insist("attaches "+who, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a, err := w.client.Attach(ctx, api.AttachRequest{Network: "mesh", Container: w.name, IfName: "eth0"})
		if err != nil {
			w.failed(who, err)
			return false
		}
		w.attached(who, ipv4Of(a))
		return true
	})
}

// insist repeats try until it succeeds, for a minute.
func (w *worker) insist(what string, try func() bool) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		if try() {
			return true
		}
	}
	w.t.Errorf("not within a minute: meshd %s", what)
	return false
}

// detached asks once, and says whether meshd has answered.
func (w *worker) detached(who string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := w.client.Detach(ctx, api.DetachRequest{Network: "mesh", Container: w.name, IfName: "eth0"})
	if err != nil {
		w.failed(who, err)
	}
	return err == nil
}

// difference says in a few lines how got is not want.
func difference(got, want map[string]netip.Addr) (text string) {
	n := 0
	for _, m := range []map[string]netip.Addr{got, want} {
		for who := range m {
			if got[who] != want[who] && n < 10 {
				text += fmt.Sprintf("\n%s: %v, want %v", who, got[who], want[who])
				n++
			}
		}
	}
	return fmt.Sprintf("%d leases, want %d%s", len(got), len(want), text)
}
