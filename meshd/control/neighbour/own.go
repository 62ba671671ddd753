package neighbour

import "fmt"

// Upsert adds an attachment of this node or changes it, and returns the update to be gossiped, which has no ops if
// nothing changed. The error wraps ErrInvalid, or says that the table is full.
func (ts *Tables) Upsert(n Neighbour) (Update, error) {
	t := ts.tables[ts.self]
	n.Node = ts.self
	if err := n.Check(); err != nil {
		return Update{}, fmt.Errorf("announcing %s/%s: %w", n.Container, n.IfName, err)
	}
	old, ok := t.entries[n.Key()]
	if ok && old.neighbour.Equal(n) {
		return Update{}, nil
	}
	if !ok && len(t.entries) >= MaxEntries {
		return Update{}, fmt.Errorf("announcing %s/%s: this node has %d attachments already", n.Container, n.IfName, MaxEntries)
	}
	return ts.change(Op{Kind: OpUpsert, Neighbour: n}), nil
}

// Withdraw removes an attachment of this node, and returns the update to be gossiped, which has no ops if there was no
// such attachment.
func (ts *Tables) Withdraw(k Key) Update {
	if _, ok := ts.tables[ts.self].entries[k]; !ok {
		return Update{}
	}
	return ts.change(Op{Kind: OpWithdraw, Neighbour: Neighbour{Container: k.Container, IfName: k.IfName, Node: ts.self}})
}

// Announce makes list the attachments of this node, and returns the update to be gossiped.
func (ts *Tables) Announce(list []Neighbour) (Update, error) {
	t := ts.tables[ts.self]
	all := Update{Owner: ts.self, Epoch: t.epoch}
	keep := make(map[Key]bool, len(list))
	var failed error
	for _, n := range list {
		u, err := ts.Upsert(n)
		if err != nil && failed == nil {
			failed = err
		}
		keep[n.Key()] = true
		all.Ops = append(all.Ops, u.Ops...)
	}
	for k := range t.entries {
		if !keep[k] {
			all.Ops = append(all.Ops, ts.Withdraw(k).Ops...)
		}
	}
	all.Head = t.complete
	return all, failed
}

// change makes an op the next one of this node's table.
func (ts *Tables) change(op Op) Update {
	t := ts.tables[ts.self]
	defer ts.recount(t, len(t.entries))
	op.Version = t.complete + 1
	t.apply(op)
	t.settle()
	return Update{Owner: ts.self, Epoch: t.epoch, Head: t.complete, Ops: []Op{op}}
}
