package registry

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var schedules = flag.Int("schedules", 60, "random schedules to run")

// TestSchedules runs nodes that claim, release, carve out, restart, are removed and come back, with commands that arrive twice, late or never, and with
// clocks that jump. After each step the registry is sound, and nobody was given what may still be another's.
func TestSchedules(t *testing.T) {
	for seed := range *schedules {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newSchedule(t, uint64(seed)).run(150) })
	}
}

type schedule struct {
	*world
	rand  *rand.Rand
	nodes []*actor
	late  []Command // on their way
	gen   uint64
}

// actor is what a node believes.
type actor struct {
	name     string
	instance uint64
	epoch    uint64
	seq      uint64
	gen      uint64
	blocks   map[netip.Prefix]bool
	claims   map[netip.Addr]bool
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	sizes := []string{"10.0.0.0/29", "10.0.0.0/27", "10.0.0.0/25", "10.0.0.0/24"}
	s := &schedule{world: newWorld(t, pool(sizes[r.IntN(len(sizes))])), rand: r, gen: 1}
	for i := range 4 {
		s.nodes = append(s.nodes, &actor{name: string(rune('a' + i)), instance: 1, blocks: map[netip.Prefix]bool{}, claims: map[netip.Addr]bool{}})
	}
	return s
}

func (s *schedule) run(steps int) {
	for range steps {
		n := s.nodes[s.rand.IntN(len(s.nodes))]
		switch s.rand.IntN(24) {
		case 0:
			n.instance++ // a restart
			n.seq = 0
		case 1:
			s.do(Command{Op: OpRemoveNode, To: node(n.name)})
		case 2:
			s.now = s.now.Add(time.Duration(s.rand.IntN(7200)-600) * time.Second)
		case 3:
			s.pass(time.Duration(s.rand.IntN(90)) * time.Minute)
		case 4:
			s.reserve()
		case 5:
			if s.rand.IntN(8) == 0 {
				s.gen++
				s.do(Command{Op: OpRecover, Generation: s.gen})
			}
		case 6, 7, 8:
			if len(s.late) > 0 {
				s.do(s.late[s.rand.IntN(len(s.late))]) // late, perhaps not for the first time
			}
		default:
			s.call(n)
		}
	}
}

func (s *schedule) reserve() {
	a := s.someAddr()
	op := OpReserve
	if s.rand.IntN(2) == 0 {
		op = OpUnreserve
	}
	s.do(Command{Op: op, Range: Reservation{First: a, Last: a}})
}

func (s *schedule) someAddr() netip.Addr { return fromUint32(10<<24 + uint32(s.rand.IntN(64))) }

// call has n send a command, which may be lost on the way or lose its answer.
func (s *schedule) call(n *actor) {
	c := s.command(n)
	s.late = append(s.late, c)
	if len(s.late) > 12 {
		s.late = s.late[1:]
	}
	switch s.rand.IntN(6) {
	case 0: // lost, or to arrive later
	case 1:
		s.do(c) // the answer is lost
	default:
		s.learn(n, c, s.do(c))
	}
}

func (s *schedule) command(n *actor) Command {
	n.seq++
	c := Command{Node: node(n.name), Instance: n.instance, Epoch: n.epoch, Seq: n.seq, Generation: n.gen, Name: n.name}
	if n.epoch == 0 {
		c.Op = OpRefresh
		return c
	}
	switch s.rand.IntN(8) {
	case 0, 1:
		c.Op = OpClaim
		c.Have = slices.SortedFunc(maps.Keys(n.blocks), comparePrefix)
	case 2:
		c.Op, c.Addr, c.Attachment = OpClaimAddress, s.someAddr(), n.name+"/eth0"
	case 3:
		to := s.nodes[s.rand.IntN(len(s.nodes))]
		c.Op, c.Addr, c.To, c.ToEpoch, c.Attachment = OpCarveOut, s.someAddr(), node(to.name), to.epoch, to.name+"/eth0"
	case 4:
		c.Op = OpReleaseBlock
		c.Block = netip.PrefixFrom(s.someAddr(), 31).Masked()
		for _, b := range slices.SortedFunc(maps.Keys(n.blocks), comparePrefix) {
			c.Block = b
			delete(n.blocks, b)
			break
		}
	case 5:
		c.Op, c.Addr = OpReleaseAddress, s.someAddr()
		for _, a := range slices.SortedFunc(maps.Keys(n.claims), netip.Addr.Compare) {
			c.Addr = a
			delete(n.claims, a)
			break
		}
	default:
		c.Op = OpRefresh
		for _, b := range slices.SortedFunc(maps.Keys(n.blocks), comparePrefix) {
			c.Uses = append(c.Uses, BlockUse{Block: b, Leased: s.rand.IntN(3)})
		}
		for _, a := range slices.SortedFunc(maps.Keys(n.claims), netip.Addr.Compare) {
			c.Claims = append(c.Claims, AddressUse{Addr: a, Attachment: n.name + "/eth0"})
		}
	}
	return c
}

func (s *schedule) learn(n *actor, c Command, r Result) {
	switch {
	case r.Code == Fenced || r.Code == Superseded:
		n.epoch, n.blocks, n.claims = 0, map[netip.Prefix]bool{}, map[netip.Addr]bool{}
		if r.Code == Superseded {
			n.instance += 10
		}
	case r.Code != OK:
	case c.Op == OpRefresh:
		n.epoch, n.gen = r.Epoch, r.Generation
		n.blocks, n.claims = map[netip.Prefix]bool{}, map[netip.Addr]bool{}
		for _, u := range r.Claims {
			n.claims[u.Addr] = true
		}
	}
	if r.Code == OK && (c.Op == OpClaim || c.Op == OpRefresh) {
		for _, g := range r.Blocks {
			n.blocks[g.Block] = true
		}
	}
	if r.Code == OK && c.Op == OpClaimAddress {
		n.claims[c.Addr] = true
	}
}
