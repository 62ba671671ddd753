package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Load reads the whole registry. The error wraps ErrEmpty if there is none, ErrCorrupt if a record cannot be read.
func Load(r Reader) (State, error) {
	l := newLedger(readOnly{r}, time.Time{})
	l.clock = l.stored
	if l.fault != nil {
		return State{}, fmt.Errorf("loading registry: %w: %w", ErrCorrupt, l.fault)
	}
	if l.reg == nil {
		return State{}, fmt.Errorf("loading registry: %w", ErrEmpty)
	}
	s := State{
		ID:         l.reg.id,
		CreatedAt:  l.reg.createdAt,
		Creator:    l.reg.creator,
		Generation: l.reg.generation,
		Recovering: l.reg.recovering,
		Time:       l.clock.now,
		Timing:     l.reg.timing,
		Pools:      l.reg.pools,
		Reserved:   l.reg.reserved,
		Nodes:      make(map[NodeID]Node),
		Blocks:     make(map[netip.Prefix]Block),
		Claims:     make(map[netip.Addr]Claim),
	}
	if s.Recovering {
		s.SettledAt = l.until(l.reg.recovered + l.reg.timing.Grace)
	}
	l.loadNodes(&s)
	if l.fault == nil {
		l.loadBlocks(&s)
	}
	l.crossCheck(&s)
	if l.fault != nil {
		return State{}, fmt.Errorf("loading registry: %w: %w", ErrCorrupt, l.fault)
	}
	return s, nil
}

// readOnly makes a Tx of a Reader for a ledger that is never committed.
type readOnly struct{ Reader }

func (r readOnly) Look(key string) ([]byte, bool) { return r.Get(key) }
func (r readOnly) Put(string, []byte)             {}

func (l *ledger) loadNodes(s *State) {
	for key, value := range l.tx.Range(nodeTable) {
		n := &nodeRecord{}
		id, err := parseNodeKey(key)
		if err == nil {
			n.id = id
			err = decodeRecord(value, n)
		}
		if err != nil {
			l.broken(key, err)
			return
		}
		l.nodes[id] = n
		s.Nodes[id] = Node{
			Name:       n.name,
			Instance:   n.instance,
			Epoch:      n.epoch,
			Generation: n.generation,
			Refreshed:  n.refreshed,
			Removed:    n.removed,
			Reason:     n.reason,
		}
	}
}

func (l *ledger) loadBlocks(s *State) {
	for key, value := range l.tx.Range(blockTable) {
		b := &blockRecord{}
		p, err := parseBlockKey(key)
		if err == nil {
			err = decodeRecord(value, b)
		}
		if err != nil {
			l.broken(key, err)
			return
		}
		b.block = p
		l.loadBlock(s, b)
		for _, k := range b.claims {
			l.loadClaim(s, b, k)
		}
	}
}

func (l *ledger) loadBlock(s *State, b *blockRecord) {
	held, from := l.held(b.holding, l.lookNode)
	switch {
	case held:
		n := l.nodes[b.owner]
		i, ok := n.findBlock(b.block)
		if !ok {
			s.Faults = append(s.Faults, fmt.Sprintf("block %v is registered to node %s, whose record does not list it", b.block, n.id.Short()))
			i = len(n.blocks)
			n.blocks = append(n.blocks, BlockUse{Block: b.block})
		}
		s.Blocks[b.block] = Block{Owner: b.owner, Epoch: b.epoch, Since: b.since, Leased: n.blocks[i].Leased}
	case from > l.clock.age:
		s.Blocks[b.block] = Block{Epoch: b.epoch, Since: b.since, Until: l.until(from), Former: b.owner}
	}
	if n := l.nodes[b.owner]; b.owner != (NodeID{}) && (n == nil || n.epoch < b.epoch) {
		s.Faults = append(s.Faults, fmt.Sprintf("block %v is registered to node %s under epoch %d, which was never given", b.block, b.owner.Short(), b.epoch))
	}
}

func (l *ledger) loadClaim(s *State, b *blockRecord, k claimRecord) {
	held, from := l.held(k.holding, l.lookNode)
	switch {
	case held:
		s.Claims[k.addr] = Claim{Owner: k.owner, Epoch: k.epoch, Attachment: k.attachment}
		if _, ok := slices.BinarySearchFunc(l.nodes[k.owner].claims, k.addr, netip.Addr.Compare); !ok {
			s.Faults = append(s.Faults, fmt.Sprintf("address %v is claimed by node %s, whose record does not list it", k.addr, k.owner.Short()))
		}
	case from > l.clock.age:
		s.Claims[k.addr] = Claim{Epoch: k.epoch, Attachment: k.attachment, Until: l.until(from)}
	}
	if !b.block.Contains(k.addr) {
		s.Faults = append(s.Faults, fmt.Sprintf("address %v is recorded with block %v, which it is not in", k.addr, b.block))
	}
}

// crossCheck finds what nodes list and no block says.
func (l *ledger) crossCheck(s *State) {
	for id, n := range l.nodes {
		for _, u := range n.blocks {
			if b, ok := s.Blocks[u.Block]; !ok || b.Owner != id {
				s.Faults = append(s.Faults, fmt.Sprintf("node %s lists block %v, which is not registered to it", id.Short(), u.Block))
			}
		}
		for _, a := range n.claims {
			if k, ok := s.Claims[a]; !ok || k.Owner != id {
				s.Faults = append(s.Faults, fmt.Sprintf("node %s lists address %v, which is not registered to it", id.Short(), a))
			}
		}
	}
	slices.Sort(s.Faults)
}
