package ipam

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// model is what callers were told.
type model struct {
	acked   map[Attachment]Lease
	unsure  map[Attachment][]Holder   // the answer was an error that leaves open what the disk has; who asked
	address map[Attachment]netip.Addr // the one it always gets
}

// schedule is one seeded run of lease, another holder, release, full disk, failed sync, kill and power failure.
type schedule struct {
	t     *testing.T
	rng   *rand.Rand
	dir   *memDirectory
	store *Store
	model model
	now   time.Time
}

// "After each step no address is held twice, and nothing acknowledged is lost", for thousands of schedules. One alone:
// go test -run 'TestCrash/^123$'.
func TestCrash(t *testing.T) {
	for seed := range uint64(3000) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := &schedule{t: t, rng: rand.New(rand.NewPCG(seed, 7)), dir: newMemDirectory(), now: epoch}
			c.model = model{map[Attachment]Lease{}, map[Attachment][]Holder{}, map[Attachment]netip.Addr{}}
			c.boot()
			for range 60 {
				c.step()
				c.checkInvariants()
			}
			c.powerFailure()
			c.checkInvariants()
		})
	}
}

func (c *schedule) step() {
	c.now = c.now.Add(time.Second)
	switch n := c.rng.IntN(100); {
	case n < 45:
		c.change(1)
	case n < 65:
		c.change(2 + c.rng.IntN(8))
	case n < 70:
		c.dir.full, c.dir.room = true, c.rng.IntN(200)
	case n < 78:
		c.dir.full = false
	case n < 81:
		c.dir.failSync = !c.dir.failSync
	case n < 84:
		c.dir.fuse = 1 + c.rng.IntN(6)
	case n < 88:
		c.store.writing.Lock()
		c.store.journal.limit = 0 // compact at the next write
		c.store.writing.Unlock()
	case n < 94:
		c.kill()
	default:
		c.powerFailure()
	}
}

// change leases n attachments, gives their leases to another holder or releases them, as concurrent callers do: all join the
// queue before the first commits.
func (c *schedule) change(n int) {
	type call struct {
		a       Attachment
		holder  Holder // of a lease
		release bool
		b       *batch
	}
	var calls []call
	for range n {
		a := Attachment{fmt.Sprint("c", c.rng.IntN(12)), "eth0"}
		holder := Holder{Source: "cni", NetNS: fmt.Sprint("/run/netns/", c.rng.IntN(4)),
			Config: []string{"", "podnet"}[c.rng.IntN(2)], Aliases: []string{"", "", "www api"}[c.rng.IntN(3)]}
		release := c.rng.IntN(5) < 2
		var b *batch
		var own bool
		if release {
			b, own, _ = c.store.startRelease(c.now, a)
		} else {
			_, b, own, _ = c.store.startLease6(c.now, a, holder, takenElsewhere)
		}
		if own {
			calls = append(calls, call{a, holder, release, b})
		}
	}
	c.rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	for _, call := range calls {
		c.record(call.a, call.holder, call.release, c.store.commit(call.b))
	}
}

// takenElsewhere is a network in which other nodes hold every third address.
func takenElsewhere(_ netip.Addr, m MAC) bool { return m[5]%3 == 0 }

func (c *schedule) record(a Attachment, holder Holder, release bool, err error) {
	before, held := c.model.acked[a]
	switch {
	case errors.Is(err, syscall.ENOSPC) && !errors.Is(err, ErrFailed):
		// as before
	case err != nil:
		asked := c.model.unsure[a]
		if !release {
			asked = append(asked, holder)
		}
		c.model.unsure[a] = asked
	case release:
		delete(c.model.acked, a)
	default:
		l, err := c.store.lease6(c.now, a, holder, takenElsewhere)
		if err != nil {
			c.t.Fatalf("Lease(%v) after its commit: %v", a, err)
		}
		if before.Holder = holder; held && l != before {
			c.t.Fatalf("Lease(%v, %v) = %v, want what it had: %v", a, holder, l, before)
		}
		if first, ok := c.model.address[a]; ok && first != l.IPv6 {
			c.t.Fatalf("Lease(%v) = %v, before it was %v", a, l.IPv6, first)
		}
		c.model.acked[a], c.model.address[a] = l, l.IPv6
	}
}

// kill is kill -9: the kernel and its page cache live on.
func (c *schedule) kill() {
	if c.dir.off {
		c.powerFailure()
		return
	}
	c.dir.failSync, c.dir.failDirSync = false, false
	c.boot()
}

func (c *schedule) powerFailure() {
	c.dir = c.dir.crash(c.rng)
	c.boot()
}

// boot opens the store as a new process does, and learns what became of the changes with an unknown outcome.
func (c *schedule) boot() {
	c.store = nil
	for c.store == nil {
		s, err := open(c.dir, testConfig())
		switch {
		case err == nil:
			c.store = s
		case errors.Is(err, errPower):
			c.dir = c.dir.crash(c.rng)
		case errors.Is(err, syscall.ENOSPC):
			c.dir.full = false
		default:
			c.t.Fatalf("open: %v", err)
		}
	}
	found := map[Attachment]Lease{}
	for _, l := range c.store.Leases() {
		found[l.Attachment] = l
	}
	for a, asked := range c.model.unsure {
		if l, ok := found[a]; ok {
			before, held := c.model.acked[a]
			tried := slices.Contains(asked, l.Holder)
			if tried {
				before.Holder = l.Holder
			}
			if held && l != before || !held && !tried {
				c.t.Fatalf("after a restart %v is leased, callers were told %v and had asked for %v", l, before, asked)
			}
			c.model.acked[a] = l
		} else {
			delete(c.model.acked, a)
		}
	}
	clear(c.model.unsure)
	if !maps.Equal(found, c.model.acked) {
		c.t.Fatalf("after a restart the leases are\n%v, callers were told\n%v", found, c.model.acked)
	}
}

func (c *schedule) checkInvariants() {
	c.t.Helper()
	tab := c.store.held
	checkTable(c.t, tab)
	for a, l := range tab.leases {
		if reserved(iidOf(l.IPv6)) || l.MAC == GatewayMAC(testConfig().NetworkID) || takenElsewhere(l.IPv6, l.MAC) {
			c.t.Fatalf("%v was given %v %v, which it must not have", a, l.IPv6, l.MAC)
		}
	}
	if len(c.store.pending)+len(c.store.iids)+len(c.store.macs)+len(c.store.queue) != 0 {
		c.t.Fatalf("idle, but pending are %v", c.store.pending)
	}
	if !maps.Equal(tab.leases, c.model.acked) {
		c.t.Fatalf("leases are\n%v, callers were told\n%v", slices.Collect(maps.Values(tab.leases)), c.model.acked)
	}
	if c.store.journal.failed != nil || c.dir.off {
		return
	}
	b, err := c.dir.read(journalName)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, disk, good, err := replay(b); err != nil || good != len(b) || !maps.Equal(disk.leases, tab.leases) {
		c.t.Fatalf("the journal holds %v (%d of %d bytes, %v), the table %v", disk, good, len(b), err, tab.leases)
	}
}
