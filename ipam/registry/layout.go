package registry

import "net/netip"

// Bounds of lists. They keep a parser from being led far, and are more than MaxCommand bytes have room for.
const (
	maxList     = 64 << 10
	maxReserved = 1024
)

func (c *coder) pool(p *Pool) {
	c.prefix(&p.Prefix)
	c.int(&p.BlockBits, 32)
	c.addr(&p.Gateway)
	list(c, &p.Exclude, maxList, c.prefix)
}

func (c *coder) timing(t *Timing) {
	c.duration(&t.DeadAfter)
	c.duration(&t.Grace)
	c.duration(&t.Cooldown)
}

func (c *coder) reservation(r *Reservation) {
	c.addr(&r.First)
	c.addr(&r.Last)
	c.text(&r.Comment, MaxText)
}

func (c *coder) blockUse(u *BlockUse) {
	c.prefix(&u.Block)
	c.int(&u.Leased, maxList)
}

func (c *coder) addressUse(u *AddressUse) {
	c.addr(&u.Addr)
	c.text(&u.Attachment, MaxText)
}

func (c *coder) grant(g *Grant) {
	c.prefix(&g.Block)
	list(c, &g.Except, maxList, c.addr)
}

func (c *coder) nodeUse(u *NodeUse) {
	c.bytes(u.Node[:])
	c.text(&u.Name, MaxText)
	c.int(&u.Blocks, 1<<24)
	c.int(&u.Leased, 1<<30)
}

func (c *coder) nodeID(id *NodeID) { c.bytes(id[:]) }

func (c *coder) prefixes(p *[]netip.Prefix) { list(c, p, maxList, c.prefix) }
