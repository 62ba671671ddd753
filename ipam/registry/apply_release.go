package registry

// releaseBlock takes a block back. What counts is that the node does not own it afterwards, so a repeat is fine. Single
// claims in the block stay with their holders.
func (l *ledger) releaseBlock(c Command, n *nodeRecord) Result {
	if p, ok := PoolOf(l.reg.pools, c.Block.Addr()); !ok || !p.IsBlock(c.Block) {
		return Result{Code: Outside, Block: c.Block}
	}
	if b := l.block(c.Block); b.owner == n.id && b.epoch == n.epoch && b.cool == 0 {
		l.cool(n, b, l.reg.timing.Cooldown)
	}
	return Result{Block: c.Block}
}

// releaseAddress takes a single address back; a repeat is fine.
func (l *ledger) releaseAddress(c Command, n *nodeRecord) Result {
	p, ok := PoolOf(l.reg.pools, c.Addr)
	if !ok {
		return Result{Code: Outside, Addr: c.Addr}
	}
	b := l.block(p.BlockOf(c.Addr))
	if i, ok := b.findClaim(c.Addr); ok && b.claims[i].owner == n.id && b.claims[i].epoch == n.epoch && b.claims[i].cool == 0 {
		l.coolClaim(n, c.Addr, l.reg.timing.Cooldown)
	}
	return Result{Addr: c.Addr}
}
