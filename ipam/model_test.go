package ipam

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

var schedules = flag.Int("schedules", 2000, "seeded schedules that TestModel runs; one alone: -run 'TestModel/^123$'")

// "No two attachments in one network ever hold the same address, across crashes, partitions, clock jumps, restored snapshots and
// removed nodes": whole nodes on disks that fail and one registry behind a network that loses, delays and repeats, stepped by a
// seed. After each step the invariants of checkWorld hold.
func TestModel(t *testing.T) {
	var wg sync.WaitGroup
	seeds := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { newWorld(t, seed).play(80) })
			}
		})
	}
	for seed := range uint64(*schedules) {
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
}

var modelTiming = registry.Timing{DeadAfter: 2 * time.Hour, Grace: 30 * time.Minute, Cooldown: time.Minute}

// world is three hosts, sometimes a clone of one, and their block store.
type world struct {
	t         *testing.T
	rng       *rand.Rand
	now       time.Time // true time
	records   registry.Map
	late      []registry.Command // sent, given up by the sender, and still under way
	nodes     []*modelNode
	instances uint64
	boots     int
	released  map[netip.Addr]release
	trace     []string
}

// release is when an attachment of a machine last held an address.
type release struct {
	at  time.Time
	on  *modelNode
	was Attachment
}

// modelNode is one machine.
type modelNode struct {
	w     *world
	id    registry.NodeID
	name  string
	dir   *memDirectory
	boot  string
	skew  time.Duration // of its clock
	cut   bool          // from the block store
	store *Store
	m     *Manager
	// starts are those of its daemon since it was made, restored or wiped: if the registry knows one of them as the latest of the node,
	// this machine is the node and not a stale copy of it.
	starts map[uint64]bool
	told   map[Attachment]Lease // what attachments were told and use
	stale  bool                 // a copy of a machine that has not reached the block store yet
	// superseded: another machine with this identity, or a later state of this one, has acted since the block store last answered this one, which cannot know. What
	// is promised begins with the next answer that it could write down, and till then nothing is leased (doc.go: "the block store answers only the later one, and the earlier gives up all").
	superseded bool
	answered   time.Time // by its own clock: when the last Refresh that was answered was sent
	// doubted are attachments whose last change failed in a way that leaves unknown what is on the disk, which the caller was told.
	doubted  map[Attachment]bool
	heard    time.Time     // true time of the last Refresh that was answered
	at       time.Duration // skew at that time
	ended    uint64        // the epoch that this process was told has ended
	jumped   time.Time     // when its clock was last set forward, in true time
	snapshot *modelNode    // an earlier state of disk and attachments
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 11)), now: epoch, released: map[netip.Addr]release{}}
	pool := registry.Pool{Prefix: netip.MustParsePrefix("10.77.0.0/26"), BlockBits: 29}
	w.mustApply(registry.Command{Op: registry.OpInit, Registry: registry.ID{1}, Node: registry.NodeID{1},
		Pools: []registry.Pool{pool}, Timing: modelTiming})
	for i := range 3 {
		n := &modelNode{w: w, id: registry.NodeID{byte(i + 1)}, name: fmt.Sprint("n", i+1), dir: newMemDirectory()}
		n.told, n.starts, n.doubted = map[Attachment]Lease{}, map[uint64]bool{}, map[Attachment]bool{}
		w.nodes = append(w.nodes, n)
		n.reboot()
	}
	return w
}

func (w *world) mustApply(c registry.Command) {
	c.Time = w.now
	if r := registry.Apply(&w.records, c); r.Code != registry.OK {
		w.t.Fatalf("%v: %v", c.Op, r.Err())
	}
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) play(steps int) {
	defer func() {
		if p := recover(); p != nil {
			w.log("%s", debug.Stack())
			w.fatalf("panic: %v", p)
		}
	}()
	for range steps {
		w.step()
		w.checkWorld()
	}
}

func (w *world) step() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch p := w.rng.IntN(1000); {
	case p < 380:
		n.attach()
	case p < 560:
		n.detach()
	case p < 640:
		w.log("%s tends", n.name)
		n.m.tend(context.Background())
	case p < 700:
		w.pass(time.Duration(1+w.rng.IntN(90)) * time.Second)
	case p < 730:
		w.pass(time.Duration(5+w.rng.IntN(200)) * time.Minute)
	case p < 780:
		n.cut = !n.cut
		w.log("%s cut: %v", n.name, n.cut)
	case p < 830:
		w.deliver()
	case p < 870:
		n.skewRestart()
	case p < 895:
		n.powerFailure()
	case p < 915:
		n.damage()
	case p < 935:
		n.save()
	case p < 950:
		n.restore()
	case p < 960:
		n.wipe()
	case p < 968:
		n.clone()
	case p < 980:
		w.log("%s is removed", n.name)
		w.apply(registry.Command{Op: registry.OpRemoveNode, To: n.id, Comment: "gone"})
	case p < 990:
		w.reserve()
	default:
		n.m.refresh(context.Background())
		w.log("%s refreshes", n.name)
	}
}

func (w *world) apply(c registry.Command) registry.Result {
	c.Time = w.now
	r := registry.Apply(&w.records, c)
	if c.Instance != 0 && r.Code == registry.OK {
		w.acted(c)
	}
	return r
}

// acted notes that a machine with the identity of c's sender has changed what the others with it may know.
func (w *world) acted(c registry.Command) {
	for _, n := range w.nodes {
		if n.id == c.Node && !n.starts[c.Instance] {
			n.superseded, n.answered = true, time.Time{}
		}
	}
}

func (w *world) reserve() {
	addr := w.addr()
	c := registry.Command{Op: registry.OpReserve, Range: registry.Reservation{First: addr, Last: addr.Next()}}
	if w.rng.IntN(2) == 0 {
		s, _ := registry.Load(&w.records)
		if len(s.Reserved) > 0 {
			c = registry.Command{Op: registry.OpUnreserve, Range: s.Reserved[0]}
			c.Range.Comment = ""
		}
	}
	w.log("%v %v", c.Op, c.Range)
	w.apply(c)
}

func (w *world) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, 0, byte(w.rng.IntN(64))})
}

// pass lets time go by; the leader expires nodes and those that reach the block store tend to their blocks.
func (w *world) pass(d time.Duration) {
	w.log("%v pass", d)
	for d > 0 {
		step := min(d, 5*time.Minute)
		w.now, d = w.now.Add(step), d-step
		w.apply(registry.Command{Op: registry.OpExpireNodes})
		for _, n := range w.nodes {
			if !n.cut && w.rng.IntN(3) > 0 {
				n.m.tend(context.Background())
			}
		}
	}
}

// deliver applies a command that its sender has given up, in any order.
func (w *world) deliver() {
	if len(w.late) == 0 {
		return
	}
	i := w.rng.IntN(len(w.late))
	c := w.late[i]
	r := w.apply(c)
	w.log("late %v of %s: %v", c.Op, c.Node.Short()[:2], r.Err())
	if w.rng.IntN(3) > 0 { // else it comes once more
		w.late = slices.Delete(w.late, i, i+1)
	}
}

// Do is a network that loses, delays and repeats.
func (n *modelNode) Do(_ context.Context, c registry.Command) (registry.Result, error) {
	w := n.w
	fail := fmt.Errorf("%w: the network is cut", ErrNoStore)
	if n.cut {
		if w.rng.IntN(10) == 0 {
			w.late = append(w.late, c)
		}
		return registry.Result{}, fail
	}
	fate := w.rng.IntN(100)
	if fate < 5 {
		return registry.Result{}, fail
	}
	if fate < 12 {
		w.late = append(w.late, c)
		return registry.Result{}, fail
	}
	r := w.apply(c)
	w.log("  %s %v epoch %d %v %v: %v", n.name, c.Op, c.Epoch, c.Block, c.Addr, r.Code)
	if fate < 20 {
		return registry.Result{}, fail // applied, but the answer is lost
	}
	if fate < 30 {
		r = w.apply(c)
	}
	if r.Code == registry.Fenced || r.Code == registry.Superseded {
		n.ended = c.Epoch
	}
	if c.Op == registry.OpRefresh && r.Code == registry.OK {
		n.stale, n.heard, n.at, n.answered = false, w.now, n.skew, n.clock()
	}
	if fate > 95 {
		w.late = append(w.late, c) // a repeat is under way
	}
	return r, nil
}

func (n *modelNode) View(context.Context) (registry.State, error) { return registry.Load(&n.w.records) }
func (n *modelNode) Status() StoreStatus                          { return StoreStatus{Engine: "model"} }
func (n *modelNode) Close() error                                 { return nil }

func (n *modelNode) clock() time.Time { return n.w.now.Add(n.skew) }

// start opens the store as a new process does.
func (n *modelNode) start() {
	w := n.w
	c := testConfig()
	c.Node, c.Boot = n.id, n.boot
	n.dir.failSync, n.dir.failDirSync = false, false
	for n.store = nil; n.store == nil; {
		s, err := open(n.dir, c)
		switch {
		case err == nil:
			n.store = s
		case n.dir.full:
			n.dir.full = false
		case errors.Is(err, errPower):
			n.dir = n.dir.crash(w.rng)
		default:
			w.fatalf("%s cannot open its journal: %v", n.name, err)
		}
	}
	w.instances++
	n.ended = 0
	n.starts[w.instances] = true
	n.m = NewManager(ManagerConfig{Store: n.store, Blocks: n, Node: n.id, Name: n.name, Instance: w.instances,
		Carve: n.askOwner, Now: n.clock})
	n.m.run = func(ctx context.Context, do func(context.Context) error) error { return do(ctx) }
	n.m.pause = func(context.Context) bool { return false }
}

func (n *modelNode) askOwner(ctx context.Context, owner registry.NodeID, addr netip.Addr, epoch uint64, a string) error {
	for _, o := range n.w.nodes {
		if o.id == owner && !o.cut {
			return o.m.CarveOut(ctx, addr, n.id, epoch, a)
		}
	}
	return errors.New("the owner is away")
}

func (n *modelNode) reboot() {
	n.w.boots++
	n.boot = fmt.Sprint("boot", n.w.boots)
	n.start()
}

// skewRestart is a restart of the daemon alone, or of the machine with a clock that is wrong by days.
func (n *modelNode) skewRestart() {
	before := n.skew
	switch n.w.rng.IntN(4) {
	case 0:
		n.skew = time.Duration(n.w.rng.IntN(96)-48) * time.Hour
		n.dir = n.dir.crash(n.w.rng)
		n.reboot()
	case 1:
		n.skew += time.Duration(n.w.rng.IntN(25)-20) * time.Minute
		fallthrough
	default:
		if n.dir.off {
			n.powerFailure()
		} else {
			n.start()
		}
	}
	if n.skew > before {
		n.jumped = n.w.now
	}
	n.w.log("%s restarts, skew %v, boot %s", n.name, n.skew, n.boot)
}

func (n *modelNode) powerFailure() {
	n.w.log("%s loses power", n.name)
	n.dir = n.dir.crash(n.w.rng)
	n.reboot()
}

func (n *modelNode) damage() {
	switch n.w.rng.IntN(4) {
	case 0:
		n.dir.full, n.dir.room = true, n.w.rng.IntN(300)
	case 1:
		n.dir.failSync = true
	case 2:
		n.dir.fuse = 1 + n.w.rng.IntN(6)
	default:
		n.dir.full = false
	}
	n.w.log("%s disk: full %v, sync fails %v, fuse %d", n.name, n.dir.full, n.dir.failSync, n.dir.fuse)
}

// save remembers the state of disk and attachments, as a snapshot of a virtual machine does.
func (n *modelNode) save() {
	if n.store.journal.failed != nil || n.dir.off {
		return
	}
	n.w.log("%s is snapshotted", n.name)
	n.snapshot = &modelNode{dir: n.dir.copy(), told: maps.Clone(n.told)}
}

func (n *modelNode) restore() {
	if n.snapshot == nil {
		return
	}
	n.dir, n.told = n.snapshot.dir.copy(), maps.Clone(n.snapshot.told)
	n.starts = map[uint64]bool{}
	maps.DeleteFunc(n.w.released, func(_ netip.Addr, r release) bool { return r.on == n }) // it has forgotten that
	n.stale, n.superseded, n.answered = true, true, time.Time{}
	n.reboot()
	n.w.log("%s is restored", n.name)
}

// wipe is a host that was installed anew with its identity.
func (n *modelNode) wipe() {
	n.dir, n.told, n.starts, n.snapshot = newMemDirectory(), map[Attachment]Lease{}, map[uint64]bool{}, nil
	n.doubted = map[Attachment]bool{}
	n.reboot()
	n.w.log("%s is wiped", n.name)
}

// clone copies a machine, disk and attachments, which then runs beside it.
func (n *modelNode) clone() {
	if len(n.w.nodes) > 3 || n.dir.off || n.store.journal.failed != nil {
		return
	}
	c := &modelNode{w: n.w, id: n.id, name: n.name + "'", dir: n.dir.copy(), told: maps.Clone(n.told), starts: map[uint64]bool{},
		doubted: map[Attachment]bool{}}
	c.stale, c.superseded = true, true
	if c.skew > n.skew {
		c.jumped = n.w.now // to it, the clock that the journal was written by is set forward
	}
	n.w.nodes = append(n.w.nodes, c)
	c.reboot()
	n.w.log("%s is cloned", n.name)
}

// copy returns the disk as it is.
func (d *memDirectory) copy() *memDirectory {
	c := newMemDirectory()
	for name, f := range d.names {
		b := slices.Clone(f.data)
		c.names[name] = &inode{dir: c, data: b, durable: slices.Clone(b)}
	}
	c.durable = maps.Clone(c.names)
	return c
}

func (n *modelNode) attach() {
	a := Attachment{fmt.Sprint("c", n.w.rng.IntN(14)), "eth0"}
	r := Request{Attachment: a, Holder: cni}
	if n.w.rng.IntN(6) == 0 {
		r.IPv4.Addr = n.w.addr()
	}
	if n.w.rng.IntN(5) == 0 {
		r.Former = Attachment{fmt.Sprint("c", n.w.rng.IntN(14)), "eth0"}
	}
	before := n.store.held.leases[a]
	former, passes := n.store.held.leases[r.Former]
	under := n.store.held.v4.terms.Epoch
	l, err := n.m.Lease(context.Background(), r, nil)
	n.w.log("%s attach %v %v, formerly %v: %v %v", n.name, a, r.IPv4.Addr, former, l.IPv4, err)
	n.m.notUntil = time.Time{}
	if err != nil {
		if n.store.journal.failed != nil {
			n.doubted[a] = true
			if passes { // it may have been passed on
				delete(n.told, a)
				delete(n.told, r.Former)
			}
		}
		return
	}
	if !l.IPv4.IsValid() || l.Lost || r.IPv4.Addr.IsValid() && l.IPv4 != r.IPv4.Addr {
		n.w.fatalf("Lease(%v, %v) on %s = %v", a, r.IPv4.Addr, n.name, l)
	}
	kept := passes && !former.Lost && former.IPv4 == l.IPv4
	if passes {
		delete(n.told, r.Former)
		// An address that was lost meanwhile, because the node was fenced, is not released.
		if !kept && !former.Lost && former.IPv4.IsValid() && n.rightful(n.w.state()) && n.store.held.v4.terms.Epoch == under {
			n.w.released[former.IPv4] = release{n.w.now, n, r.Former}
		}
	}
	if (before.IPv4 != l.IPv4 || before.Lost) && !kept {
		n.checkCooldown(l)
		if n.stale {
			n.w.fatalf("%s is a copy, has not reached the block store and leases %v", n.name, l)
		}
		if age := n.w.now.Sub(n.heard) - max(n.at-n.skew, 0); age > modelTiming.DeadAfter {
			n.w.fatalf("%s has not reached the block store for %v and leases %v", n.name, age, l)
		}
	}
	n.told[a] = l
	delete(n.doubted, a)
}

// checkCooldown: "an address is not reused before a cooldown" by another attachment; that of the same name on another host is the one that
// had it, moved.
func (n *modelNode) checkCooldown(l Lease) {
	last, ok := n.w.released[l.IPv4]
	copied := ok && last.on != n && last.on.id == n.id
	if !ok || copied || last.was == l.Attachment || !n.rightful(n.w.state()) {
		return
	}
	for _, o := range n.w.nodes {
		if (o == n || o.id == last.on.id) && !last.at.After(o.jumped) {
			return // a clock that is set forward while the daemon is down shortens a cooldown
		}
	}
	if d := n.w.now.Sub(last.at); d < modelTiming.Cooldown {
		n.w.fatalf("%v on %s is leased to %v %v after %s:%v released it", l.IPv4, n.name, l.Attachment, d, last.on.name, last.was)
	}
}

func (n *modelNode) detach() {
	leases := slices.SortedFunc(maps.Keys(n.told), Attachment.compare)
	if len(leases) == 0 {
		return
	}
	a := leases[n.w.rng.IntN(len(leases))]
	l := n.told[a]
	delete(n.told, a) // whatever the answer: the container is gone
	_, err := n.m.Release(a)
	n.w.log("%s detach %v %v: %v", n.name, a, l.IPv4, err)
	if err == nil && !l.Lost && n.rightful(n.w.state()) {
		n.w.released[l.IPv4] = release{n.w.now, n, a}
	}
}

func (w *world) state() registry.State {
	s, err := registry.Load(&w.records)
	if err != nil {
		w.fatalf("Load: %v", err)
	}
	return s
}

// rightful reports whether the registry takes this machine for its node, under the epoch that the machine has. Others are fenced, or
// nobody can know yet that they are copies.
func (n *modelNode) rightful(s registry.State) bool {
	r, ok := s.Nodes[n.id]
	return ok && !r.Removed && !n.superseded && n.starts[r.Instance] && r.Epoch == n.store.held.v4.terms.Epoch
}

// checkWorld fails unless no two attachments of rightful machines hold the same address, each holds one that the registry gives
// its node, nothing that was told is lost, and each part is in order.
func (w *world) checkWorld() {
	w.t.Helper()
	s := w.state()
	for _, v := range registry.Check(s) {
		w.fatalf("registry: %v", v)
	}
	holder := map[netip.Addr]string{}
	for _, n := range w.nodes {
		for _, wrong := range n.store.held.check() {
			w.fatalf("%s: %s", n.name, wrong)
		}
		if n.ended != 0 && n.ended == n.store.held.v4.terms.Epoch && !n.store.refused(n.clock()) {
			w.fatalf("%s was told that epoch %d has ended and goes on leasing under it", n.name, n.ended)
		}
		n.superseded = n.superseded && (n.answered.IsZero() || !n.store.contacted.Equal(n.answered))
		rightful := n.rightful(s)
		for a, told := range n.told {
			l, ok := n.store.held.leases[a]
			// A lost address may have been replaced by a change that the caller was told may be on the disk or not.
			replaced := told.Lost && n.doubted[a]
			if !ok || l.IPv6 != told.IPv6 || l.IPv4 != told.IPv4 && !replaced {
				w.fatalf("%s was told %v and has %v", n.name, told, l)
			}
			if n.told[a] = l; l.Lost || !rightful {
				continue
			}
			name := n.name + ":" + a.Container
			if other, ok := holder[l.IPv4]; ok {
				w.fatalf("%s and %s both have %v", other, name, l.IPv4)
			}
			holder[l.IPv4] = name
			if !owned(s, n.id, l.IPv4) {
				w.fatalf("%s has %v, which the registry does not give to %s", name, l.IPv4, n.name)
			}
		}
	}
}

// owned reports whether the registry gives addr to the node.
func owned(s registry.State, id registry.NodeID, addr netip.Addr) bool {
	if c, ok := s.Claims[addr]; ok && c.Owner != (registry.NodeID{}) {
		return c.Owner == id
	}
	pool, _ := registry.PoolOf(s.Pools, addr)
	return s.Blocks[pool.BlockOf(addr)].Owner == id
}
