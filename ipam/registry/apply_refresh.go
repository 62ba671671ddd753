package registry

import (
	"fmt"
	"net/netip"
	"slices"
)

// refresh hears a node and tells it what it owns. This is how a node is admitted, how a new start of it is registered,
// and how a node accepts a new generation.
func (l *ledger) refresh(c Command) Result {
	if c.Instance == 0 {
		return Result{Code: Invalid, Comment: "a refresh names the start of its node"}
	}
	n := l.node(c.Node)
	if r := l.identity(c, n); r.Code != OK {
		return r
	}
	if c.Epoch == 0 {
		n = l.admit(c, n)
	} else {
		var r Result
		if n, r = l.recognise(c, n); r.Code != OK {
			return r
		}
	}
	if n.generation < l.reg.generation {
		l.accept(c, n)
	}
	l.hear(c, n)
	l.saveNode(n)
	return l.told(c, n)
}

// admit gives c's node a new epoch, which ends the one before. A node that was admitted during the same start keeps its
// epoch: then only the answer got lost.
func (l *ledger) admit(c Command, n *nodeRecord) *nodeRecord {
	switch {
	case n == nil:
		n = &nodeRecord{id: c.Node}
	case !n.removed && n.instance == c.Instance:
		return n
	case !n.removed:
		n.end(l.clock.age, l.reg.timing.Grace)
	}
	n.epoch++
	n.removed, n.reason = false, ""
	n.generation = l.reg.generation
	n.journal = 0
	return n
}

// recognise refuses a node whose epoch has ended, or that has gone back to an earlier state of its journal.
func (l *ledger) recognise(c Command, n *nodeRecord) (*nodeRecord, Result) {
	if l.reg.recovering && c.Generation != 0 && c.Generation < l.reg.generation && (n == nil || !n.removed && n.epoch < c.Epoch) {
		return l.readmit(c, n), Result{}
	}
	switch {
	case n == nil || !n.owns(c.Epoch):
		return nil, fenced(c, n)
	case c.Instance > n.instance && c.Journal != 0 && c.Journal < n.journal:
		return nil, Result{
			Code:    Fenced,
			Epoch:   n.epoch,
			Comment: fmt.Sprintf("the node's journal is at %d and was at %d: it was restored from an older copy", c.Journal, n.journal),
		}
	}
	return n, Result{}
}

// readmit takes over the epoch of a node whose admission was lost with the majority of the registry's copies.
func (l *ledger) readmit(c Command, n *nodeRecord) *nodeRecord {
	if n == nil {
		n = &nodeRecord{id: c.Node}
	} else {
		n.end(l.clock.age, l.reg.timing.Grace)
	}
	n.epoch = c.Epoch
	return n
}

// hear notes what the node says about itself.
func (l *ledger) hear(c Command, n *nodeRecord) {
	if c.Instance > n.instance {
		n.instance, n.seq = c.Instance, 0
	}
	n.seq = max(n.seq, c.Seq)
	n.journal = max(n.journal, c.Journal)
	n.name = c.Name
	n.generation = l.reg.generation
	n.refreshed, n.heard = l.clock.now, l.clock.age
	if c.Epoch != n.epoch {
		return
	}
	for _, u := range c.Uses {
		if i, ok := n.findBlock(u.Block); ok && n.blocks[i].Block == u.Block {
			n.blocks[i].Leased = u.Leased
		}
	}
}

// told is the answer: all that the node owns, and what it named and does not own.
func (l *ledger) told(c Command, n *nodeRecord) Result {
	r := Result{Epoch: n.epoch, Pools: l.reg.pools, Reserved: l.reg.reserved}
	for _, u := range n.blocks {
		r.Blocks = append(r.Blocks, l.grant(u.Block))
	}
	for _, a := range n.claims {
		r.Claims = append(r.Claims, AddressUse{Addr: a, Attachment: l.attachment(a)})
	}
	for _, u := range c.Uses {
		if i, ok := n.findBlock(u.Block); !ok || n.blocks[i].Block != u.Block || c.Epoch != n.epoch {
			r.Lost = append(r.Lost, u.Block)
		}
	}
	for _, u := range c.Claims {
		if _, ok := slices.BinarySearchFunc(n.claims, u.Addr, netip.Addr.Compare); !ok || c.Epoch != n.epoch {
			r.LostClaims = append(r.LostClaims, u.Addr)
		}
	}
	return r
}

// grant names the addresses of b that single claims keep from its owner.
func (l *ledger) grant(b netip.Prefix) Grant {
	g := Grant{Block: b}
	for _, k := range l.lookBlock(b).claims {
		if !l.free(k.holding, l.lookNode) {
			g.Except = append(g.Except, k.addr)
		}
	}
	return g
}

func (l *ledger) attachment(a netip.Addr) string {
	p, ok := PoolOf(l.reg.pools, a)
	if !ok {
		return ""
	}
	b := l.lookBlock(p.BlockOf(a))
	i, ok := b.findClaim(a)
	if !ok {
		return ""
	}
	return b.claims[i].attachment
}
