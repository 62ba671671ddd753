package registry

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// After the majority of the copies is lost for good, a copy that survived goes on alone under a new generation. It may
// lack the last decisions: what a node owns may be registered to nobody, or still to the one before. So each node is
// asked: by its first Refresh under the new generation it brings what its journal says it owns. Until every node that
// the registry knows has done so or was removed, and in any case for Grace, nothing new is given out.

// recover begins a new generation.
func (l *ledger) recover(c Command) Result {
	switch c.Generation {
	case l.reg.generation:
		return Result{} // a repeat
	case l.reg.generation + 1:
		l.reg.generation++
		l.reg.recovering, l.reg.recovered = true, l.clock.age
		l.save(registryKey, l.reg)
		return Result{Usage: l.waiting()}
	}
	return Result{Code: Invalid, Comment: fmt.Sprintf("the generation after %d is %d, not %d", l.reg.generation, l.reg.generation+1, c.Generation)}
}

// accept settles what the node owns under the new generation: what it brings, unless that is someone else's by now. What is
// registered to it and what it does not bring, it has given back or never heard of; that cools for Grace.
func (l *ledger) accept(c Command, n *nodeRecord) {
	if c.Epoch != n.epoch {
		return
	}
	brought := make(map[netip.Prefix]bool, len(c.Uses))
	for _, u := range c.Uses {
		brought[u.Block] = true
		l.acceptBlock(n, u.Block)
	}
	for _, u := range slices.Clone(n.blocks) {
		if !brought[u.Block] {
			l.cool(n, l.block(u.Block), l.reg.timing.Grace)
		}
	}
	claimed := make(map[netip.Addr]bool, len(c.Claims))
	for _, u := range c.Claims {
		claimed[u.Addr] = true
		l.acceptClaim(n, u)
	}
	for _, a := range slices.Clone(n.claims) {
		if !claimed[a] {
			l.coolClaim(n, a, l.reg.timing.Grace)
		}
	}
}

func (l *ledger) acceptBlock(n *nodeRecord, p netip.Prefix) {
	pool, ok := PoolOf(l.reg.pools, p.Addr())
	if !ok || !pool.IsBlock(p) {
		return
	}
	b := l.block(p)
	if held, _ := l.held(b.holding, l.node); held {
		return
	}
	l.give(n, b)
}

func (l *ledger) acceptClaim(n *nodeRecord, u AddressUse) {
	pool, ok := PoolOf(l.reg.pools, u.Addr)
	if !ok {
		return
	}
	b := l.block(pool.BlockOf(u.Addr))
	if i, ok := b.findClaim(u.Addr); ok {
		if held, _ := l.held(b.claims[i].holding, l.node); held {
			return
		}
	} else if held, _ := l.held(b.holding, l.node); held && l.node(b.owner).generation == l.reg.generation {
		return // the owner has brought the block and may lease the address
	}
	l.giveClaim(n, b, u)
}

// settled ends the recovery if it can end. Else it returns the refusal.
func (l *ledger) settled() Result {
	if !l.reg.recovering {
		return Result{}
	}
	end := l.reg.recovered + l.reg.timing.Grace
	if waiting := l.waiting(); len(waiting) > 0 || l.clock.age < end {
		r := Result{Code: Recovering, Usage: waiting}
		if l.clock.age < end {
			r.Until = l.until(end)
		}
		return r
	}
	l.reg.recovering = false
	l.save(registryKey, l.reg)
	return Result{}
}

// waiting lists the nodes that have not accepted the generation.
func (l *ledger) waiting() []NodeUse {
	return l.usage(func(n *nodeRecord) (NodeUse, bool) {
		return NodeUse{Blocks: len(n.blocks)}, !n.removed && n.generation < l.reg.generation
	})
}

// maxUsage is how many nodes a refusal names.
const maxUsage = 32

// usage lists the nodes that count picks, those with most blocks first.
func (l *ledger) usage(count func(*nodeRecord) (NodeUse, bool)) []NodeUse {
	var out []NodeUse
	for key, value := range l.tx.Range(nodeTable) {
		id, err := parseNodeKey(key)
		n := &nodeRecord{id: id}
		if err == nil {
			err = decodeRecord(value, n)
		}
		if err != nil {
			l.broken(key, err)
			return nil
		}
		if changed, ok := l.nodes[id]; ok && changed != nil {
			n = changed
		}
		if u, ok := count(n); ok {
			u.Node, u.Name = id, n.name
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b NodeUse) int {
		return cmp.Or(cmp.Compare(b.Blocks, a.Blocks), strings.Compare(a.Node.String(), b.Node.String()))
	})
	return out[:min(len(out), maxUsage)]
}
