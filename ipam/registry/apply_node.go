package registry

import "fmt"

// maxExpired is how many nodes one OpExpireNodes removes, so that an engine can commit it in one small step.
const maxExpired = 16

// removeNode ends the epoch of a node. All that it owned cools for Grace, without being touched: a record under an ended epoch is
// nobody's.
func (l *ledger) removeNode(c Command) Result {
	n := l.node(c.To)
	if n == nil {
		return Result{Code: UnknownNode, Holder: c.To}
	}
	r := Result{Holder: n.id, HolderName: n.name}
	if !n.removed {
		r.Usage = []NodeUse{{Node: n.id, Name: n.name, Blocks: len(n.blocks)}}
		r.Until = l.until(l.clock.age + l.reg.timing.Grace)
		l.remove(n, c.Comment)
	}
	return r
}

func (l *ledger) remove(n *nodeRecord, reason string) {
	n.end(l.clock.age, l.reg.timing.Grace)
	n.removed, n.reason = true, reason
	l.saveNode(n)
}

// expireNodes removes the nodes that were silent for so long that they have stopped leasing by their own clock. It also moves the clock,
// by which the silence of the others counts.
func (l *ledger) expireNodes() Result {
	var r Result
	limit := l.reg.timing.DeadAfter + l.reg.timing.Grace
	for key, value := range l.tx.Range(nodeTable) {
		var n nodeRecord
		id, err := parseNodeKey(key)
		if err == nil {
			err = decodeRecord(value, &n)
		}
		if err != nil {
			l.broken(key, err)
			return r
		}
		if n.removed || l.clock.age-n.heard <= limit || len(r.Removed) == maxExpired {
			continue
		}
		silent := l.clock.age - n.heard
		l.remove(l.node(id), fmt.Sprintf("not heard for %v", silent))
		r.Removed = append(r.Removed, id)
	}
	if len(l.dirty) == 0 && l.clock != l.stored {
		l.save(clockKey, &l.clock)
	}
	return r
}
