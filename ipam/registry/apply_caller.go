package registry

import "fmt"

// called runs op if the caller may speak for its node, and notes the number of the command.
func (l *ledger) called(c Command, op func(Command, *nodeRecord) Result) Result {
	n, r := l.caller(c)
	if r.Code != OK {
		return r
	}
	if c.Instance != 0 && c.Seq > n.seq {
		n.seq = c.Seq
		l.saveNode(n)
	}
	r = op(c, n)
	r.Epoch = n.epoch
	return r
}

// caller returns the node that c comes from, or why it is refused. A node of another generation or start has to Refresh first;
// one whose epoch has ended owns nothing.
func (l *ledger) caller(c Command) (*nodeRecord, Result) {
	n := l.node(c.Node)
	if r := l.identity(c, n); r.Code != OK {
		return nil, r
	}
	switch {
	case n == nil && c.Epoch == 0, n != nil && c.Instance > n.instance:
		return nil, Result{Code: RefreshFirst}
	case c.Generation < l.reg.generation || n != nil && n.generation < l.reg.generation:
		return nil, Result{Code: StaleGeneration}
	case n == nil || !n.owns(c.Epoch):
		return nil, fenced(c, n)
	}
	return n, Result{}
}

// identity refuses commands of an outdated registry, an earlier start and those that were overtaken.
func (l *ledger) identity(c Command, n *nodeRecord) Result {
	switch {
	case c.Generation > l.reg.generation:
		return Result{Code: StaleRegistry}
	case n == nil || c.Instance == 0:
		return Result{}
	case c.Instance < n.instance:
		return Result{Code: Superseded, Epoch: n.epoch}
	case c.Instance == n.instance && c.Seq != 0 && c.Seq < n.seq:
		return Result{Code: Late, Epoch: n.epoch}
	}
	return Result{}
}

// fenced says why c.Epoch is not n's.
func fenced(c Command, n *nodeRecord) Result {
	switch {
	case n == nil:
		return Result{Code: Fenced, Comment: "the registry has never heard of this node"}
	case n.removed:
		return Result{Code: Fenced, Epoch: n.epoch, Comment: clip("the node was removed: " + n.reason)}
	}
	return Result{Code: Fenced, Epoch: n.epoch, Comment: fmt.Sprintf("the epoch is %d now, the node's is %d", n.epoch, c.Epoch)}
}
