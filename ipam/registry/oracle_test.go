package registry

import (
	"net/netip"
	"testing"
	"time"
)

// oracle remembers, in the plainest way, who was told to own what, and when that ended; and objects to a grant that comes too
// early. It knows nothing of records.
type oracle struct {
	age    time.Duration
	now    time.Time
	timing Timing
	blocks map[netip.Prefix]tenure
	addrs  map[netip.Addr]tenure
	ended  map[NodeID]map[uint64]time.Duration // node, epoch
	epochs map[NodeID]uint64
}

// tenure is the last that is known of a block or address.
type tenure struct {
	node  NodeID
	epoch uint64
	back  time.Duration // given back: when it may be someone else's; 0: held
}

func newOracle() *oracle {
	return &oracle{
		blocks: make(map[netip.Prefix]tenure),
		addrs:  make(map[netip.Addr]tenure),
		ended:  make(map[NodeID]map[uint64]time.Duration),
		epochs: make(map[NodeID]uint64),
	}
}

func (o *oracle) saw(t testing.TB, c Command, r Result) {
	t.Helper()
	if r.Code != OK {
		return
	}
	if step := r.Time.Sub(o.now); step > 0 && step <= MaxStep {
		o.age += step
	}
	o.now = r.Time
	o.timing = r.Timing
	switch c.Op {
	case OpRefresh:
		if last := o.epochs[c.Node]; last != 0 && last != r.Epoch {
			o.end(c.Node, last)
		}
		o.epochs[c.Node] = r.Epoch
		for _, g := range r.Blocks {
			o.granted(t, c, r.Epoch, g)
		}
		o.missing(t, c, r)
	case OpClaim:
		for _, g := range r.Blocks {
			o.granted(t, c, r.Epoch, g)
		}
	case OpClaimAddress:
		o.claimed(t, c.Addr, c.Node, r.Epoch)
	case OpCarveOut:
		o.carved(t, c)
	case OpReleaseBlock:
		if h, ok := o.blocks[c.Block]; ok && h.node == c.Node && h.epoch == r.Epoch && h.back == 0 {
			h.back = o.age + o.timing.Cooldown
			o.blocks[c.Block] = h
		}
	case OpReleaseAddress:
		if h, ok := o.addrs[c.Addr]; ok && h.node == c.Node && h.epoch == r.Epoch && h.back == 0 {
			h.back = o.age + o.timing.Cooldown
			o.addrs[c.Addr] = h
		}
	case OpRemoveNode:
		o.end(c.To, o.epochs[c.To])
	case OpExpireNodes:
		for _, id := range r.Removed {
			o.end(id, o.epochs[id])
		}
	}
}

func (o *oracle) end(id NodeID, epoch uint64) {
	if o.ended[id] == nil {
		o.ended[id] = make(map[uint64]time.Duration)
	}
	if _, ok := o.ended[id][epoch]; !ok {
		o.ended[id][epoch] = o.age
	}
}

// over says whether what h describes may be given to another.
func (o *oracle) over(h tenure) bool {
	if h.back != 0 {
		return o.age >= h.back
	}
	at, ok := o.ended[h.node][h.epoch]
	return ok && o.age >= at+o.timing.Grace
}

// missing: a Refresh lists all that the node owns. Only under a new generation it may be less than it was, by what the
// node did not bring.
func (o *oracle) missing(t testing.TB, c Command, r Result) {
	t.Helper()
	listed := make(map[netip.Prefix]bool)
	for _, g := range r.Blocks {
		listed[g.Block] = true
	}
	brought := make(map[netip.Prefix]bool)
	for _, u := range c.Uses {
		brought[u.Block] = true
	}
	for b, h := range o.blocks {
		if h.node != c.Node || h.epoch != r.Epoch || h.back != 0 || listed[b] {
			continue
		}
		if c.Generation == r.Generation || brought[b] {
			t.Fatalf("refresh of node %s does not list its block %v", c.Node.Short(), b)
		}
		h.back = o.age + o.timing.Grace
		o.blocks[b] = h
	}
	claims := make(map[netip.Addr]bool)
	for _, u := range r.Claims {
		claims[u.Addr] = true
	}
	for a, h := range o.addrs {
		if h.node != c.Node || h.epoch != r.Epoch || h.back != 0 || claims[a] {
			continue
		}
		if c.Generation == r.Generation {
			t.Fatalf("refresh of node %s does not list its address %v", c.Node.Short(), a)
		}
		h.back = o.age + o.timing.Grace
		o.addrs[a] = h
	}
}

func (o *oracle) granted(t testing.TB, c Command, epoch uint64, g Grant) {
	t.Helper()
	h, known := o.blocks[g.Block]
	same := known && h.node == c.Node && h.epoch == epoch && h.back == 0
	if known && !same && !o.over(h) {
		t.Fatalf("%v of node %s was given %v, which is node %s's", c.Op, c.Node.Short(), g.Block, h.node.Short())
	}
	o.blocks[g.Block] = tenure{node: c.Node, epoch: epoch}
	except := make(map[netip.Addr]bool)
	for _, a := range g.Except {
		except[a] = true
	}
	for a, h := range o.addrs {
		if g.Block.Contains(a) && !o.over(h) && !except[a] {
			t.Fatalf("%v of node %s was given %v without an exception for %v, which is node %s's", c.Op, c.Node.Short(), g.Block, a, h.node.Short())
		}
	}
}

func (o *oracle) claimed(t testing.TB, a netip.Addr, id NodeID, epoch uint64) {
	t.Helper()
	for b, h := range o.blocks {
		same := o.addrs[a] == tenure{node: id, epoch: epoch}
		if b.Contains(a) && !o.over(h) && !same {
			t.Fatalf("node %s was given %v of block %v, which is node %s's", id.Short(), a, b, h.node.Short())
		}
	}
	o.take(t, a, id, epoch)
}

func (o *oracle) carved(t testing.TB, c Command) {
	t.Helper()
	for b, h := range o.blocks {
		if b.Contains(c.Addr) && (h.node != c.Node || h.back != 0) {
			t.Fatalf("node %s carved %v out of block %v, which is node %s's", c.Node.Short(), c.Addr, b, h.node.Short())
		}
	}
	o.take(t, c.Addr, c.To, c.ToEpoch)
}

func (o *oracle) take(t testing.TB, a netip.Addr, id NodeID, epoch uint64) {
	t.Helper()
	want := tenure{node: id, epoch: epoch}
	if h, ok := o.addrs[a]; ok && h != want && !o.over(h) {
		t.Fatalf("node %s was given %v, which is node %s's", id.Short(), a, h.node.Short())
	}
	o.addrs[a] = want
}
